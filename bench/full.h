// Full: the plan of lib/sandbox/plans.ts for one sandbox on one bridge network with one published port, run by the same
// native code on this thread. What netmode's create() takes beyond it is JavaScript, the way to another thread and the binding.
#pragma once

#include <optional>
#include <vector>

#include "base/result.h"
#include "program/plan.h"
#include "program/session.h"
#include "sample.h"

namespace netmode::bench {

class Full {
public:
  // `session` must work from `ground.home`.
  Full(const Ground &ground, program::Session &session) : ground_(ground), session_(session) {}

  // Draws the plan up. Not part of the measured time.
  void Prepare(const Sample &sample);
  // The measured part.
  [[nodiscard]] Result<void> Make() { return Run(plan_); }
  // Takes the sample away, in the order of removePlan in lib/sandbox/plans.ts.
  [[nodiscard]] Result<void> Clear() { return Run(removal_); }

private:
  [[nodiscard]] Result<void> Run(const std::vector<program::Step> &plan);

  const Ground &ground_;
  program::Session &session_;
  std::vector<program::Step> plan_;
  std::vector<program::Step> removal_;
};

} // namespace netmode::bench

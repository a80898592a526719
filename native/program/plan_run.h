// PlanRun: one plan on the threads of the pool. The steps that may come before their turn are left to the thread that makes the plan's
// namespace; if that is made already they are done at once, and what comes before them is left to any idle thread. Whichever of the two is
// last does the rest, so that nobody waits for anybody.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "program/runner.h"

namespace netmode::program {

class PlanRun : public std::enable_shared_from_this<PlanRun> {
 public:
  // Who runs it. All of it is to outlive it.
  struct Ground {
    Session &session;
    const std::atomic<bool> &cancelled;
    // Runs something on another thread soon.
    std::function<void(std::function<void()>)> beside;
    // Called on the thread that was last, if that is not the one of Start().
    std::function<void()> on_end;
  };
  PlanRun(Ground ground, const std::vector<Step> &steps)
      : ground_(std::move(ground)), steps_(steps), runner_(ground_.session, ground_.cancelled) {}

  // false: it goes on elsewhere.
  [[nodiscard]] bool Start();
  // At its end.
  [[nodiscard]] Report TakeReport() { return runner_.TakeReport(); }
  void Behind() { runner_.Behind(); }

 private:
  [[nodiscard]] bool Share();
  // The two halves. true: this one was the last, and has done the rest as well.
  [[nodiscard]] bool Meanwhile();
  [[nodiscard]] bool GoAhead(Result<Fresh> fresh);
  [[nodiscard]] bool EndHalf();
  [[nodiscard]] bool TakeOffer();
  void RunAlone();

  const Ground ground_;
  const std::vector<Step> &steps_;
  Runner runner_;

  std::size_t first_ = 0;  // of the steps ahead, which end before last_
  std::size_t last_ = 0;
  bool named_ = false;
  std::optional<Fresh> fresh_;   // of a namespace that was made already
  std::optional<Runner> other_;  // runs the steps ahead
  std::mutex mutex_;             // of what follows
  std::optional<int> made_;      // the namespace
  bool offered_ = false;         // what is meanwhile, and nobody has begun it
  bool half_done_ = false;
};

}  // namespace netmode::program

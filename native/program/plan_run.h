// PlanRun: one plan on the threads of the pool. The steps that may come before their turn are left to the thread that makes the plan's
// namespace, or to any idle one if it is made already; the others go on meanwhile, and whichever of the two is last does the rest, so that
// nobody waits for anybody.
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
  // Nobody's, or somebody's who has not begun, is at it, has done it.
  enum class Ahead { kNone, kOffered, kTaken, kDone };

  [[nodiscard]] bool Share();
  void GoAhead(Result<Fresh> fresh);
  void RunAlone();
  void Rest();

  const Ground ground_;
  const std::vector<Step> &steps_;
  Runner runner_;

  std::size_t first_ = 0;  // of the steps ahead, which end before last_
  std::size_t last_ = 0;
  bool named_ = false;
  std::optional<Runner> other_;  // runs them
  std::mutex mutex_;             // of what follows
  Ahead ahead_ = Ahead::kNone;
  std::optional<Fresh> fresh_;  // what is offered
  std::optional<int> made_;     // the namespace
  bool waiting_ = false;        // until it is done
};

}  // namespace netmode::program

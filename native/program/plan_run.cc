#include "program/plan_run.h"

#include <algorithm>

namespace netmode::program {

bool PlanRun::Start() {
  runner_.Begin(steps_);
  if (!Share()) {
    RunAlone();
    return true;
  }
  runner_.RunTo(first_);
  std::unique_lock lock(mutex_);
  if (ahead_ == Ahead::kOffered) {
    // Everybody is busy.
    ahead_ = Ahead::kNone;
    lock.unlock();
    const int fd = fresh_->ns.Get();
    runner_.Take(first_, std::move(*fresh_));
    runner_.Name(first_, fd);
    RunAlone();
    return true;
  }
  if (made_ && ahead_ == Ahead::kTaken) {
    // Others use it, but not for its name.
    const int fd = *made_;
    lock.unlock();
    runner_.Name(first_, fd);
    named_ = true;
    lock.lock();
  }
  if (ahead_ == Ahead::kTaken) {
    runner_.GoHome();
    waiting_ = true;
    return false;
  }
  lock.unlock();
  Rest();
  return true;
}

void PlanRun::RunAlone() {
  runner_.RunTo(steps_.size());
  runner_.Finish();
}

// Leaves the steps that can be done ahead to another thread, if there are such and the namespace is being made or is made. Not before the
// plan holds its first locks: nobody who sweeps up what has no record may come across what is made ahead of it.
bool PlanRun::Share() {
  const auto is_ahead = [](const Step &step) { return step.when == When::kAhead; };
  const auto first = std::ranges::find_if(steps_, is_ahead);
  if (first == steps_.end()) return false;
  const auto *immediate = std::get_if<Immediate>(&first->apply.verb);
  const auto *create = immediate == nullptr ? nullptr : std::get_if<netns::NetnsCreate>(immediate);
  if (create == nullptr) return false;
  first_ = static_cast<std::size_t>(first - steps_.begin());
  last_ = static_cast<std::size_t>(std::find_if_not(first, steps_.end(), is_ahead) - steps_.begin());

  const auto is_lock = [](const Step &step) {
    const auto *verb = std::get_if<Immediate>(&step.apply.verb);
    return verb != nullptr && std::holds_alternative<state::Lock>(*verb);
  };
  runner_.RunTo(static_cast<std::size_t>(std::ranges::find_if_not(steps_, is_lock) - steps_.begin()));
  if (runner_.Failed()) return false;
  ahead_ = Ahead::kTaken;
  if (ground_.session.FollowOrdered(*create, [self = shared_from_this()](Result<Fresh> fresh) { self->GoAhead(std::move(fresh)); }))
    return true;
  ahead_ = Ahead::kNone;
  fresh_ = ground_.session.TakeMade(*create);
  if (!fresh_) return false;
  ahead_ = Ahead::kOffered;
  ground_.beside([self = shared_from_this()] {
    {
      const std::lock_guard lock(self->mutex_);
      if (self->ahead_ != Ahead::kOffered) return;
      self->ahead_ = Ahead::kTaken;
    }
    self->GoAhead(std::move(*self->fresh_));
  });
  return true;
}

// On the other thread.
void PlanRun::GoAhead(Result<Fresh> fresh) {
  const int fd = fresh ? fresh->ns.Get() : -1;
  other_.emplace(ground_.session, ground_.cancelled);
  other_->Begin(steps_);
  other_->Take(first_, std::move(fresh));
  if (fd >= 0) {
    const std::lock_guard lock(mutex_);
    made_ = fd;
  }
  other_->RunTo(last_);
  if (!other_->Failed()) other_->Flush();
  other_->GoHome();
  {
    const std::lock_guard lock(mutex_);
    ahead_ = Ahead::kDone;
    if (!waiting_) return;
  }
  Rest();
  ground_.on_end();
}

void PlanRun::Rest() {
  const int fd = made_.value_or(-1);
  runner_.Adopt(*other_, first_, last_);
  if (!named_ && fd >= 0) runner_.Name(first_, fd);
  RunAlone();
}

}  // namespace netmode::program

#include "program/plan_run.h"

#include <algorithm>
#include <utility>

namespace netmode::program {

bool PlanRun::Start() {
  runner_.Begin(steps_);
  if (!Share()) {
    RunAlone();
    return true;
  }
  if (!fresh_) return Meanwhile();
  runner_.GoHome();
  offered_ = true;
  ground_.beside([self = shared_from_this()] {
    if (self->TakeOffer() && self->Meanwhile()) self->ground_.on_end();
  });
  if (GoAhead(std::move(*fresh_))) return true;
  // Where everybody is busy it is left to this one.
  return TakeOffer() && Meanwhile();
}

void PlanRun::RunAlone() {
  runner_.RunTo(steps_.size());
  runner_.Finish();
}

// Whether there are steps that can be done ahead, and their namespace is being made (then they follow) or is made. Not before the
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
  if (ground_.session.FollowOrdered(*create, [self = shared_from_this()](Result<Fresh> fresh) {
        if (self->GoAhead(std::move(fresh))) self->ground_.on_end();
      }))
    return true;
  fresh_ = ground_.session.TakeMade(*create);
  return fresh_.has_value();
}

bool PlanRun::Meanwhile() {
  runner_.RunTo(first_);
  std::unique_lock lock(mutex_);
  const auto made = made_;
  lock.unlock();
  if (made) {
    // The other half may be using it, but not for its name.
    runner_.Name(first_, *made);
    named_ = true;
  }
  runner_.GoHome();
  return EndHalf();
}

bool PlanRun::GoAhead(Result<Fresh> fresh) {
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
  return EndHalf();
}

bool PlanRun::EndHalf() {
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(half_done_, true)) return false;
  }
  const int fd = made_.value_or(-1);
  runner_.Adopt(*other_, first_, last_);
  if (!named_ && fd >= 0) runner_.Name(first_, fd);
  RunAlone();
  return true;
}

bool PlanRun::TakeOffer() {
  const std::lock_guard lock(mutex_);
  return std::exchange(offered_, false);
}

}  // namespace netmode::program

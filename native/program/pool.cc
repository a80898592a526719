#include "program/pool.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "netns/visit.h"

namespace netmode::program {
namespace {

// Longer than a processor takes to wake.
constexpr auto kLongWait = std::chrono::microseconds(300);
constexpr auto kTogether = std::chrono::milliseconds(100);
// What a call takes until it has a plan, with cold caches.
constexpr auto kLookOut = std::chrono::microseconds(300);
// What it takes a caller to hear of an answer and to call again.
constexpr auto kLinger = std::chrono::microseconds(80);

// May this process run on one processor only?
bool IsAlone() {
  cpu_set_t mine;
  return sched_getaffinity(0, sizeof mine, &mine) != 0 || CPU_COUNT(&mine) < 2;
}

}  // namespace

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    brought_.store(true, std::memory_order_relaxed);
    for (Seat &seat : seats_) seat.wake.notify_one();
  }
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
}

Result<void> Pool::Submit(std::shared_ptr<Job> job, Where where) {
  Seat *called = nullptr;
  {
    const std::lock_guard lock(mutex_);
    job->expected = std::exchange(expected_, false);
    waiting_.push_back(std::move(job));
    brought_.store(true, std::memory_order_relaxed);
    if (waiting_.size() > idle_ && alive_ < size_) {
      auto started = StartThread();
      if (!started && alive_ == 0) {
        waiting_.pop_back();
        return started;
      }
    }
    called = Call(*waiting_.back(), where);
  }
  if (called != nullptr) called->wake.notify_one();
  return {};
}

void Pool::Expect() {
  Seat *called = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (!waiting_.empty()) return;
    expected_ = true;
    look_until_ = Clock::now() + kLookOut;
    // One that is about to be free need not be woken.
    if (behind_ > 0 || std::ranges::any_of(seats_, &Seat::looking)) return;
    const auto found = std::ranges::find_if(seats_, [](const Seat &seat) { return seat.taken && !seat.called; });
    if (found == seats_.end()) return;
    found->called = true;
    found->lookout = sched_getcpu();
    found->looking = true;
    brought_.store(false, std::memory_order_relaxed);
    called = &*found;
  }
  called->wake.notify_one();
}

// One of them is enough, and none where the caller has no other processor.
void Pool::Linger(Seat &seat, std::unique_lock<std::mutex> &lock) {
  if (IsAlone() || stop_ || !waiting_.empty() || std::ranges::any_of(seats_, &Seat::looking)) return;
  seat.called = true;
  seat.looking = true;
  const auto until = Clock::now() + kLinger;
  look_until_ = expected_ ? std::max(look_until_.load(), until) : until;
  brought_.store(false, std::memory_order_relaxed);
  LookOut(seat, lock);
  seat.called = false;
}

// Asleep it would come later by what it takes a processor to wake.
void Pool::LookOut(Seat &seat, std::unique_lock<std::mutex> &lock) {
  lock.unlock();
  while (!brought_.load(std::memory_order_relaxed) && Clock::now() < look_until_.load(std::memory_order_relaxed)) {
  }
  lock.lock();
  seat.looking = false;
}

// Where a thread wakes is up to the scheduler, and under KVM that takes a processor that sleeps for one that the hypervisor has taken away:
// the thread comes to the one that woke it and waits there until that one has nothing to do. So it is told to keep away from it.
void Pool::Seat::KeepFromHere() {
  if (!allowed) {
    cpu_set_t now;
    if (pthread_getaffinity_np(thread, sizeof now, &now) != 0) return;
    allowed = now;
  }
  cpu_set_t others = *allowed;
  CPU_CLR(static_cast<std::size_t>(sched_getcpu()), &others);
  if (CPU_COUNT(&others) > 0) pthread_setaffinity_np(thread, sizeof others, &others);
}

// The calling thread is the seat's.
void Pool::Seat::GoAnywhere() {
  if (const auto everywhere = std::exchange(allowed, std::nullopt)) sched_setaffinity(0, sizeof *everywhere, &*everywhere);
}

Pool::Seat *Pool::Call(Job &job, Where where) {
  // It comes by itself.
  if (const auto looking = std::ranges::find_if(seats_, &Seat::looking); looking != seats_.end()) {
    looking->looking = false;
    return nullptr;
  }
  const auto found = std::ranges::find_if(seats_, [](const Seat &seat) { return seat.taken && !seat.called; });
  if (found == seats_.end()) return nullptr;
  found->called = true;
  if (where == Where::kAnywhere) return &*found;
  if (const auto now = std::chrono::steady_clock::now(); now >= together_until_) {
    found->KeepFromHere();
    job.apart = now;
  }
  return &*found;
}

void Pool::Wait(Seat &seat, std::unique_lock<std::mutex> &lock, bool linger) {
  ++idle_;
  seat.taken = true;
  if (linger || expected_) Linger(seat, lock);
  while (!stop_ && waiting_.empty()) {
    seat.wake.wait(lock);
    if (const auto from = std::exchange(seat.lookout, std::nullopt)) {
      // On the processor that is to bring the job it would only be in the way.
      seat.looking = seat.looking && waiting_.empty() && *from != sched_getcpu();
      if (seat.looking) LookOut(seat, lock);
    }
    seat.called = false;
  }
  seat.taken = false;
  --idle_;
}

std::vector<std::shared_ptr<Job>> Pool::TakeFinished() {
  const std::lock_guard lock(mutex_);
  return std::exchange(finished_, {});
}

Result<void> Pool::StartThread() {
  // Whoever is joined may come here to the last.
  if (stop_) return Fail(ECANCELED, "pthread_create");
  // Signals are Node's: they must be delivered to its threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread{};
  const int failed = pthread_create(
      &thread, nullptr,
      [](void *pool) -> void * {
        static_cast<Pool *>(pool)->Serve();
        return nullptr;
      },
      this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failed != 0) return Fail(failed, "pthread_create");
  pthread_setname_np(thread, "netmode");
  threads_.push_back(thread);
  ++alive_;
  return {};
}

void Pool::Serve() {
  std::unique_lock lock(mutex_);
  Seat &seat = seats_.emplace_back();
  seat.thread = pthread_self();
  for (bool linger = false;;) {
    Wait(seat, lock, linger);
    if (stop_) break;
    std::shared_ptr<Job> job = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    seat.GoAnywhere();
    Do(job);
    linger = job->expected;
    job.reset();  // with what it was the last to hold: a session has much to close
    lock.lock();
    // A thread that could not get back home ends here; another is started for the next job.
    if (netns::Stranded()) {
      --alive_;
      if (!waiting_.empty()) static_cast<void>(StartThread());
      break;
    }
  }
}

void Pool::Do(const std::shared_ptr<Job> &job) {
  if (!job->task) return Carry(job);
  // Others are at work there.
  if (const auto now = std::chrono::steady_clock::now(); job->apart && now - *job->apart > kLongWait) {
    const std::lock_guard lock(mutex_);
    together_until_ = now + kTogether;
  }
  job->task();
  if (job->id != 0) Tell(job);
}

void Pool::Carry(const std::shared_ptr<Job> &job) {
  if (const auto read = std::exchange(job->read, nullptr)) {
    auto steps = read();
    if (!steps) {
      job->report.failure = Trouble{.step = 0, .error = std::move(steps.error())};
      return Tell(job);
    }
    job->steps = std::move(*steps);
  }
  const auto beside = [this, session = job->session](std::function<void()> task) {
    auto other = std::make_shared<Job>();
    other->session = session;
    other->task = std::move(task);
    static_cast<void>(Submit(std::move(other), Where::kApart));  // where it can't be, the offer is withdrawn in time
  };
  const auto run = std::make_shared<PlanRun>(
      PlanRun::Ground{.session = *job->session, .cancelled = job->cancelled, .beside = beside, .on_end = [this, job] { Finish(job); }},
      job->steps);
  job->run = run;
  if (run->Start()) Finish(job);
}

void Pool::Finish(const std::shared_ptr<Job> &job) {
  const auto run = std::exchange(job->run, nullptr);
  job->report = run->TakeReport();
  {
    const std::lock_guard lock(mutex_);
    ++behind_;
  }
  Tell(job);
  // The one that waits for the answer may have been woken on this processor (see KeepFromHere), and what follows are long system calls.
  sched_yield();
  run->Behind();
  const std::lock_guard lock(mutex_);
  --behind_;
}

void Pool::Tell(const std::shared_ptr<Job> &job) {
  {
    const std::lock_guard lock(mutex_);
    finished_.push_back(job);
  }
  on_done_();
}

}  // namespace netmode::program

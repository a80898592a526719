#include "program/pool.h"

#include <csignal>

#include "netns/visit.h"

namespace netmode::program {

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
}

Result<void> Pool::Submit(std::shared_ptr<Job> job) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(job));
    if (waiting_.size() > idle_ && alive_ < size_) {
      auto started = StartThread();
      if (!started && alive_ == 0) {
        waiting_.pop_back();
        return started;
      }
    }
  }
  wake_.notify_one();
  return {};
}

std::vector<std::shared_ptr<Job>> Pool::TakeFinished() {
  const std::lock_guard lock(mutex_);
  return std::exchange(finished_, {});
}

Result<void> Pool::StartThread() {
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
  while (true) {
    ++idle_;
    wake_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    --idle_;
    if (stop_) break;
    const std::shared_ptr<Job> job = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    if (job->task) {
      job->task();
      if (job->id != 0) Tell(job);
    } else {
      Carry(job);
    }
    lock.lock();
    // A thread that could not get back home ends here; another is started for the next job.
    if (netns::Stranded()) {
      --alive_;
      if (!waiting_.empty()) static_cast<void>(StartThread());
      break;
    }
  }
}

void Pool::Carry(const std::shared_ptr<Job> &job) {
  const auto beside = [this, session = job->session](std::function<void()> task) {
    auto other = std::make_shared<Job>();
    other->session = session;
    other->task = std::move(task);
    static_cast<void>(Submit(std::move(other)));  // where it can't be, the offer is withdrawn in time
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
  Tell(job);
  run->Behind();
}

void Pool::Tell(const std::shared_ptr<Job> &job) {
  {
    const std::lock_guard lock(mutex_);
    finished_.push_back(job);
  }
  on_done_();
}

}  // namespace netmode::program

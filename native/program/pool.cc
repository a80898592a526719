#include "program/pool.h"

#include <csignal>

#include "netns/visit.h"
#include "program/runner.h"

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
    bool stranded = false;
    if (job->order) {
      job->session->MakeOrdered();
      stranded = netns::Stranded();
    } else {
      Runner runner(*job->session, job->cancelled);
      job->report = runner.Run(job->steps);
      stranded = runner.Stranded();
    }
    lock.lock();
    if (!job->order) {
      finished_.push_back(job);
      lock.unlock();
      on_done_();
      lock.lock();
    }
    // A thread that could not get back home ends here; another is started for the next job.
    if (stranded) {
      --alive_;
      if (!waiting_.empty()) static_cast<void>(StartThread());
      break;
    }
  }
}

}  // namespace netmode::program

// Pool: netmode's own threads. They take jobs from one queue, in order; namespaces are entered here and nowhere else.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/unique_fd.h"
#include "program/plan.h"
#include "program/plan_run.h"
#include "program/session.h"

namespace netmode::program {

// A plan on its way, or a task. `id` is the submitter's; nobody is told of the end of a task without one.
struct Job {
  std::uint32_t id = 0;
  std::shared_ptr<Session> session;
  std::function<void()> task;                                  // instead of the steps
  std::function<Result<std::vector<Step>>()> read;             // gives the steps, on the job's own thread
  std::optional<std::chrono::steady_clock::time_point> apart;  // when its thread was told to keep away from the one that asked
  bool expected = false;                                       // a thread was to look out for it
  std::vector<Step> steps;
  std::atomic<bool> cancelled = false;
  std::shared_ptr<PlanRun> run;  // while it runs
  Report report;
};

class Pool {
 public:
  // `on_done` is called on a pool thread whenever finished jobs wait to be taken.
  Pool(std::size_t threads, std::function<void()> on_done) : size_(threads), on_done_(std::move(on_done)) {}
  // Waits for the jobs that run; those that only wait in the queue are dropped.
  ~Pool();
  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;

  // `kApart`: on another processor than the caller's, who goes on meanwhile.
  enum class Where { kAnywhere, kApart };
  // Threads are started as they are needed. EAGAIN when not even one can be.
  [[nodiscard]] Result<void> Submit(std::shared_ptr<Job> job, Where where = Where::kAnywhere);
  // A job will be submitted in a moment, by this thread: until then another one looks out for it, if there is one that has nothing to do.
  // Who expects one job waits for it and may have the next when it has heard of it: so long the thread looks out on.
  void Expect();
  // The jobs that have finished since the last call, in the order in which they did.
  [[nodiscard]] std::vector<std::shared_ptr<Job>> TakeFinished();

 private:
  using Clock = std::chrono::steady_clock;
  // Where a thread waits for work.
  struct Seat {
    std::condition_variable wake;
    pthread_t thread{};
    bool taken = false;                // it does wait
    bool called = false;               // and is to come
    std::optional<int> lookout;        // and is to look out for a job that this processor will bring
    bool looking = false;              // and does so
    std::optional<cpu_set_t> allowed;  // where it may run, while it is told to keep away from a processor

    void KeepFromHere();
    void GoAnywhere();
  };

  void Serve();
  void Do(const std::shared_ptr<Job> &job);
  void Wait(Seat &seat, std::unique_lock<std::mutex> &lock, bool linger);
  void Linger(Seat &seat, std::unique_lock<std::mutex> &lock);
  void LookOut(Seat &seat, std::unique_lock<std::mutex> &lock);
  [[nodiscard]] Seat *Call(Job &job, Where where);
  void Carry(const std::shared_ptr<Job> &job);
  void Finish(const std::shared_ptr<Job> &job);
  void Tell(const std::shared_ptr<Job> &job);
  [[nodiscard]] Result<void> StartThread();

  const std::size_t size_;
  const std::function<void()> on_done_;

  std::mutex mutex_;
  std::deque<std::shared_ptr<Job>> waiting_;
  std::atomic<bool> brought_ = false;            // for those that look out
  std::atomic<Clock::time_point> look_until_{};  // so long
  bool expected_ = false;                        // the next job
  std::size_t behind_ = 0;                       // threads that have told, and have something left to do
  std::vector<std::shared_ptr<Job>> finished_;
  std::vector<pthread_t> threads_;
  std::list<Seat> seats_;  // of every thread there ever was
  std::size_t alive_ = 0;
  std::size_t idle_ = 0;
  std::chrono::steady_clock::time_point together_until_;  // so long jobs are done wherever the scheduler likes: the others are busy
  bool stop_ = false;
};

}  // namespace netmode::program

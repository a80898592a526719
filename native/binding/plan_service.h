// PlanService: what one JavaScript environment (main thread or worker) has of netmode: its pool, and the callbacks that wait.
#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "program/pool.h"

namespace netmode::binding {

class PlanService {
 public:
  explicit PlanService(Napi::Env env);
  ~PlanService();
  PlanService(const PlanService &) = delete;
  PlanService &operator=(const PlanService &) = delete;

  // Reads and runs the plan of a JSON text; `done` is called with the report, on the loop. While a plan runs, the process stays alive.
  // Answers its id.
  [[nodiscard]] Result<std::uint32_t> Run(std::shared_ptr<program::Session> session, std::string plan, Napi::Function done);
  // Runs something that takes its time on another thread; `done` is called on the loop.
  void RunBeside(std::function<void()> task, Napi::Function done);
  // A namespace like that is made while the plan that will create it is still being drawn up; false: one is being made already.
  [[nodiscard]] bool Order(const std::shared_ptr<program::Session> &session, netns::NetnsCreate like);
  // A plan will come in a moment.
  void Expect() { pool_->Expect(); }
  // The plan stops at its next op and is rolled back; too late or unknown: nothing happens.
  void Cancel(std::uint32_t id);

 private:
  struct Waiting {
    std::shared_ptr<program::Job> job;
    Napi::FunctionReference done;
  };

  static void OnLoop(napi_env env, napi_value callback, void *service, void *data);
  static void OnExit(void *service);
  [[nodiscard]] Result<void> Submit(const std::shared_ptr<program::Job> &job, Napi::Function done);
  void Deliver(Napi::Env env);
  void Stop();

  Napi::Env env_;
  napi_threadsafe_function wake_ = nullptr;
  std::unique_ptr<program::Pool> pool_;
  std::unordered_map<std::uint32_t, Waiting> waiting_;
  std::uint32_t next_id_ = 1;
};

}  // namespace netmode::binding

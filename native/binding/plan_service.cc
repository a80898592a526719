#include "binding/plan_service.h"

#include <utility>

#include "binding/read_plan.h"
#include "binding/write_report.h"

namespace netmode::binding {
namespace {

// Plans wait in the kernel most of the time (a new namespace, the routing lock): more threads than cores are worth having,
// more than a few only queue up at the kernel's own lock.
constexpr std::size_t kThreads = 4;

}  // namespace

PlanService::PlanService(Napi::Env env) : env_(env) {
  napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "netmode"), 0, 1, nullptr, nullptr, this, OnLoop, &wake_);
  napi_unref_threadsafe_function(env, wake_);
  // Hooks run last in, first out: this one before the threadsafe function's own, so that no thread calls into a closed one.
  napi_add_env_cleanup_hook(env, OnExit, this);
  pool_ = std::make_unique<program::Pool>(kThreads, [this] { napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking); });
}

PlanService::~PlanService() {
  if (pool_ == nullptr) return;
  napi_remove_env_cleanup_hook(env_, OnExit, this);
  Stop();
}

void PlanService::OnExit(void *service) { static_cast<PlanService *>(service)->Stop(); }

void PlanService::Stop() {
  for (const auto &[id, waiting] : waiting_) {
    if (waiting.job->session != nullptr) waiting.job->session->Leave();
  }
  pool_.reset();
  waiting_.clear();
  napi_release_threadsafe_function(wake_, napi_tsfn_abort);
}

Result<std::uint32_t> PlanService::Run(std::shared_ptr<program::Session> session, std::string plan, Napi::Function done) {
  auto job = std::make_shared<program::Job>();
  job->session = std::move(session);
  job->read = [text = std::move(plan)] { return Read(text); };
  if (auto submitted = Submit(job, done); !submitted) return std::unexpected(submitted.error());
  return job->id;
}

void PlanService::RunBeside(std::function<void()> task, Napi::Function done) {
  auto job = std::make_shared<program::Job>();
  job->task = std::move(task);
  if (Submit(job, done)) return;
  job->task();
  done.Call({});
}

Result<void> PlanService::Submit(const std::shared_ptr<program::Job> &job, Napi::Function done) {
  job->id = next_id_++;
  if (auto submitted = pool_->Submit(job); !submitted) return submitted;
  if (waiting_.empty()) napi_ref_threadsafe_function(env_, wake_);
  waiting_.emplace(job->id, Waiting{.job = job, .done = Napi::Persistent(done)});
  return {};
}

bool PlanService::Order(const std::shared_ptr<program::Session> &session, netns::NetnsCreate like) {
  if (!session->Order(std::move(like))) return false;
  auto job = std::make_shared<program::Job>();
  job->session = session;
  job->task = [session] { session->MakeOrdered(); };
  if (pool_->Submit(std::move(job), program::Pool::Where::kApart)) return true;
  session->CancelOrder();
  return false;
}

void PlanService::Cancel(std::uint32_t id) {
  const auto found = waiting_.find(id);
  if (found != waiting_.end()) found->second.job->cancelled.store(true, std::memory_order_relaxed);
}

void PlanService::OnLoop(napi_env env, napi_value, void *service, void *) {
  if (env != nullptr) static_cast<PlanService *>(service)->Deliver(env);
}

void PlanService::Deliver(Napi::Env env) {
  if (pool_ == nullptr) return;
  for (const auto &job : pool_->TakeFinished()) {
    const Napi::HandleScope scope(env);
    const auto found = waiting_.find(job->id);
    const Napi::FunctionReference done = std::move(found->second.done);
    waiting_.erase(found);
    if (waiting_.empty()) napi_unref_threadsafe_function(env, wake_);
    done.Call({Write(env, job->report)});
    if (env.IsExceptionPending()) return;  // the callback is ours and throws only when the environment is being torn down
  }
}

}  // namespace netmode::binding

#include "binding/session_object.h"

#include <future>

#include "base/json.h"
#include "binding/object.h"
#include "binding/plan_service.h"
#include "binding/read_netns.h"
#include "netns/namespace.h"

namespace netmode::binding {

void Throw(Napi::Env env, const Error &error) {
  Napi::Error thrown = Napi::Error::New(env, error.detail.empty() ? error.syscall : error.detail);
  thrown.Set("errno", static_cast<double>(error.code));
  thrown.Set("syscall", error.syscall);
  thrown.Set("detail", error.detail);
  thrown.ThrowAsJavaScriptException();
}

Napi::Function SessionObject::Define(Napi::Env env) {
  return DefineClass(env, "Session",
                     {
                         InstanceMethod<&SessionObject::Run>("run"),
                         InstanceMethod<&SessionObject::Cancel>("cancel"),
                         InstanceMethod<&SessionObject::Order>("order"),
                         InstanceMethod<&SessionObject::Expect>("expect"),
                         InstanceMethod<&SessionObject::CancelOrder>("cancelOrder"),
                         InstanceMethod<&SessionObject::Adopt>("adopt"),
                         InstanceMethod<&SessionObject::Close>("close"),
                     });
}

SessionObject::SessionObject(const Napi::CallbackInfo &info) : Napi::ObjectWrap<SessionObject>(info) {
  auto home = [&]() -> Result<UniqueFd> {
    if (!info[0].IsString()) return netns::OpenCurrent();
    const auto ref = json::Parse(info[0].As<Napi::String>().Utf8Value());
    if (!ref) return std::unexpected(ref.error());
    Object object(ref->Root());
    netns::NetnsOpen op{.slot = {},
                        .path = object.OptionalString("path"),
                        .pid = object.OptionalU32("pid"),
                        .fd = object.OptionalI32("fd"),
                        .inode = std::nullopt};
    if (!object.Bad().empty()) return Fail(EINVAL, "netns.open", object.Bad());
    return netns::Open(op);
  }();
  if (!home) {
    home.error().syscall = "netns.open";
    Throw(info.Env(), home.error());
    return;
  }
  session_ = std::make_shared<program::Session>(std::move(*home));
}

Napi::Value SessionObject::Run(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  if (session_ == nullptr) {
    Throw(env, Error{.code = EBADF, .syscall = "run", .detail = "the session is closed", .holder = {}, .offset = 0});
    return env.Undefined();
  }
  if (!info[0].IsString() || !info[1].IsFunction()) {
    Napi::TypeError::New(env, "run(plan, done) takes a plan's JSON and a function").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  const auto id = env.GetInstanceData<PlanService>()->Run(session_, info[0].As<Napi::String>().Utf8Value(), info[1].As<Napi::Function>());
  if (!id) {
    Throw(env, id.error());
    return env.Undefined();
  }
  return Napi::Number::New(env, *id);
}

void SessionObject::Cancel(const Napi::CallbackInfo &info) {
  if (info[0].IsNumber()) info.Env().GetInstanceData<PlanService>()->Cancel(info[0].As<Napi::Number>().Uint32Value());
}

Napi::Value SessionObject::Order(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  if (session_ == nullptr || !info[0].IsString()) return Napi::Boolean::New(env, false);
  std::string order = info[0].As<Napi::String>().Utf8Value();
  if (order != last_order_) {
    const auto text = json::Parse(order);
    const json::Value nothing;
    Object object(text ? text->Root() : nothing);
    netns::NetnsCreate like = ReadNetnsCreate(object);
    if (!object.Bad().empty()) {
      Napi::TypeError::New(env, "malformed order at " + object.Bad()).ThrowAsJavaScriptException();
      return env.Undefined();
    }
    last_order_ = std::move(order);
    last_like_ = std::move(like);
  }
  return Napi::Boolean::New(env, env.GetInstanceData<PlanService>()->Order(session_, last_like_));
}

void SessionObject::Expect(const Napi::CallbackInfo &info) {
  if (session_ != nullptr) info.Env().GetInstanceData<PlanService>()->Expect();
}

void SessionObject::CancelOrder(const Napi::CallbackInfo &) {
  if (session_ != nullptr) session_->CancelOrder();
}

Napi::Value SessionObject::Adopt(const Napi::CallbackInfo &info) {
  return Napi::Boolean::New(info.Env(), session_ != nullptr && session_->Adopt(info[0].As<Napi::Number>().Int32Value()));
}

void SessionObject::Close(const Napi::CallbackInfo &info) {
  const auto done = info[0].As<Napi::Function>();
  if (session_ == nullptr) {
    done.Call({});
    return;
  }
  const std::shared_future<void> gone = session_->Gone();
  session_.reset();
  info.Env().GetInstanceData<PlanService>()->RunBeside([gone] { gone.wait(); }, done);
}

}  // namespace netmode::binding

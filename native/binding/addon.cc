// The addon's export list: { Session, openSocket }.
#include <napi.h>

#include "binding/plan_service.h"
#include "binding/session_object.h"
#include "binding/watch_object.h"

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new netmode::binding::PlanService(env));
  exports.Set("Session", netmode::binding::SessionObject::Define(env));
  exports.Set("Watch", netmode::binding::WatchObject::Define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(netmode, Init)

// Probe: what Node does not tell about itself, as a small addon.
//
//   threadCpu()     nanoseconds of CPU that the calling thread has used
//   nativeHeap()    bytes in use of malloc's, over all arenas; V8's own heap is not among them
//   watchTurns()    from now on, notes how much CPU of its thread each turn of the event loop uses; keeps no loop alive
//   turns()         those since then, in nanoseconds, each followed by what of it was garbage collection; none are noted any more
#include <malloc.h>
#include <node_api.h>
#include <uv.h>
#include <v8.h>

#include <cstdint>
#include <ctime>
#include <utility>
#include <vector>

namespace {

std::int64_t ThreadCpu() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

// Of the main thread alone: the benchmark loads this nowhere else.
struct Watch {
  uv_prepare_t handle{};
  std::int64_t began = 0;
  std::int64_t collection_began = 0;
  std::int64_t collected = 0;
  std::vector<std::int64_t> turns;
};
Watch *watch = nullptr;

void BeforeCollection(v8::Isolate * /*isolate*/, v8::GCType /*type*/, v8::GCCallbackFlags /*flags*/, void * /*data*/) {
  watch->collection_began = ThreadCpu();
}

void AfterCollection(v8::Isolate * /*isolate*/, v8::GCType /*type*/, v8::GCCallbackFlags /*flags*/, void * /*data*/) {
  watch->collected += ThreadCpu() - watch->collection_began;
}

// Runs before the loop waits: from one call to the next is one turn, with all that JavaScript did in it.
void OnTurn(uv_prepare_t * /*handle*/) {
  const std::int64_t now = ThreadCpu();
  watch->turns.push_back(now - watch->began);
  watch->turns.push_back(std::exchange(watch->collected, 0));
  watch->began = now;
}

napi_value Number(napi_env env, std::int64_t value) {
  napi_value number = nullptr;
  napi_create_int64(env, value, &number);
  return number;
}

napi_value GetThreadCpu(napi_env env, napi_callback_info /*info*/) { return Number(env, ThreadCpu()); }

napi_value GetNativeHeap(napi_env env, napi_callback_info /*info*/) { return Number(env, static_cast<std::int64_t>(mallinfo2().uordblks)); }

napi_value WatchTurns(napi_env env, napi_callback_info /*info*/) {
  if (watch == nullptr) {
    uv_loop_t *loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return nullptr;
    watch = new Watch;
    uv_prepare_init(loop, &watch->handle);
    uv_unref(reinterpret_cast<uv_handle_t *>(&watch->handle));
    v8::Isolate *isolate = v8::Isolate::GetCurrent();
    isolate->AddGCPrologueCallback(BeforeCollection, nullptr);
    isolate->AddGCEpilogueCallback(AfterCollection, nullptr);
  }
  watch->turns.clear();
  watch->turns.reserve(1 << 17);
  watch->collected = 0;
  watch->began = ThreadCpu();
  uv_prepare_start(&watch->handle, OnTurn);
  return nullptr;
}

napi_value GetTurns(napi_env env, napi_callback_info /*info*/) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  if (watch == nullptr) return list;
  uv_prepare_stop(&watch->handle);
  std::uint32_t i = 0;
  for (const std::int64_t turn : watch->turns) napi_set_element(env, list, i++, Number(env, turn));
  return list;
}

napi_value Init(napi_env env, napi_value exports) {
  const auto add = [env, exports](const char *name, napi_callback callback) {
    napi_value function = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  };
  add("threadCpu", GetThreadCpu);
  add("nativeHeap", GetNativeHeap);
  add("watchTurns", WatchTurns);
  add("turns", GetTurns);
  return exports;
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, Init)

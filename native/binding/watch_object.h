// WatchObject: `new Watch(session, wish, onEvents)`, a watcher whose events come to the loop.
#pragma once

#include <napi.h>

#include <memory>

#include "watch/watcher.h"

namespace netmode::binding {

class WatchObject : public Napi::ObjectWrap<WatchObject> {
 public:
  [[nodiscard]] static Napi::Function Define(Napi::Env env);
  explicit WatchObject(const Napi::CallbackInfo &info);
  ~WatchObject() override;
  WatchObject(const WatchObject &) = delete;
  WatchObject &operator=(const WatchObject &) = delete;

 private:
  // take(): the events since the last call. Called when `onEvents()` has been.
  Napi::Value Take(const Napi::CallbackInfo &info);
  // hold(on): whether waiting for events keeps the process alive. Not at first.
  void Hold(const Napi::CallbackInfo &info);
  // close(done): no more events; `done()` is called when the thread has ended. Idempotent.
  void Close(const Napi::CallbackInfo &info);

  static void OnExit(void *object);
  [[nodiscard]] std::unique_ptr<watch::Watcher> Detach();

  Napi::Env env_;
  napi_threadsafe_function wake_ = nullptr;
  std::unique_ptr<watch::Watcher> watcher_;
};

}  // namespace netmode::binding

// SessionObject: `new Session(json)` of `{ path?, pid?, fd? }`, a host namespace that plans work from.
#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "program/session.h"

namespace netmode::binding {

// Throws an Error with errno, syscall and detail; lib/ makes the public error of it.
void Throw(Napi::Env env, const Error &error);

class SessionObject : public Napi::ObjectWrap<SessionObject> {
 public:
  [[nodiscard]] static Napi::Function Define(Napi::Env env);
  explicit SessionObject(const Napi::CallbackInfo &info);

  // The session; nothing once it is closed.
  [[nodiscard]] std::shared_ptr<program::Session> Opened() const { return session_; }

 private:
  // run(json, done): number. A malformed plan fails with EINVAL, which names the field; nothing has been done then.
  Napi::Value Run(const Napi::CallbackInfo &info);
  // cancel(id)
  void Cancel(const Napi::CallbackInfo &info);
  // order(json): boolean. Has the namespace of a netns.create made that is to come, whatever its name; false: one is being made already.
  Napi::Value Order(const Napi::CallbackInfo &info);
  // expect(): a plan will be run in a moment.
  void Expect(const Napi::CallbackInfo &info);
  // cancelOrder(): no plan will come for it.
  void CancelOrder(const Napi::CallbackInfo &info);
  // adopt(fd): boolean. What a socket.open has answered is the caller's from now on; false: the session has been closed, and it with it.
  Napi::Value Adopt(const Napi::CallbackInfo &info);
  // close(done): plans under way finish, with what they do behind their answer; `done` is called when nothing is left open.
  void Close(const Napi::CallbackInfo &info);

  std::shared_ptr<program::Session> session_;
  // Mostly the same again: read once.
  std::string last_order_;
  netns::NetnsCreate last_like_;
};

}  // namespace netmode::binding

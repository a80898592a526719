#include "binding/watch_object.h"

#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/json.h"
#include "binding/object.h"
#include "binding/plan_service.h"
#include "binding/session_object.h"
#include "binding/write_rtnl.h"
#include "nft/list_rules.h"

namespace netmode::binding {
namespace {

std::vector<std::string> Strings(Object &object, const char *key) {
  std::vector<std::string> strings;
  if (object.Has(key)) object.ForEachString(key, [&](std::string_view text) { strings.emplace_back(text); });
  return strings;
}

watch::Wanted ReadWanted(Object &object) {
  watch::Wanted wanted{.ruleset = object.Flag("ruleset"),
                       .tables = object.Flag("tables"),
                       .losses = object.Flag("losses"),
                       .folders = Strings(object, "folders"),
                       .trees = Strings(object, "trees"),
                       .removals = Strings(object, "removals")};
  for (const std::string &kind : Strings(object, "kinds")) {
    const auto groups = watch::RouteGroups(kind);
    if (groups.empty()) object.MarkBad("kinds");
    wanted.route_groups.insert(wanted.route_groups.end(), groups.begin(), groups.end());
  }
  return wanted;
}

struct EventWriter {
  Napi::Env env;
  Napi::Object event;

  void Kernel(const char *type, Napi::Object object) {
    event.Set("type", type);
    event.Set("object", object);
  }
  void operator()(const rtnl::Link &link) { Kernel("link", Write(env, link)); }
  void operator()(const rtnl::Address &address) { Kernel("address", Write(env, address)); }
  void operator()(const rtnl::Route &route) { Kernel("route", Write(env, route)); }
  void operator()(const rtnl::Neighbor &neighbor) { Kernel("neighbor", Write(env, neighbor)); }
  void operator()(const watch::RulesetChange &change) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("kind", change.kind);
    object.Set("family", nft::FamilyName(change.family));
    object.Set("table", change.table);
    if (!change.name.empty()) object.Set("name", change.name);
    Kernel("ruleset", object);
  }
  void operator()(const watch::FileChange &change) {
    event.Set("type", "file");
    event.Set("folder", change.folder);
    event.Set("name", change.name);
  }
  void operator()(const watch::Loss &loss) {
    event.Set("type", "loss");
    event.Set("what", loss.what);
    if (loss.index != 0) event.Set("index", loss.index);
    if (loss.nsid) event.Set("nsid", *loss.nsid);
    if (!loss.name.empty()) event.Set("name", loss.name);
    if (!loss.alias.empty()) event.Set("alias", loss.alias);
  }
  void operator()(const watch::Overrun &) { event.Set("type", "overrun"); }
};

}  // namespace

Napi::Function WatchObject::Define(Napi::Env env) {
  return DefineClass(env, "Watch",
                     {
                         InstanceMethod<&WatchObject::Take>("take"),
                         InstanceMethod<&WatchObject::Hold>("hold"),
                         InstanceMethod<&WatchObject::Close>("close"),
                     });
}

WatchObject::WatchObject(const Napi::CallbackInfo &info) : Napi::ObjectWrap<WatchObject>(info), env_(info.Env()) {
  if (!info[0].IsObject() || !info[1].IsString() || !info[2].IsFunction()) {
    Napi::TypeError::New(env_, "Watch(session, wish, onEvents) takes a session, a wish's JSON and a function").ThrowAsJavaScriptException();
    return;
  }
  const auto wish = json::Parse(info[1].As<Napi::String>().Utf8Value());
  if (!wish) {
    Throw(env_, wish.error());
    return;
  }
  Object object(wish->Root());
  const watch::Wanted wanted = ReadWanted(object);
  if (!object.Bad().empty()) {
    Napi::TypeError::New(env_, "malformed wish at " + object.Bad()).ThrowAsJavaScriptException();
    return;
  }
  const SessionObject *const wrapped = SessionObject::Unwrap(info[0].As<Napi::Object>());
  if (wrapped == nullptr) return;  // another object, or a worker that is being terminated; the exception is thrown
  const auto session = wrapped->Opened();
  if (session == nullptr) {
    Throw(env_, Error{.code = EBADF, .syscall = "watch", .detail = "the session is closed", .holder = {}, .offset = 0});
    return;
  }
  // One call at a time is enough: it takes all there is.
  napi_create_threadsafe_function(env_, info[2], nullptr, Napi::String::New(env_, "netmode-watch"), 1, 1, nullptr, nullptr, nullptr,
                                  nullptr, &wake_);
  napi_unref_threadsafe_function(env_, wake_);
  const napi_threadsafe_function wake = wake_;
  auto started =
      watch::Watcher::Start(session->Home(), wanted, [wake] { napi_call_threadsafe_function(wake, nullptr, napi_tsfn_nonblocking); });
  if (!started) {
    napi_release_threadsafe_function(wake_, napi_tsfn_abort);
    Throw(env_, started.error());
    return;
  }
  watcher_ = std::move(*started);
  napi_add_env_cleanup_hook(env_, OnExit, this);
}

WatchObject::~WatchObject() {
  if (watcher_ == nullptr) return;
  napi_remove_env_cleanup_hook(env_, OnExit, this);
  Detach().reset();
}

void WatchObject::OnExit(void *object) { static_cast<WatchObject *>(object)->Detach().reset(); }

// The watcher, which calls the threadsafe function no more.
std::unique_ptr<watch::Watcher> WatchObject::Detach() {
  watcher_->Silence();
  napi_release_threadsafe_function(wake_, napi_tsfn_abort);
  return std::move(watcher_);
}

Napi::Value WatchObject::Take(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  if (watcher_ == nullptr) return Napi::Array::New(env);
  const auto events = watcher_->Take();
  Napi::Array array = Napi::Array::New(env, events.size());
  std::uint32_t position = 0;
  for (const watch::Event &event : events) {
    const Napi::HandleScope scope(env);
    Napi::Object object = Napi::Object::New(env);
    std::visit(EventWriter{.env = env, .event = object}, event.what);
    object.Set("action", event.gone ? "delete" : "new");
    array.Set(position++, object);
  }
  return array;
}

void WatchObject::Hold(const Napi::CallbackInfo &info) {
  if (watcher_ == nullptr) return;
  // Read, not coerced: a coercion fails in a worker that is being terminated.
  if (info[0].IsBoolean() && info[0].As<Napi::Boolean>().Value()) {
    napi_ref_threadsafe_function(env_, wake_);
  } else {
    napi_unref_threadsafe_function(env_, wake_);
  }
}

// The loop would stand still while the thread ends and the kernel takes its watches down.
void WatchObject::Close(const Napi::CallbackInfo &info) {
  const auto done = info[0].As<Napi::Function>();
  if (watcher_ == nullptr) {
    done.Call({});
    return;
  }
  napi_remove_env_cleanup_hook(env_, OnExit, this);
  info.Env().GetInstanceData<PlanService>()->RunBeside([watcher = std::shared_ptr(Detach())]() mutable { watcher.reset(); }, done);
}

}  // namespace netmode::binding

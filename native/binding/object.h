// Object: typed reading of a plain JavaScript object. The first wrong field is remembered; the caller checks Bad() once.
#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <string>

namespace netmode::binding {

class Object {
 public:
  explicit Object(Napi::Object object) : object_(object) {}

  // Absent and undefined are the same.
  [[nodiscard]] bool Has(const char *key) const { return !Get(key).IsUndefined(); }
  [[nodiscard]] std::string String(const char *key);
  [[nodiscard]] std::optional<std::string> OptionalString(const char *key);
  [[nodiscard]] std::uint32_t U32(const char *key);
  [[nodiscard]] std::optional<std::uint32_t> OptionalU32(const char *key);
  [[nodiscard]] std::optional<std::int32_t> OptionalI32(const char *key);
  // A number or a bigint.
  [[nodiscard]] std::optional<std::uint64_t> OptionalU64(const char *key);
  [[nodiscard]] bool Flag(const char *key);  // absent: false
  [[nodiscard]] std::optional<bool> OptionalBool(const char *key);
  [[nodiscard]] std::optional<Object> OptionalObject(const char *key);
  // Absent: none.
  template <class Read>
  void ForEachObject(const char *key, Read read) {
    const Napi::Value value = Get(key);
    if (value.IsUndefined()) return;
    if (!value.IsArray()) return MarkBad(key);
    const auto array = value.As<Napi::Array>();
    for (std::uint32_t i = 0; i < array.Length() && bad_.empty(); ++i) {
      const Napi::Value item = array.Get(i);
      if (!item.IsObject()) return MarkBad(key);
      Object one(item.As<Napi::Object>());
      read(one);
      if (!one.Bad().empty()) MarkBad(std::string(key) + "." + one.Bad());
    }
  }
  [[nodiscard]] Napi::Value Get(const char *key) const { return object_.Get(key); }
  [[nodiscard]] Napi::Env Env() const { return object_.Env(); }

  // Name of the first field that had the wrong type, or empty.
  [[nodiscard]] const std::string &Bad() const { return bad_; }
  void MarkBad(std::string key) {
    if (bad_.empty()) bad_ = std::move(key);
  }

 private:
  Napi::Object object_;
  std::string bad_;
};

}  // namespace netmode::binding

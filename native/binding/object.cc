#include "binding/object.h"

#include <cmath>

namespace netmode::binding {

std::string Object::String(const char *key) {
  auto text = OptionalString(key);
  if (!text) MarkBad(key);
  return text.value_or("");
}

std::optional<std::string> Object::OptionalString(const char *key) {
  const Napi::Value value = Get(key);
  if (value.IsUndefined()) return std::nullopt;
  if (!value.IsString()) {
    MarkBad(key);
    return std::nullopt;
  }
  return value.As<Napi::String>().Utf8Value();
}

std::uint32_t Object::U32(const char *key) {
  const auto number = OptionalU32(key);
  if (!number) MarkBad(key);
  return number.value_or(0);
}

std::optional<std::uint32_t> Object::OptionalU32(const char *key) {
  const auto number = OptionalU64(key);
  if (!number) return std::nullopt;
  if (*number > UINT32_MAX) {
    MarkBad(key);
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(*number);
}

std::optional<std::int32_t> Object::OptionalI32(const char *key) {
  const Napi::Value value = Get(key);
  if (value.IsUndefined()) return std::nullopt;
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
  if (!(std::trunc(number) == number && std::abs(number) <= INT32_MAX)) {
    MarkBad(key);
    return std::nullopt;
  }
  return static_cast<std::int32_t>(number);
}

std::optional<std::uint64_t> Object::OptionalU64(const char *key) {
  const Napi::Value value = Get(key);
  if (value.IsUndefined()) return std::nullopt;
  if (value.IsBigInt()) {
    bool lossless = false;
    const std::uint64_t integer = value.As<Napi::BigInt>().Uint64Value(&lossless);
    if (lossless) return integer;
  } else if (value.IsNumber()) {
    constexpr double kMaxSafeInteger = 9007199254740991.0;
    const double number = value.As<Napi::Number>().DoubleValue();
    if (std::trunc(number) == number && number >= 0 && number <= kMaxSafeInteger) return static_cast<std::uint64_t>(number);
  }
  MarkBad(key);
  return std::nullopt;
}

bool Object::Flag(const char *key) { return OptionalBool(key).value_or(false); }

std::optional<bool> Object::OptionalBool(const char *key) {
  const Napi::Value value = Get(key);
  if (value.IsUndefined()) return std::nullopt;
  if (!value.IsBoolean()) {
    MarkBad(key);
    return std::nullopt;
  }
  return value.As<Napi::Boolean>().Value();
}

std::optional<Object> Object::OptionalObject(const char *key) {
  const Napi::Value value = Get(key);
  if (value.IsUndefined()) return std::nullopt;
  if (!value.IsObject()) {
    MarkBad(key);
    return std::nullopt;
  }
  return Object(value.As<Napi::Object>());
}

}  // namespace netmode::binding

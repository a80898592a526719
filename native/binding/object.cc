#include "binding/object.h"

#include <charconv>
#include <cmath>

namespace netmode::binding {

bool Object::IsNull(std::string_view key) const {
  const json::Value *value = value_->Find(key);
  return value != nullptr && value->kind == json::Kind::kNull;
}

std::string Object::String(std::string_view key) {
  auto text = OptionalString(key);
  if (!text) MarkBad(key);
  return std::move(text).value_or("");
}

std::optional<std::string> Object::OptionalString(std::string_view key) {
  const json::Value *value = Get(key, json::Kind::kString);
  if (value == nullptr) return std::nullopt;
  return std::string(value->text);
}

std::uint32_t Object::U32(std::string_view key) {
  const auto number = OptionalU32(key);
  if (!number) MarkBad(key);
  return number.value_or(0);
}

std::optional<std::uint32_t> Object::OptionalU32(std::string_view key) {
  const auto number = Integer(key, 0, UINT32_MAX);
  if (!number) return std::nullopt;
  return static_cast<std::uint32_t>(*number);
}

std::optional<std::int32_t> Object::OptionalI32(std::string_view key) {
  const auto number = Integer(key, INT32_MIN, INT32_MAX);
  if (!number) return std::nullopt;
  return static_cast<std::int32_t>(*number);
}

std::optional<std::uint64_t> Object::OptionalU64(std::string_view key) {
  const json::Value *value = Get(key, json::Kind::kString);
  if (value == nullptr) return std::nullopt;
  const char *const end = value->text.data() + value->text.size();
  std::uint64_t number = 0;
  const auto [stop, error] = std::from_chars(value->text.data(), end, number);
  if (error == std::errc() && stop == end) return number;
  MarkBad(key);
  return std::nullopt;
}

bool Object::Flag(std::string_view key) { return OptionalBool(key).value_or(false); }

std::optional<bool> Object::OptionalBool(std::string_view key) {
  const json::Value *value = Get(key, json::Kind::kBool);
  if (value == nullptr) return std::nullopt;
  return value->flag;
}

std::optional<Object> Object::OptionalObject(std::string_view key) {
  const json::Value *value = Get(key, json::Kind::kObject);
  if (value == nullptr) return std::nullopt;
  return Object(*value);
}

std::span<const json::Value> Object::Items(std::string_view key) {
  const json::Value *value = Get(key, json::Kind::kArray);
  if (value != nullptr) return value->items;
  MarkBad(key);
  return {};
}

const json::Value *Object::Get(std::string_view key, json::Kind kind) {
  const json::Value *value = value_->Find(key);
  if (value == nullptr || value->kind == kind) return value;
  MarkBad(key);
  return nullptr;
}

std::optional<double> Object::Integer(std::string_view key, double least, double most) {
  const json::Value *value = Get(key, json::Kind::kNumber);
  if (value == nullptr) return std::nullopt;
  if (std::trunc(value->number) == value->number && value->number >= least && value->number <= most) return value->number;
  MarkBad(key);
  return std::nullopt;
}

}  // namespace netmode::binding

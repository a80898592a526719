// Object: typed reading of an object of a plan. The first wrong field is remembered; the caller checks Bad() once.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/json.h"

namespace netmode::binding {

class Object {
 public:
  // Of a value that is one, and that stays where it is meanwhile.
  explicit Object(const json::Value &value) : value_(&value) {}

  [[nodiscard]] bool Has(std::string_view key) const { return value_->Find(key) != nullptr; }
  [[nodiscard]] bool IsNull(std::string_view key) const;
  [[nodiscard]] std::string String(std::string_view key);
  [[nodiscard]] std::optional<std::string> OptionalString(std::string_view key);
  [[nodiscard]] std::uint32_t U32(std::string_view key);
  [[nodiscard]] std::optional<std::uint32_t> OptionalU32(std::string_view key);
  [[nodiscard]] std::optional<std::int32_t> OptionalI32(std::string_view key);
  // In decimal digits, as a string: JSON's numbers end at 2^53.
  [[nodiscard]] std::optional<std::uint64_t> OptionalU64(std::string_view key);
  [[nodiscard]] bool Flag(std::string_view key);  // absent: false
  [[nodiscard]] std::optional<bool> OptionalBool(std::string_view key);
  [[nodiscard]] std::optional<Object> OptionalObject(std::string_view key);

  // The items of an array, which has to be there.
  [[nodiscard]] std::span<const json::Value> Items(std::string_view key);
  // Calls `read(text)` for each string of an array, which has to be there.
  template <class Read>
  void ForEachString(std::string_view key, Read read) {
    for (const json::Value &item : Items(key)) {
      if (item.kind != json::Kind::kString) return MarkBad(key);
      read(item.text);
    }
  }
  // Calls `read(object)` for each object of an array, which has to be there.
  template <class Read>
  void ForEachObject(std::string_view key, Read read) {
    std::size_t place = 0;
    for (const json::Value &item : Items(key)) {
      const auto path = [&] { return std::string(key) + '[' + std::to_string(place) + ']'; };
      if (item.kind != json::Kind::kObject) return MarkBad(path());
      Object one(item);
      read(one);
      if (!one.Bad().empty()) return MarkBad(path() + '.' + one.Bad());
      ++place;
    }
  }

  // Name of the first field that had the wrong type, or empty.
  [[nodiscard]] const std::string &Bad() const { return bad_; }
  void MarkBad(std::string_view key) {
    if (bad_.empty()) bad_ = key;
  }

 private:
  // The value under the key if it is of that kind; nothing, and marked if there is another.
  [[nodiscard]] const json::Value *Get(std::string_view key, json::Kind kind);
  [[nodiscard]] std::optional<double> Integer(std::string_view key, double least, double most);

  const json::Value *value_;
  std::string bad_;
};

}  // namespace netmode::binding

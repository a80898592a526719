// Json: reads a text of JSON (RFC 8259) into values that can be asked. Plans come that way; whatever else comes is refused, and no
// nesting or length of it does harm.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace netmode::json {

enum class Kind : std::uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

struct Value {
  Kind kind = Kind::kNull;
  bool flag = false;
  double number = 0;
  std::string text;               // UTF-8
  std::vector<std::string> keys;  // of an object, with their values at the same places in `items`
  std::vector<Value> items;

  // The last one under the key, or nothing; also for what is no object.
  [[nodiscard]] const Value *Find(std::string_view key) const;
};

// EINVAL, with the place where the text stops being JSON.
[[nodiscard]] Result<Value> Parse(std::string_view text);

}  // namespace netmode::json

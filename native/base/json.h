// Json: reads a text of JSON (RFC 8259) into values that can be asked. Plans come that way; whatever else comes is refused, and no
// nesting or length of it does harm.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace netmode::json {

enum class Kind : std::uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

// Points into its document.
struct Value {
  Kind kind = Kind::kNull;
  bool flag = false;
  double number = 0;
  std::string_view text;         // UTF-8
  std::string_view key;          // of a member of an object
  std::span<const Value> items;  // of an array or an object

  // The last one under the key, or nothing; also for what is no object.
  [[nodiscard]] const Value *Find(std::string_view key) const;
};

// Members of arrays and objects, in a few large pieces that stay where they are: a few hundred small allocations would be felt in
// every plan.
using Values = std::vector<std::unique_ptr<Value[]>>;

// A text that has been read. Strings are views of it, their escapes resolved in place.
class Document {
 public:
  Document(std::unique_ptr<std::string> text, const Value &root, Values values)
      : text_(std::move(text)), root_(root), values_(std::move(values)) {}

  [[nodiscard]] const Value &Root() const { return root_; }

 private:
  std::unique_ptr<std::string> text_;  // not by itself: a short one would move its characters along
  Value root_;
  Values values_;
};

// EINVAL, with the place where the text stops being JSON.
[[nodiscard]] Result<Document> Parse(std::string text);

}  // namespace netmode::json

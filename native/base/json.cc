#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <ranges>
#include <utility>

namespace netmode::json {

namespace {

// Plans nest six deep: a hostile text must not eat the stack.
constexpr int kMaxDepth = 32;
// Values in a piece of memory.
constexpr std::size_t kFewest = 128;
constexpr std::uint32_t kReplacement = 0xfffd;

bool IsHigh(std::uint32_t unit) { return unit >= 0xd800 && unit < 0xdc00; }
bool IsLow(std::uint32_t unit) { return unit >= 0xdc00 && unit < 0xe000; }

// Never longer than the escape that stands for it.
void WriteUtf8(char *&to, std::uint32_t point) {
  const auto append = [&](std::uint32_t byte) { *to++ = static_cast<char>(byte); };
  if (point < 0x80) return append(point);
  if (point < 0x800) {
    append(0xc0 | point >> 6);
  } else if (point < 0x10000) {
    append(0xe0 | point >> 12);
    append(0x80 | (point >> 6 & 0x3f));
  } else {
    append(0xf0 | point >> 18);
    append(0x80 | (point >> 12 & 0x3f));
    append(0x80 | (point >> 6 & 0x3f));
  }
  append(0x80 | (point & 0x3f));
}

class Parser {
 public:
  explicit Parser(std::string &text) : text_(text) {}

  [[nodiscard]] bool Whole() {
    if (!ReadValue(root_, 0)) return false;
    SkipBlanks();
    return at_ == text_.size();
  }
  [[nodiscard]] std::size_t Place() const noexcept { return at_; }
  [[nodiscard]] const Value &Root() const noexcept { return root_; }
  [[nodiscard]] Values TakeValues() { return std::move(values_); }

 private:
  void SkipBlanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) ++at_;
  }
  [[nodiscard]] std::string_view Rest() const { return std::string_view(text_).substr(at_); }
  [[nodiscard]] bool Take(std::string_view word) {
    if (!Rest().starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  [[nodiscard]] bool Take(char c) {
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  // Behind blanks.
  [[nodiscard]] bool TakeNext(char c) {
    SkipBlanks();
    return Take(c);
  }

  [[nodiscard]] bool ReadValue(Value &value, int depth) {
    if (depth == kMaxDepth) return false;
    SkipBlanks();
    if (Take('"')) {
      value.kind = Kind::kString;
      return ReadString(value.text);
    }
    if (Take('{')) return ReadObject(value, depth);
    if (Take('[')) return ReadArray(value, depth);
    if (Take("null")) return true;
    if (Take("true") || Take("false")) {
      value.kind = Kind::kBool;
      value.flag = text_[at_ - 2] == 'u';  // tr-u-e, fal-s-e
      return true;
    }
    return ReadNumber(value);
  }

  [[nodiscard]] bool ReadObject(Value &value, int depth) {
    value.kind = Kind::kObject;
    if (TakeNext('}')) return true;
    const std::size_t first = open_.size();
    do {
      Value item;
      if (!TakeNext('"') || !ReadString(item.key) || !TakeNext(':')) return false;
      if (!ReadValue(item, depth + 1)) return false;
      open_.push_back(item);
    } while (TakeNext(','));
    value.items = Close(first);
    return Take('}');
  }

  [[nodiscard]] bool ReadArray(Value &value, int depth) {
    value.kind = Kind::kArray;
    if (TakeNext(']')) return true;
    const std::size_t first = open_.size();
    do {
      Value item;
      if (!ReadValue(item, depth + 1)) return false;
      open_.push_back(item);
    } while (TakeNext(','));
    value.items = Close(first);
    return Take(']');
  }

  // The members of what ends here, to the place where they stay.
  [[nodiscard]] std::span<const Value> Close(std::size_t first) {
    const std::size_t count = open_.size() - first;
    if (count > room_) {
      room_ = std::max(count, kFewest);
      values_.push_back(std::make_unique_for_overwrite<Value[]>(room_));
      free_ = values_.back().get();
    }
    Value *const start = free_;
    std::ranges::copy(open_.begin() + static_cast<std::ptrdiff_t>(first), open_.end(), start);
    free_ += count;
    room_ -= count;
    open_.resize(first);
    return {start, count};
  }

  // Behind the opening quote. Most of a plan is text that has been written as JSON twice, so this is where its time goes.
  [[nodiscard]] bool ReadString(std::string_view &text) {
    char *const start = text_.data() + at_;
    char *const end = text_.data() + text_.size();
    char *from = start;
    while (from != end && *from != '"' && *from != '\\') ++from;
    char *to = from;
    while (from != end && *from != '"') {
      if (*from != '\\') {
        *to++ = *from++;
      } else if (from + 1 != end && (from[1] == '"' || from[1] == '\\')) {
        *to++ = from[1];
        from += 2;
      } else {
        at_ = static_cast<std::size_t>(from + 1 - text_.data());
        if (!ReadEscape(to)) return false;
        from = text_.data() + at_;
      }
    }
    at_ = static_cast<std::size_t>(from - text_.data());
    if (from == end) return false;
    ++at_;
    text = {start, to};
    return true;
  }

  // Behind the backslash.
  [[nodiscard]] bool ReadEscape(char *&to) {
    if (Take('u')) return ReadPoint(to);
    constexpr std::string_view kCodes = "\"\\/bfnrt";
    constexpr std::string_view kPlain = "\"\\/\b\f\n\r\t";
    const std::size_t code = at_ < text_.size() ? kCodes.find(text_[at_]) : std::string_view::npos;
    if (code == std::string_view::npos) return false;
    *to++ = kPlain[code];
    ++at_;
    return true;
  }

  // Half a pair stands for nothing that UTF-8 could say.
  [[nodiscard]] bool ReadPoint(char *&to) {
    const auto first = ReadUnit();
    if (!first) return false;
    if (IsHigh(*first) && Rest().starts_with("\\u")) {
      const std::size_t before = at_;
      at_ += 2;
      const auto second = ReadUnit();
      if (!second) return false;
      if (IsLow(*second)) {
        WriteUtf8(to, 0x10000 + ((*first - 0xd800) << 10) + (*second - 0xdc00));
        return true;
      }
      at_ = before;
    }
    WriteUtf8(to, IsHigh(*first) || IsLow(*first) ? kReplacement : *first);
    return true;
  }

  [[nodiscard]] std::optional<std::uint32_t> ReadUnit() {
    constexpr std::size_t kDigits = 4;
    const std::string_view digits = Rest().substr(0, kDigits);
    std::uint32_t unit = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), unit, 16);
    if (digits.size() != kDigits || error != std::errc() || stop != digits.data() + kDigits) return std::nullopt;
    at_ += kDigits;
    return unit;
  }

  [[nodiscard]] bool ReadNumber(Value &value) {
    const std::string_view rest = Rest();
    const std::size_t digit = rest.starts_with('-') ? 1 : 0;
    if (digit >= rest.size() || rest[digit] < '0' || rest[digit] > '9') return false;  // from_chars also takes "inf"
    const auto [stop, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value.number);
    if (error != std::errc()) return false;
    value.kind = Kind::kNumber;
    at_ += static_cast<std::size_t>(stop - rest.data());
    return true;
  }

  std::string &text_;
  std::size_t at_ = 0;
  Value root_;
  std::vector<Value> open_;  // members of what has begun and not ended
  Values values_;            // those of what has ended
  Value *free_ = nullptr;    // what is left of the last piece
  std::size_t room_ = 0;
};

}  // namespace

const Value *Value::Find(std::string_view key) const {
  if (kind != Kind::kObject) return nullptr;
  for (const Value &item : items | std::views::reverse) {
    if (item.key == key) return &item;
  }
  return nullptr;
}

Result<Document> Parse(std::string text) {
  auto kept = std::make_unique<std::string>(std::move(text));
  Parser parser(*kept);
  if (!parser.Whole()) return Fail(EINVAL, "json", "no JSON from character " + std::to_string(parser.Place()) + " on");
  return Document(std::move(kept), parser.Root(), parser.TakeValues());
}

}  // namespace netmode::json

#include "base/json.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <ranges>
#include <utility>

namespace netmode::json {

namespace {

// Plans nest six deep: a hostile text must not eat the stack.
constexpr int kMaxDepth = 32;
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
  explicit Parser(std::string &text) : text_(text) {
    // No value without a comma or a bracket before it, but the first.
    const auto begins_value = [](char c) { return c == ',' || c == '[' || c == '{'; };
    values_.reserve(1 + static_cast<std::size_t>(std::ranges::count_if(text_, begins_value)));
  }

  [[nodiscard]] bool Whole() {
    Value value;
    if (!ReadValue(value, 0)) return false;
    SkipBlanks();
    values_.push_back(value);
    return at_ == text_.size();
  }
  [[nodiscard]] std::size_t Place() const noexcept { return at_; }
  [[nodiscard]] std::vector<Value> TakeValues() { return std::move(values_); }

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
    const std::size_t start = values_.size();
    values_.insert(values_.end(), open_.begin() + static_cast<std::ptrdiff_t>(first), open_.end());
    open_.resize(first);
    return std::span<const Value>(values_).subspan(start);
  }

  // Behind the opening quote.
  [[nodiscard]] bool ReadString(std::string_view &text) {
    char *const start = text_.data() + at_;
    char *const end = text_.data() + text_.size();
    char *to = start;
    while (true) {
      char *const from = text_.data() + at_;
      char *const stop = std::find_if(from, end, [](char c) { return c == '"' || c == '\\'; });
      if (stop == end) {
        at_ = text_.size();
        return false;
      }
      if (to != from) std::memmove(to, from, static_cast<std::size_t>(stop - from));
      to += stop - from;
      at_ += static_cast<std::size_t>(stop - from) + 1;
      if (*stop == '"') break;
      if (!ReadEscape(to)) return false;
    }
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
  std::vector<Value> open_;    // members of what has begun and not ended
  std::vector<Value> values_;  // those of what has ended; never moves, as there is room for all
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
  return Document(std::move(kept), parser.TakeValues());
}

}  // namespace netmode::json

#include "base/json.h"

#include <charconv>
#include <optional>

namespace netmode::json {

namespace {

// Plans nest six deep: a hostile text must not eat the stack.
constexpr int kMaxDepth = 32;
constexpr std::size_t kUsual = 8;  // members of an object
constexpr std::uint32_t kReplacement = 0xfffd;

bool IsHigh(std::uint32_t unit) { return unit >= 0xd800 && unit < 0xdc00; }
bool IsLow(std::uint32_t unit) { return unit >= 0xdc00 && unit < 0xe000; }

void AppendUtf8(std::string &text, std::uint32_t point) {
  const auto append = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
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
  explicit Parser(std::string_view text) : text_(text) {}

  [[nodiscard]] bool Whole(Value &value) {
    if (!ReadValue(value, 0)) return false;
    SkipBlanks();
    return at_ == text_.size();
  }
  [[nodiscard]] std::size_t Place() const noexcept { return at_; }

 private:
  void SkipBlanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) ++at_;
  }
  [[nodiscard]] bool Take(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  // Behind blanks.
  [[nodiscard]] bool TakeNext(std::string_view word) {
    SkipBlanks();
    return Take(word);
  }

  [[nodiscard]] bool ReadValue(Value &value, int depth) {
    if (depth == kMaxDepth) return false;
    SkipBlanks();
    if (Take("\"")) {
      value.kind = Kind::kString;
      return ReadString(value.text);
    }
    if (Take("{")) return ReadObject(value, depth);
    if (Take("[")) return ReadArray(value, depth);
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
    if (TakeNext("}")) return true;
    value.keys.reserve(kUsual);
    value.items.reserve(kUsual);
    do {
      if (!TakeNext("\"") || !ReadString(value.keys.emplace_back()) || !TakeNext(":")) return false;
      if (!ReadValue(value.items.emplace_back(), depth + 1)) return false;
    } while (TakeNext(","));
    return Take("}");
  }

  [[nodiscard]] bool ReadArray(Value &value, int depth) {
    value.kind = Kind::kArray;
    if (TakeNext("]")) return true;
    value.items.reserve(kUsual);
    do {
      if (!ReadValue(value.items.emplace_back(), depth + 1)) return false;
    } while (TakeNext(","));
    return Take("]");
  }

  // Behind the opening quote.
  [[nodiscard]] bool ReadString(std::string &text) {
    for (;;) {
      const std::size_t plain = text_.find_first_of("\"\\", at_);
      if (plain == std::string_view::npos) return false;
      text += text_.substr(at_, plain - at_);
      at_ = plain + 1;
      if (text_[plain] == '"') return true;
      if (!ReadEscape(text)) return false;
    }
  }

  // Behind the backslash.
  [[nodiscard]] bool ReadEscape(std::string &text) {
    if (Take("u")) return ReadPoint(text);
    constexpr std::string_view kCodes = "\"\\/bfnrt";
    constexpr std::string_view kPlain = "\"\\/\b\f\n\r\t";
    const std::size_t code = at_ < text_.size() ? kCodes.find(text_[at_]) : std::string_view::npos;
    if (code == std::string_view::npos) return false;
    text += kPlain[code];
    ++at_;
    return true;
  }

  // Half a pair stands for nothing that UTF-8 could say.
  [[nodiscard]] bool ReadPoint(std::string &text) {
    const auto first = ReadUnit();
    if (!first) return false;
    if (IsHigh(*first) && text_.substr(at_).starts_with("\\u")) {
      const std::size_t before = at_;
      at_ += 2;
      const auto second = ReadUnit();
      if (!second) return false;
      if (IsLow(*second)) {
        AppendUtf8(text, 0x10000 + ((*first - 0xd800) << 10) + (*second - 0xdc00));
        return true;
      }
      at_ = before;
    }
    AppendUtf8(text, IsHigh(*first) || IsLow(*first) ? kReplacement : *first);
    return true;
  }

  [[nodiscard]] std::optional<std::uint32_t> ReadUnit() {
    constexpr std::size_t kDigits = 4;
    const std::string_view digits = text_.substr(at_, kDigits);
    std::uint32_t unit = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), unit, 16);
    if (digits.size() != kDigits || error != std::errc() || stop != digits.data() + kDigits) return std::nullopt;
    at_ += kDigits;
    return unit;
  }

  [[nodiscard]] bool ReadNumber(Value &value) {
    const std::string_view rest = text_.substr(at_);
    const std::size_t digit = rest.starts_with('-') ? 1 : 0;
    if (digit >= rest.size() || rest[digit] < '0' || rest[digit] > '9') return false;  // from_chars also takes "inf"
    const auto [stop, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value.number);
    if (error != std::errc()) return false;
    value.kind = Kind::kNumber;
    at_ += static_cast<std::size_t>(stop - rest.data());
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

const Value *Value::Find(std::string_view key) const {
  for (std::size_t i = keys.size(); i-- > 0;) {
    if (keys[i] == key) return &items[i];
  }
  return nullptr;
}

Result<Value> Parse(std::string_view text) {
  Value value;
  Parser parser(text);
  if (!parser.Whole(value)) return Fail(EINVAL, "json", "no JSON from character " + std::to_string(parser.Place()) + " on");
  return value;
}

}  // namespace netmode::json

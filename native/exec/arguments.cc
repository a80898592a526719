#include "exec/arguments.h"

#include <charconv>
#include <string_view>

#include "exec/capabilities.h"

namespace netmode::exec {

namespace {

[[nodiscard]] std::unexpected<Error> Wrong(std::string_view option, std::string_view value = {}) {
  return Fail(EINVAL, "arguments", std::string(option) + (value.empty() ? "" : " ") + std::string(value));
}

// Reads the values behind one option.
class Reader {
 public:
  explicit Reader(std::span<char *> argv) : argv_(argv) {}

  [[nodiscard]] bool Done() const { return at_ >= argv_.size(); }
  [[nodiscard]] const char *Next() { return Done() ? nullptr : argv_[at_++]; }
  [[nodiscard]] std::span<char *> Rest() const { return argv_.subspan(at_); }

  [[nodiscard]] Result<int> Number(std::string_view option) {
    const char *text = Next();
    if (text == nullptr) return Wrong(option);
    const std::string_view digits = text;
    int number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc{} || end != digits.data() + digits.size() || number < 0) return Wrong(option, digits);
    return number;
  }

 private:
  std::span<char *> argv_;
  std::size_t at_ = 0;
};

struct NumberOption {
  std::string_view name;
  int Arguments::*field;
};
constexpr NumberOption kNumbers[] = {
    {"--netns-fd", &Arguments::netns_fd}, {"--error-fd", &Arguments::error_fd}, {"--uid", &Arguments::uid},
    {"--gid", &Arguments::gid},           {"--keep-fds", &Arguments::keep_fds},
};
struct TextOption {
  std::string_view name;
  const char *Arguments::*field;
};
constexpr TextOption kTexts[] = {
    {"--hostname", &Arguments::hostname},
    {"--cwd", &Arguments::cwd},
    {"--argv0", &Arguments::argv0},
};

[[nodiscard]] Result<void> ParseOther(std::string_view option, Reader &reader, Arguments &arguments) {
  if (option == "--sysfs") {
    arguments.sysfs = true;
    return {};
  }
  if (option == "--mount") {
    const char *source = reader.Next();
    const char *target = reader.Next();
    if (target == nullptr) return Wrong(option);
    arguments.mounts.push_back({.source = source, .target = target});
    return {};
  }
  if (option == "--close-fd") {
    const auto fd = reader.Number(option);
    if (!fd) return std::unexpected(fd.error());
    arguments.closed_fds.push_back(*fd);
    return {};
  }
  if (option == "--drop-cap") {
    const char *name = reader.Next();
    if (name == nullptr || !AddCapability(name, arguments.drop_capabilities)) return Wrong(option, name == nullptr ? "" : name);
    return {};
  }
  return Wrong(option);
}

[[nodiscard]] Result<void> ParseOne(std::string_view option, Reader &reader, Arguments &arguments) {
  for (const NumberOption &known : kNumbers) {
    if (option != known.name) continue;
    const auto number = reader.Number(option);
    if (!number) return std::unexpected(number.error());
    arguments.*known.field = *number;
    return {};
  }
  for (const TextOption &known : kTexts) {
    if (option != known.name) continue;
    const char *text = reader.Next();
    if (text == nullptr) return Wrong(option);
    arguments.*known.field = text;
    return {};
  }
  return ParseOther(option, reader, arguments);
}

}  // namespace

Result<void> ParseArguments(std::span<char *> argv, Arguments &arguments) {
  Reader reader(argv.subspan(argv.empty() ? 0 : 1));
  while (const char *option = reader.Next()) {
    if (std::string_view(option) == "--") break;
    if (auto parsed = ParseOne(option, reader, arguments); !parsed) return parsed;
  }
  if (reader.Done()) return Wrong("expected a command behind --");
  if (arguments.netns_fd < 0) return Wrong("--netns-fd");
  if (arguments.error_fd < 0) return Wrong("--error-fd");
  arguments.command = reader.Rest().data();  // argv ends in nullptr
  if (arguments.argv0 == nullptr) arguments.argv0 = arguments.command[0];
  return {};
}

}  // namespace netmode::exec

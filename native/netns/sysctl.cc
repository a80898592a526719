#include "netns/sysctl.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string_view>

#include "base/unique_fd.h"

namespace netmode::netns {

namespace {

constexpr std::string_view kProc = "/proc/";
constexpr std::string_view kRoot = "sys/";
constexpr std::string_view kBlank = " \t\n";
// The longest value that the kernel prints in one read.
constexpr std::size_t kMaxValue = 4096;

// The path of a key in a mount of proc. A key comes from the user: it must not lead out of net/.
[[nodiscard]] Result<std::string> PathOf(std::string_view key) {
  bool good = key.starts_with("net/") && !key.contains('\0');
  for (std::string_view rest = key; good && !rest.empty();) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    good = !part.empty() && part != "." && part != ".." && slash != rest.size() - 1;
    rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
  }
  if (!good) return Fail(EINVAL, "sysctl", std::string(key) + ": expected a key under net/, such as net/ipv4/ip_forward");
  return std::string(kRoot).append(key);
}

// "4096\t131072\t6291456\n" as "4096 131072 6291456".
[[nodiscard]] std::string Normal(std::string_view text) {
  std::string normal;
  while (true) {
    const std::size_t begin = text.find_first_not_of(kBlank);
    if (begin == std::string_view::npos) return normal;
    const std::size_t end = std::min(text.find_first_of(kBlank, begin), text.size());
    if (!normal.empty()) normal += ' ';
    normal += text.substr(begin, end - begin);
    text.remove_prefix(end);
  }
}

[[nodiscard]] Result<std::string> ReadValue(int fd, const std::string &key) {
  std::array<char, kMaxValue> text;
  const ssize_t length = pread(fd, text.data(), text.size(), 0);
  if (length < 0) return FailErrno("read", key);
  return Normal({text.data(), static_cast<std::size_t>(length)});
}

[[nodiscard]] std::string InProc(const std::string &path) { return std::string(kProc) + path; }

struct CloseFolder {
  void operator()(DIR *folder) const { closedir(folder); }
};

}  // namespace

Result<std::string> ReadSysctl(const std::string &key) {
  const auto path = PathOf(key);
  if (!path) return std::unexpected(path.error());
  const UniqueFd file(open(InProc(*path).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.Valid()) return FailErrno("open", key);
  return ReadValue(file.Get(), key);
}

Result<std::optional<std::string>> WriteSysctl(const std::string &key, const std::string &value, int proc) {
  const auto below = PathOf(key);
  if (!below) return std::unexpected(below.error());
  const std::string path = proc == kNoProc ? InProc(*below) : *below;
  UniqueFd file(openat(proc, path.c_str(), O_RDWR | O_CLOEXEC));
  std::optional<Error> denied;
  if (!file.Valid()) {
    denied = FailErrno("open", key).error();
    if (denied->code != EROFS && denied->code != EACCES) return std::unexpected(*std::move(denied));
    file.Reset(openat(proc, path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.Valid()) return std::unexpected(*std::move(denied));
  }
  auto before = ReadValue(file.Get(), key);
  if (!before) return std::unexpected(std::move(before).error());
  if (*before == Normal(value)) return std::nullopt;
  if (denied) return std::unexpected(*std::move(denied));
  if (pwrite(file.Get(), value.data(), value.size(), 0) < 0) return FailErrno("write", key);
  return *std::move(before);
}

Result<void> PutSysctl(const std::string &key, const std::string &value, int proc) {
  const auto below = PathOf(key);
  if (!below) return std::unexpected(below.error());
  const UniqueFd file(openat(proc, (proc == kNoProc ? InProc(*below) : *below).c_str(), O_WRONLY | O_CLOEXEC));
  if (file.Valid()) {
    if (pwrite(file.Get(), value.data(), value.size(), 0) < 0) return FailErrno("write", key);
    return {};
  }
  if (auto written = WriteSysctl(key, value, proc); !written) return std::unexpected(std::move(written.error()));
  return {};
}

Result<std::vector<Setting>> Overridden(const std::string &key, const std::string &value) {
  const bool four = key == "net/ipv4/ip_forward";
  std::vector<Setting> settings;
  if (!four && key != "net/ipv6/conf/all/forwarding") return settings;
  const auto current = ReadSysctl(key);
  if (!current) return std::unexpected(current.error());
  if (*current == Normal(value)) return settings;

  const std::string folder = four ? "net/ipv4/conf" : "net/ipv6/conf";
  const std::unique_ptr<DIR, CloseFolder> links(opendir(InProc(std::string(kRoot).append(folder)).c_str()));
  if (links == nullptr) return FailErrno("opendir", folder);
  std::vector<std::string> keys;
  if (four) keys.emplace_back("net/ipv4/conf/all/accept_redirects");
  while (const dirent *link = readdir(links.get())) {
    if (link->d_name[0] == '.' || std::string_view(link->d_name) == "all") continue;
    keys.push_back(folder + "/" + link->d_name + "/forwarding");
  }
  for (std::string &one : keys) {
    auto found = ReadSysctl(one);
    if (!found && found.error().code == ENOENT) continue;  // the link has gone meanwhile
    if (!found) return std::unexpected(std::move(found).error());
    settings.push_back({.key = std::move(one), .value = *std::move(found)});
  }
  return settings;
}

}  // namespace netmode::netns

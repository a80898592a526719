#include "state/look.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <utility>

#include "base/unique_fd.h"

namespace netmode::state {
namespace {

constexpr std::int64_t kNanoseconds = 1'000'000'000;
// Longer than a tick of the clock that files get their times from, on any kernel.
constexpr std::int64_t kTick = kNanoseconds / 20;
constexpr std::size_t kUsualSize = 8192;

struct CloseFolder {
  void operator()(DIR *folder) const { closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

std::int64_t InNanoseconds(const timespec &time) { return time.tv_sec * kNanoseconds + time.tv_nsec; }

std::int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return InNanoseconds(now);
}

std::string VersionAt(const struct stat &file, std::int64_t time) {
  return std::to_string(file.st_dev) + ' ' + std::to_string(file.st_ino) + ' ' + std::to_string(time) + ' ' + std::to_string(file.st_size);
}

// `now`: from before the look.
std::optional<std::string> VersionOf(const struct stat &file, std::int64_t now) {
  const std::int64_t changed = InNanoseconds(file.st_ctim);
  if (changed > now - kTick) return std::nullopt;
  return VersionAt(file, changed);
}

std::optional<std::string> ReadAll(int file) {
  std::string text(kUsualSize, '\0');
  for (std::size_t filled = 0;;) {
    const ssize_t got = read(file, text.data() + filled, text.size() - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    filled += static_cast<std::size_t>(got);
    if (got == 0) {
      text.resize(filled);
      return text;
    }
    if (filled == text.size()) text.resize(2 * filled);
  }
}

Sight Read(const std::string &path, const std::string &known, std::int64_t now) {
  struct stat seen;
  if (!known.empty() && stat(path.c_str(), &seen) == 0) {
    if (auto version = VersionOf(seen, now); version == known) return {.version = std::move(version)};
  }
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file.Valid() || fstat(file.Get(), &seen) != 0 || !S_ISREG(seen.st_mode)) return {};
  auto text = ReadAll(file.Get());
  if (!text) return {};
  return {.version = VersionOf(seen, now), .text = std::move(text)};
}

// Names in a folder, sorted; none if it isn't there.
Result<std::vector<std::string>> Names(int parent, const char *name, const std::string &path) {
  UniqueFd fd(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.Valid()) {
    if (errno == ENOENT || errno == ENOTDIR) return std::vector<std::string>();
    return FailErrno("open", path);
  }
  const Folder folder(fdopendir(fd.Get()));
  if (folder == nullptr) return FailErrno("opendir", path);
  static_cast<void>(fd.Release());
  std::vector<std::string> names;
  errno = 0;
  while (const dirent *entry = readdir(folder.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  if (errno != 0) return FailErrno("readdir", path);
  std::ranges::sort(names);
  return names;
}

}  // namespace

std::string ContentVersion(const struct stat &file) { return VersionAt(file, InNanoseconds(file.st_mtim)); }

Result<std::vector<Sight>> Run(const FileLook &op) {
  std::vector<Sight> sights;
  sights.reserve(op.paths.size());
  const std::int64_t now = Now();
  for (std::size_t i = 0; i < op.paths.size(); ++i) {
    struct stat seen;
    if (op.known) {
      sights.push_back(Read(op.paths[i], i < op.known->size() ? (*op.known)[i] : std::string(), now));
    } else if (stat(op.paths[i].c_str(), &seen) == 0) {
      sights.push_back({.version = VersionOf(seen, now)});
    } else {
      sights.emplace_back();
    }
  }
  return sights;
}

Result<std::vector<ClaimGroup>> Run(const ClaimList &op) {
  auto names = Names(AT_FDCWD, op.path.c_str(), op.path);
  if (!names) return std::unexpected(names.error());
  std::vector<ClaimGroup> groups;
  groups.reserve(names->size());
  for (std::string &name : *names) {
    const std::string path = op.path + '/' + name;
    auto claims = Names(AT_FDCWD, path.c_str(), path);
    if (!claims) return std::unexpected(claims.error());
    ClaimGroup group{.name = std::move(name)};
    for (std::string &claim : *claims) {
      std::array<char, PATH_MAX> holder;
      const std::string link = std::string(path).append("/").append(claim);
      const ssize_t length = readlink(link.c_str(), holder.data(), holder.size());
      if (length < 0 && errno == ENOENT) continue;
      if (length < 0) return FailErrno("readlink", path);
      group.claims.push_back({.name = std::move(claim), .holder = std::string(holder.data(), static_cast<std::size_t>(length))});
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace netmode::state

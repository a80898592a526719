#include "state/expect.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/unique_fd.h"
#include "state/look.h"

namespace netmode::state {
namespace {

struct CloseFolder {
  void operator()(DIR *folder) const { closedir(folder); }
};

}  // namespace

Result<void> Run(const ExpectAbsent &op) {
  if (faccessat(AT_FDCWD, op.path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) return Fail(EEXIST, "access", op.path);
  if (errno != ENOENT) return FailErrno("access", op.path);
  return {};
}

Result<void> Run(const ExpectNames &op) {
  std::vector<std::string> found;
  const std::unique_ptr<DIR, CloseFolder> folder(opendir(op.path.c_str()));
  if (folder == nullptr && errno != ENOENT) return FailErrno("opendir", op.path);
  if (folder != nullptr) {
    errno = 0;
    while (const dirent *entry = readdir(folder.get())) {
      if (entry->d_name[0] != '.') found.emplace_back(entry->d_name);
    }
    if (errno != 0) return FailErrno("readdir", op.path);
  }
  std::vector<std::string> expected = op.names;
  std::ranges::sort(found);
  std::ranges::sort(expected);
  if (found != expected) return Fail(ESTALE, "readdir", op.path);
  return {};
}

Result<void> Run(const ExpectUnchanged &op) {
  if (!op.text) {
    const auto absent = Run(ExpectAbsent{.path = op.path});
    if (!absent && absent.error().code == EEXIST) return Fail(ESTALE, "access", op.path);
    return absent;
  }
  const UniqueFd file(open(op.path.c_str(), O_RDONLY | O_CLOEXEC | (op.follow ? 0 : O_NOFOLLOW)));
  if (!file.Valid()) return FailErrno("open", op.path);
  std::string text(op.text->size() + 1, '\0');  // one more, to notice a longer file
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(file.Get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno("read", op.path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  if (text != *op.text) return Fail(ESTALE, "read", op.path);
  return {};
}

Result<void> Run(const ExpectVersion &op) {
  struct stat seen;
  if (lstat(op.path.c_str(), &seen) != 0) return FailErrno("stat", op.path);
  if (ContentVersion(seen) != op.version) return Fail(ESTALE, "stat", op.path);
  return {};
}

}  // namespace netmode::state

#include "state/expect.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "base/unique_fd.h"

namespace netmode::state {
namespace {

struct CloseFolder {
  void operator()(DIR *folder) const { closedir(folder); }
};

bool IsSelfOrParent(const char *name) { return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0; }

}  // namespace

Result<void> Run(const ExpectEmpty &op) {
  const std::unique_ptr<DIR, CloseFolder> folder(opendir(op.path.c_str()));
  if (folder == nullptr) {
    if (errno == ENOENT) return {};
    return FailErrno("opendir", op.path);
  }
  errno = 0;
  while (const dirent *entry = readdir(folder.get())) {
    if (!IsSelfOrParent(entry->d_name)) return Fail(ENOTEMPTY, "readdir", op.path);
  }
  if (errno != 0) return FailErrno("readdir", op.path);
  return {};
}

Result<void> Run(const ExpectUnchanged &op) {
  const UniqueFd file(open(op.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.Valid()) return FailErrno("open", op.path);
  std::string text(op.text.size() + 1, '\0');  // one more, to notice a longer file
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(file.Get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno("read", op.path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  if (text != op.text) return Fail(ESTALE, "read", op.path);
  return {};
}

}  // namespace netmode::state

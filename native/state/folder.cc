#include "state/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <thread>

#include "state/look.h"

namespace netmode::state {

namespace {

constexpr mode_t kFileMode = 0644;
constexpr mode_t kFolderMode = 0755;
// Deeper than any folder of ours: a hostile tree must not eat the stack or all descriptors.
constexpr int kMaxDepth = 32;
// How often a folder that others still write into is emptied again before ENOTEMPTY.
constexpr int kMaxSweeps = 8;
constexpr std::size_t kEntryBufferSize = 4096;
// Between two tries for a lock. Plans hold one for a millisecond or a few.
constexpr std::chrono::microseconds kShortestPause{100};
constexpr std::chrono::microseconds kLongestPause{3'200};

[[nodiscard]] Result<void> EmptyFolder(int folder, const std::string &path, int depth);

[[nodiscard]] Result<void> RemoveAt(int parent, const char *name, unsigned char type, const std::string &path, int depth) {
  if (type != DT_DIR) {
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return {};
    // Linux says EISDIR; DT_UNKNOWN (some filesystems) may be a folder.
    if (errno != EISDIR) return FailErrno("unlink", path + "/" + name);
  }
  if (depth == kMaxDepth) return Fail(ELOOP, "rmdir", path + "/" + name + ": nested too deeply");
  const UniqueFd child(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!child.Valid()) {
    if (errno == ENOENT) return {};
    return FailErrno("open", path + "/" + name);
  }
  const std::string child_path = path + "/" + name;
  if (auto emptied = EmptyFolder(child.Get(), child_path, depth + 1); !emptied) return emptied;
  if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) return FailErrno("rmdir", child_path);
  return {};
}

[[nodiscard]] Result<void> EmptyFolder(int folder, const std::string &path, int depth) {
  alignas(dirent64) std::array<char, kEntryBufferSize> buffer;
  for (;;) {
    const ssize_t filled = getdents64(folder, buffer.data(), buffer.size());
    if (filled < 0) return FailErrno("getdents64", path);
    if (filled == 0) return {};
    for (ssize_t at = 0; at < filled;) {
      const auto *entry = reinterpret_cast<const dirent64 *>(buffer.data() + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (auto removed = RemoveAt(folder, entry->d_name, entry->d_type, path, depth); !removed) return removed;
    }
  }
}

[[nodiscard]] Result<void> WriteAll(int fd, std::string_view text, const std::string &path) {
  off_t offset = 0;
  while (!text.empty()) {
    const ssize_t written = pwrite(fd, text.data(), text.size(), offset);
    if (written < 0) {
      if (errno == EINTR) continue;
      return FailErrno("write", path);
    }
    text.remove_prefix(static_cast<std::size_t>(written));
    offset += written;
  }
  return {};
}

// A file with the text and nothing else, whatever was there (O_EXCL for `over`: only if nothing was); nothing is left of it after a
// failure. `made`: told how the file is then.
[[nodiscard]] Result<void> WriteNew(const std::string &path, const std::string &text, int over = O_TRUNC, struct stat *made = nullptr) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | over | O_NOFOLLOW | O_CLOEXEC, kFileMode));
  if (!file.Valid()) return FailErrno("open", path);
  auto written = WriteAll(file.Get(), text, path);
  if (written && fchmod(file.Get(), kFileMode) != 0) written = FailErrno("fchmod", path);
  if (written && made != nullptr && fstat(file.Get(), made) != 0) written = FailErrno("fstat", path);
  if (!written) unlink(path.c_str());
  return written;
}

// Hidden, so that listings pass over it, and always the same: whoever writes a record holds its lock, and what a crash leaves behind can be
// found again.
[[nodiscard]] std::string TemporaryPath(const std::string &path) {
  const std::size_t name = path.rfind('/') + 1;  // npos + 1 is 0
  return path.substr(0, name) + "." + path.substr(name) + ".new";
}

// Under its name only when all of the text is in it: readers see the old text or the new one, and never half of a record.
[[nodiscard]] Result<void> PutFile(const std::string &path, const std::string &text, unsigned rename_flags) {
  const std::string temporary = TemporaryPath(path);
  if (auto created = WriteNew(temporary, text); !created) return created;
  if (renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), rename_flags) == 0) return {};
  auto failure = FailErrno("rename", path);
  unlink(temporary.c_str());
  return failure;
}

// Written first and cut afterwards: a reader in between sees the new text with a rest of the old one behind it, but never an
// empty hosts file.
[[nodiscard]] Result<void> OverwriteFile(const std::string &path, const std::string &text) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, kFileMode));
  if (!file.Valid()) return FailErrno("open", path);
  if (auto written = WriteAll(file.Get(), text, path); !written) return written;
  if (fchmod(file.Get(), kFileMode) != 0) return FailErrno("fchmod", path);
  if (ftruncate(file.Get(), static_cast<off_t>(text.size())) != 0) return FailErrno("ftruncate", path);
  return {};
}

// The holder of a claim; ENOENT if there is none.
[[nodiscard]] Result<std::string> ReadHolder(const std::string &path) {
  std::array<char, PATH_MAX> target;
  const ssize_t length = readlink(path.c_str(), target.data(), target.size());
  if (length < 0) return FailErrno("readlink", path);
  return std::string(target.data(), static_cast<std::size_t>(length));
}

// Nobody is without a holder meanwhile. Claims of one holder are changed by whoever has his lock, so the look before is good enough.
[[nodiscard]] Result<void> TakeOver(const Claim &op) {
  const auto holder = ReadHolder(op.path);
  if (!holder) return std::unexpected(holder.error());
  if (*holder != *op.from) return Fail(ESTALE, "symlink", op.path);
  const std::string temporary = TemporaryPath(op.path);
  while (symlink(op.holder.c_str(), temporary.c_str()) != 0) {
    // Left by one that died here.
    if (errno != EEXIST || unlink(temporary.c_str()) != 0) return FailErrno("symlink", temporary);
  }
  if (rename(temporary.c_str(), op.path.c_str()) == 0) return {};
  auto failure = FailErrno("rename", op.path);
  unlink(temporary.c_str());
  return failure;
}

}  // namespace

Result<UniqueFd> Acquire(const Lock &lock, const std::function<bool()> &given_up, UniqueFd kept) {
  const bool is_kept = kept.Valid();
  UniqueFd folder = is_kept ? std::move(kept) : UniqueFd(open(lock.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.Valid()) return FailErrno("open", lock.path);
  const int operation = (lock.mode == Lock::Mode::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  // By asking again: a thread that sleeps in flock could be woken by a signal only, and signals are Node's.
  for (std::chrono::microseconds pause = kShortestPause; flock(folder.Get(), operation) != 0; pause = std::min(2 * pause, kLongestPause)) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK || lock.immediate) return FailErrno("flock", lock.path);
    if (given_up && given_up()) return Fail(ECANCELED, "flock", lock.path);
    std::this_thread::sleep_for(pause);
  }
  // The path must still name what is locked. An inode number cannot come back while the descriptor holds it.
  struct stat locked;
  struct stat named;
  if (fstat(folder.Get(), &locked) != 0) return FailErrno("fstat", lock.path);
  if (stat(lock.path.c_str(), &named) != 0) return FailErrno("stat", lock.path);
  if (locked.st_dev == named.st_dev && locked.st_ino == named.st_ino) return folder;
  if (!is_kept) return Fail(ENOENT, "flock", lock.path + ": made anew meanwhile");
  Drop(std::move(folder));
  return Acquire(lock, given_up);
}

UniqueFd Drop(UniqueFd lock) noexcept {
  if (flock(lock.Get(), LOCK_UN) != 0) return {};
  return lock;
}

Result<void> Run(const FolderCreate &op) {
  if (mkdir(op.path.c_str(), kFolderMode) == 0) return {};
  if (errno != EEXIST || !op.ensure) return FailErrno("mkdir", op.path);
  struct stat existing;
  if (stat(op.path.c_str(), &existing) != 0) return FailErrno("stat", op.path);
  if (!S_ISDIR(existing.st_mode)) return Fail(ENOTDIR, "mkdir", op.path);
  return {};
}

Result<void> Run(const FolderRemove &op) {
  const UniqueFd folder(open(op.path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.Valid()) {
    if (errno == ENOENT) return {};
    return FailErrno("open", op.path);
  }
  for (int sweep = 0;; ++sweep) {
    if (auto emptied = EmptyFolder(folder.Get(), op.path, 0); !emptied) return emptied;
    if (rmdir(op.path.c_str()) == 0 || errno == ENOENT) return {};
    if (errno != ENOTEMPTY || sweep == kMaxSweeps) return FailErrno("rmdir", op.path);
    if (lseek(folder.Get(), 0, SEEK_SET) != 0) return FailErrno("lseek", op.path);
  }
}

Result<void> Run(const FileWrite &op) {
  switch (op.how) {
    case FileWrite::How::kCreate:
      return PutFile(op.path, op.text, RENAME_NOREPLACE);
    case FileWrite::How::kReplace:
      return PutFile(op.path, op.text, 0);
    case FileWrite::How::kOverwrite:
      return OverwriteFile(op.path, op.text);
    case FileWrite::How::kUnseen:
      return WriteNew(op.path, op.text);
    case FileWrite::How::kStart:
      return WriteNew(op.path, op.text, O_EXCL);
  }
  return Fail(EINVAL, "write", op.path);
}

Result<std::string> Start(const FileWrite &op) {
  struct stat made;
  if (auto written = WriteNew(op.path, op.text, O_EXCL, &made); !written) return std::unexpected(std::move(written.error()));
  return ContentVersion(made);
}

Result<void> Run(const FileRename &op) {
  const unsigned flags = op.exclusive ? RENAME_NOREPLACE : 0;
  if (renameat2(AT_FDCWD, op.path.c_str(), AT_FDCWD, op.to.c_str(), flags) != 0) return FailErrno("rename", op.path);
  return {};
}

Result<void> Run(const FileRemove &op) {
  if (unlink(op.path.c_str()) != 0 && errno != ENOENT) return FailErrno("unlink", op.path);
  return {};
}

Result<void> Run(const Claim &op) {
  if (op.from) return TakeOver(op);
  if (symlink(op.holder.c_str(), op.path.c_str()) == 0) return {};
  auto failure = FailErrno("symlink", op.path);
  if (failure.error().code == EEXIST) {
    // Released just now: the claim failed all the same, only without a name to tell.
    if (auto holder = ReadHolder(op.path)) failure.error().holder = *std::move(holder);
  }
  return failure;
}

Result<void> Run(const Release &op) {
  const auto holder = ReadHolder(op.path);
  if (!holder) {
    if (holder.error().code == ENOENT) return {};
    return std::unexpected(holder.error());
  }
  if (*holder != op.holder) return {};
  if (unlink(op.path.c_str()) != 0 && errno != ENOENT) return FailErrno("unlink", op.path);
  return {};
}

}  // namespace netmode::state

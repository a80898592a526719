#include "netns/namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <string_view>

#include "netns/visit.h"

namespace netmode::netns {

namespace {

// Newer than the headers of the oldest distribution that we build on.
constexpr int kSoNetnsCookie = 71;
constexpr unsigned long kPidfdGetNetNamespace = _IO(0xFF, 4);

constexpr char kOwn[] = "/proc/thread-self/ns/net";
constexpr mode_t kFolderMode = 0755;

// The mount that was found or made shared last. A number from the kernel and not a flag: who mounts something else on /run later
// gets it shared as well.
std::atomic<std::uint64_t> prepared_mount = 0;

[[nodiscard]] Result<std::string> PathOf(const std::string &name) {
  if (name.empty() || name == "." || name == ".." || name.contains('/') || name.contains('\0'))
    return Fail(EINVAL, "netns", name + ": not a name");
  return std::string(kFolder) + "/" + name;
}

// The id of the mount that /run/netns is the root of, 0 if it is none or the kernel does not tell (before 5.8).
[[nodiscard]] Result<std::uint64_t> FolderMount() {
  struct statx folder;
  if (statx(AT_FDCWD, kFolder, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &folder) != 0) return FailErrno("statx", kFolder);
  if ((folder.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0 || (folder.stx_mask & STATX_MNT_ID) == 0) return 0;
  return folder.stx_mnt_id;
}

// Makes /run/netns a shared mount of its own, so that a name mounted or deleted in one mount namespace is so in all. Under the lock
// that iproute2 takes for it: two at once would bind it twice.
[[nodiscard]] Result<void> PrepareFolder() {
  auto mount_id = FolderMount();
  if (mount_id && *mount_id != 0 && *mount_id == prepared_mount.load(std::memory_order_relaxed)) return {};
  if (mkdir(kFolder, kFolderMode) != 0 && errno != EEXIST) return FailErrno("mkdir", kFolder);
  const UniqueFd folder(open(kFolder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.Valid()) return FailErrno("open", kFolder);
  while (flock(folder.Get(), LOCK_EX) != 0) {
    if (errno != EINTR) return FailErrno("flock", kFolder);
  }
  while (mount("", kFolder, "none", MS_SHARED | MS_REC, nullptr) != 0) {
    if (errno != EINVAL) return FailErrno("mount", std::string(kFolder) + ": make shared");
    // Not a mount yet.
    if (mount(kFolder, kFolder, "none", MS_BIND | MS_REC, nullptr) != 0) return FailErrno("mount", kFolder);
  }
  mount_id = FolderMount();
  if (mount_id) prepared_mount.store(*mount_id, std::memory_order_relaxed);
  return {};
}

// A descriptor of its own for what `seen` (perhaps O_PATH) shows, if that is a network namespace.
[[nodiscard]] Result<UniqueFd> Reopen(int seen) {
  struct statfs filesystem;
  if (fstatfs(seen, &filesystem) != 0) return FailErrno("fstatfs");
  if (filesystem.f_type != NSFS_MAGIC) return Fail(kNotANetns, "fstatfs", "not a network namespace");
  UniqueFd ns(open(("/proc/thread-self/fd/" + std::to_string(seen)).c_str(), O_RDONLY | O_CLOEXEC));
  if (!ns.Valid()) return FailErrno("open");
  const int type = ioctl(ns.Get(), NS_GET_NSTYPE);
  if (type < 0 && errno != ENOTTY) return FailErrno("ioctl");
  if (type != CLONE_NEWNET) return Fail(kNotANetns, "ioctl", "a namespace, but not a network namespace");
  return ns;
}

[[nodiscard]] Result<UniqueFd> OpenPath(const std::string &path) {
  const UniqueFd seen(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!seen.Valid()) return FailErrno("open", path);
  auto ns = Reopen(seen.Get());
  if (!ns) ns.error().detail = path + ": " + ns.error().detail;
  return ns;
}

// Of the process that has the number now. The pidfd sees to it that the fallback, which goes by number, got the same one.
[[nodiscard]] Result<UniqueFd> OpenProcess(std::uint32_t pid) {
  const std::string name = "process " + std::to_string(pid);
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process.Valid()) return FailErrno("pidfd_open", name);
  UniqueFd ns(ioctl(process.Get(), kPidfdGetNetNamespace, 0));
  if (ns.Valid()) return ns;
  if (errno != ENOTTY && errno != EINVAL) return FailErrno("ioctl", name);
  // Before 6.11.
  auto opened = OpenPath("/proc/" + std::to_string(pid) + "/ns/net");
  pollfd exited{.fd = process.Get(), .events = POLLIN, .revents = 0};
  if (poll(&exited, 1, 0) != 0) return Fail(ESRCH, "pidfd_open", name);
  return opened;
}

[[nodiscard]] Result<std::uint64_t> InodeOf(int fd) {
  struct stat ns;
  if (fstat(fd, &ns) != 0) return FailErrno("fstat");
  return ns.st_ino;
}

}  // namespace

Result<UniqueFd> OpenCurrent() {
  UniqueFd own(open(kOwn, O_RDONLY | O_CLOEXEC));
  if (!own.Valid()) return FailErrno("open", kOwn);
  return own;
}

Result<UniqueFd> OfSocket(int socket) {
  UniqueFd ns(ioctl(socket, SIOCGSKNS));
  if (!ns.Valid()) return FailErrno("ioctl", "SIOCGSKNS");
  return ns;
}

Result<UniqueFd> Make(int home, const std::function<Result<UniqueFd>()> &inside) {
  if (unshare(CLONE_NEWNET) != 0) return FailErrno("unshare");
  auto own = inside();
  if (auto back = GoHome(home); !back) return std::unexpected(std::move(back).error());
  return own;
}

Result<void> Attach(const std::string &name, int fd) {
  const auto path = PathOf(name);
  if (!path) return std::unexpected(path.error());
  if (auto prepared = PrepareFolder(); !prepared) return prepared;
  if (mknod(path->c_str(), S_IFREG, 0) != 0) return FailErrno("mknod", *path);
  const std::string source = "/proc/thread-self/fd/" + std::to_string(fd);
  if (mount(source.c_str(), path->c_str(), "none", MS_BIND, nullptr) == 0) return {};
  auto failure = FailErrno("mount", *path);
  unlink(path->c_str());
  return failure;
}

Result<UniqueFd> Open(const NetnsOpen &op) {
  if (int{op.path.has_value()} + int{op.pid.has_value()} + int{op.fd.has_value()} != 1)
    return Fail(EINVAL, "netns.open", "expected one of path, pid and fd");
  auto ns = op.path ? OpenPath(*op.path) : op.pid ? OpenProcess(*op.pid) : Reopen(*op.fd);
  if (!ns || !op.inode) return ns;
  const auto inode = InodeOf(ns->Get());
  if (!inode) return std::unexpected(inode.error());
  if (*inode != *op.inode)
    return Fail(kOtherNetns, "netns.open", "expected inode " + std::to_string(*op.inode) + ", found " + std::to_string(*inode));
  return ns;
}

Result<void> Delete(const NetnsDelete &op) {
  const auto path = PathOf(op.name);
  if (!path) return std::unexpected(path.error());
  const UniqueFd seen(open(path->c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!seen.Valid()) {
    if (errno == ENOENT && op.missing_ok) return {};
    return FailErrno("open", *path);
  }
  if (op.inode) {
    struct statfs filesystem;
    if (fstatfs(seen.Get(), &filesystem) != 0) return FailErrno("fstatfs", *path);
    const auto inode = InodeOf(seen.Get());
    if (!inode) return std::unexpected(inode.error());
    if (filesystem.f_type != NSFS_MAGIC || *inode != *op.inode) {
      if (op.missing_ok) return {};
      return Fail(kOtherNetns, "netns.delete", *path);
    }
  }
  // Through the descriptor: exactly the mount that was looked at. EINVAL: a file that nothing is mounted on, left by a crash.
  const std::string mounted = "/proc/thread-self/fd/" + std::to_string(seen.Get());
  if (umount2(mounted.c_str(), MNT_DETACH) != 0 && errno != EINVAL) return FailErrno("umount2", *path);
  if (unlink(path->c_str()) != 0 && errno != ENOENT) return FailErrno("unlink", *path);
  return {};
}

Result<Identity> Describe(int fd, int socket) {
  struct stat ns;
  if (fstat(fd, &ns) != 0) return FailErrno("fstat");
  Identity identity{.device = ns.st_dev, .inode = ns.st_ino, .cookie = std::nullopt};
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (socket >= 0 && getsockopt(socket, SOL_SOCKET, kSoNetnsCookie, &cookie, &size) == 0) identity.cookie = cookie;
  return identity;
}

Result<Identity> Identify(int fd, int home) {
  auto visit = Visit::Enter(fd, home);
  if (!visit) return std::unexpected(std::move(visit).error());
  const UniqueFd inside(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  auto identity = Describe(fd, inside.Get());
  if (auto back = visit->Return(); !back) return std::unexpected(std::move(back).error());
  return identity;
}

}  // namespace netmode::netns

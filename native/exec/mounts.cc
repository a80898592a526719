#include "exec/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/unique_fd.h"

namespace netmode::exec {

namespace {

constexpr char kSys[] = "/sys";
constexpr char kCgroup[] = "/sys/fs/cgroup";

// <linux/mount.h> and <sys/mount.h> do not go together before glibc 2.36.
constexpr unsigned kOpenTreeClone = 1;
constexpr unsigned kMoveMountFromEmptyPath = 4;
constexpr unsigned kAtRecursive = 0x8000;

}  // namespace

Result<void> LeaveMountNamespace() {
  if (unshare(CLONE_NEWNS) != 0) return FailErrno("unshare");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return FailErrno("mount", "/: make slave");
  return {};
}

Result<bool> BindFile(const Mount &bind) {
  // The descriptor is what the link leads to: nothing can change between the look and the mount.
  const UniqueFd target(open(bind.target, O_PATH | O_CLOEXEC));
  if (!target.Valid()) {
    if (errno == ENOENT) return false;
    return FailErrno("mount", bind.target);
  }
  const std::string path = "/proc/self/fd/" + std::to_string(target.Get());
  if (mount(bind.source, path.c_str(), nullptr, MS_BIND, nullptr) != 0)
    return FailErrno("mount", std::string(bind.source) + " on " + bind.target);
  return true;
}

Result<void> RemountSysfs() {
  struct statfs present;
  if (statfs(kSys, &present) != 0) return FailErrno("sysfs", kSys);
  if (present.f_type != SYSFS_MAGIC) return Fail(ENOENT, "sysfs", "nothing is mounted on /sys");
  struct statvfs flags;
  const bool read_only = statvfs(kSys, &flags) == 0 && (flags.f_flag & ST_RDONLY) != 0;
  // The new /sys would cover them, and with them a runtime's only way to learn its memory limit.
  const UniqueFd cgroups(static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, kCgroup, kOpenTreeClone | kAtRecursive | O_CLOEXEC)));
  unsigned long options = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (read_only) options |= MS_RDONLY;
  if (mount("sysfs", kSys, "sysfs", options, nullptr) != 0) return FailErrno("sysfs", kSys);
  // Best effort: a host without cgroups has nothing to keep, and an empty folder there is no failure of the command's network.
  if (cgroups.Valid()) syscall(SYS_move_mount, cgroups.Get(), "", AT_FDCWD, kCgroup, kMoveMountFromEmptyPath);
  return {};
}

}  // namespace netmode::exec

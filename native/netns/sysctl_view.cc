#include "netns/sysctl_view.h"

#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "netns/sysctl.h"

namespace netmode::netns {

namespace {

// Who makes a few namespaces and ends has no use of a mount.
constexpr std::size_t kSome = 4;
constexpr std::size_t kMany = 64;

// Attached nowhere. Not Valid() where that is not allowed, or not known.
[[nodiscard]] UniqueFd MountProc() {
  const UniqueFd context(static_cast<int>(syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC)));
  if (!context.Valid()) return {};
  if (syscall(SYS_fsconfig, context.Get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return {};
  return UniqueFd(
      static_cast<int>(syscall(SYS_fsmount, context.Get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)));
}

}  // namespace

Result<void> SysctlView::Write(const std::string &key, const std::string &value) {
  std::unique_lock lock(mutex_);
  const auto proc = proc_;
  lock.unlock();
  auto written = PutSysctl(key, value, proc == nullptr ? kNoProc : proc->Get());
  if (!written) return written;
  lock.lock();
  ++writes_;
  return written;
}

void SysctlView::Renew() {
  std::unique_lock lock(mutex_);
  if (refused_ || writes_ < (proc_ == nullptr ? kSome : kMany)) return;
  UniqueFd fresh = MountProc();
  refused_ = !fresh.Valid();
  writes_ = 0;
  const auto old = std::exchange(proc_, refused_ ? nullptr : std::make_shared<const UniqueFd>(std::move(fresh)));
  lock.unlock();
}

}  // namespace netmode::netns

// netmode-exec: becomes a command inside a network namespace. Started by child_process.spawn, which makes the process; this makes the
// surroundings and gets out of the way. Why a program: entering a namespace around Node's own spawn would take the main thread there.

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <csignal>
#include <cstdlib>

#include "exec/arguments.h"
#include "exec/capabilities.h"
#include "exec/mounts.h"
#include "exec/report.h"

namespace netmode::exec {

namespace {

// As the shell and Docker have it.
constexpr int kExitOurs = 125;
constexpr int kExitNotExecutable = 126;
constexpr int kExitNotFound = 127;

constexpr unsigned kCloseRangeCloexec = 4;

[[nodiscard]] Result<void> EnterNamespaces(const Arguments &arguments) {
  if (setns(arguments.netns_fd, CLONE_NEWNET) != 0) return FailErrno("setns", "not a network namespace, or no permission");
  if (arguments.hostname != nullptr) {
    if (unshare(CLONE_NEWUTS) != 0) return FailErrno("unshare", "hostname");
    if (sethostname(arguments.hostname, std::char_traits<char>::length(arguments.hostname)) != 0)
      return FailErrno("sethostname", arguments.hostname);
  }
  if (arguments.mounts.empty() && !arguments.sysfs) return {};
  if (auto left = LeaveMountNamespace(); !left) return left;
  for (const Mount &mount : arguments.mounts) {
    const auto bound = BindFile(mount);
    if (!bound) return std::unexpected(bound.error());
    // A system without /etc/hosts is no reason not to run.
    if (!*bound) ReportSkipped(arguments.error_fd, {.code = ENOENT, .syscall = "mount", .detail = mount.target, .holder = {}, .offset = 0});
  }
  if (!arguments.sysfs) return {};
  if (auto mounted = RemountSysfs(); !mounted) ReportSkipped(arguments.error_fd, mounted.error());
  return {};
}

// The bounding set goes while CAP_SETPCAP is there, the user changes while CAP_SETUID is, and then the rest goes.
[[nodiscard]] Result<void> BecomeUser(const Arguments &arguments) {
  if (auto dropped = DropFromBounding(arguments.drop_capabilities); !dropped) return dropped;
  const bool changes = arguments.uid >= 0 || arguments.gid >= 0;
  // EPERM: a user namespace in which groups are not to be dropped; then nobody there has groups worth dropping.
  if (changes && setgroups(0, nullptr) != 0 && errno != EPERM) return FailErrno("setgroups");
  if (arguments.gid >= 0 && setgid(static_cast<gid_t>(arguments.gid)) != 0) return FailErrno("setgid", std::to_string(arguments.gid));
  if (arguments.uid >= 0 && setuid(static_cast<uid_t>(arguments.uid)) != 0) return FailErrno("setuid", std::to_string(arguments.uid));
  return DropFromThread(arguments.drop_capabilities);
}

// A handler does not survive exec, but an ignored signal does: the command must not inherit what its starter ignored.
void RestoreSignals() {
  for (int number = 1; number < NSIG; ++number) std::signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// No descriptor but the user's own gets to the command: one of a folder of the host would lead out of its root (CVE-2024-21626), one
// of the host's sockets out of its network. They are marked and not closed, because the error descriptor is needed until exec.
[[nodiscard]] Result<void> SealDescriptors(const Arguments &arguments) {
  for (const int fd : arguments.closed_fds) close(fd);
  if (syscall(SYS_close_range, static_cast<unsigned>(arguments.keep_fds), UINT_MAX, kCloseRangeCloexec) == 0) return {};
  if (errno != ENOSYS && errno != EINVAL) return FailErrno("close_range");
  // Before 5.11.
  const long limit = sysconf(_SC_OPEN_MAX);
  for (int fd = arguments.keep_fds; fd < limit; ++fd) fcntl(fd, F_SETFD, FD_CLOEXEC);
  return {};
}

[[nodiscard]] Result<void> Prepare(const Arguments &arguments) {
  if (auto entered = EnterNamespaces(arguments); !entered) return entered;
  if (arguments.cwd != nullptr && chdir(arguments.cwd) != 0) return FailErrno("chdir", arguments.cwd);
  if (auto became = BecomeUser(arguments); !became) return became;
  RestoreSignals();
  return SealDescriptors(arguments);
}

[[nodiscard]] int Main(std::span<char *> argv) {
  Arguments arguments;
  auto prepared = ParseArguments(argv, arguments);
  if (prepared) prepared = Prepare(arguments);
  if (!prepared) {
    ReportFailure(arguments.error_fd, prepared.error());
    return kExitOurs;
  }
  const char *file = arguments.command[0];
  arguments.command[0] = const_cast<char *>(arguments.argv0);
  execvp(file, arguments.command);
  const int code = errno;
  ReportFailure(arguments.error_fd, {.code = code, .syscall = "exec", .detail = file, .holder = {}, .offset = 0});
  return code == ENOENT ? kExitNotFound : kExitNotExecutable;
}

}  // namespace

}  // namespace netmode::exec

int main(int argc, char **argv) { return netmode::exec::Main({argv, static_cast<std::size_t>(argc)}); }

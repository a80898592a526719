// Mounts that only the command sees.
#pragma once

#include "base/result.h"
#include "exec/arguments.h"

namespace netmode::exec {

// Gives the process a mount namespace of its own: what the host mounts still arrives there, what is mounted there stays there.
[[nodiscard]] Result<void> LeaveMountNamespace();

// Binds a file over another one, which may be a symbolic link (/etc/resolv.conf often is). False: there is no such target.
[[nodiscard]] Result<bool> BindFile(const Mount &mount);

// Mounts a new /sys over the old one, so that /sys/class/net shows the namespace that the process is in; cgroups stay visible in it.
// Fails (EPERM) in user namespaces that do not own the network namespace, or where parts of /sys are hidden.
[[nodiscard]] Result<void> RemountSysfs();

}  // namespace netmode::exec

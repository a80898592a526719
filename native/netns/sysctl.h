// Sysctls under net/, as the calling thread's namespace sees them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace netmode::netns {

// `key` in slashes: net/ipv4/ip_forward.
struct SysctlSet {
  std::string ns;
  std::string key;
  std::string value;
  bool missing_ok = false;
};
struct SysctlRestore {
  std::string ns;
  std::string key;
};
struct SysctlGet {
  std::string ns;
  std::string key;
};

// As `sysctl -n KEY`: without the newline, fields apart by one space. ENOENT: no such key. EINVAL: not a key under net/.
[[nodiscard]] Result<std::string> ReadSysctl(const std::string &key);

inline constexpr int kNoProc = -1;

// As `sysctl -w KEY=VALUE`. Answers the value that was there, or nothing if it was the same and nothing was written. A read-only
// /proc/sys is no failure if the value is right already. `proc`: a mount of it to use instead of /proc.
[[nodiscard]] Result<std::optional<std::string>> WriteSysctl(const std::string &key, const std::string &value, int proc = kNoProc);

// The same for who need not know what was there.
[[nodiscard]] Result<void> PutSysctl(const std::string &key, const std::string &value, int proc);

struct Setting {
  std::string key;
  std::string value;
  friend bool operator==(const Setting &, const Setting &) = default;
};

// Forwarding for the whole namespace is no setting of its own: whenever it changes, the kernel overwrites that of every link, and
// for IPv4 whether redirects are accepted. Answers what there is of those before `key` becomes `value`; nothing for other keys,
// or if it has that value already.
[[nodiscard]] Result<std::vector<Setting>> Overridden(const std::string &key, const std::string &value);

}  // namespace netmode::netns

#include "exec/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace netmode::exec {

namespace {

// By number, as in <linux/capability.h>.
constexpr std::array<std::string_view, 41> kNames = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
static_assert(kNames[CAP_NET_BIND_SERVICE] == "NET_BIND_SERVICE" && kNames[CAP_SYS_TTY_CONFIG] == "SYS_TTY_CONFIG" &&
              kNames[40] == "CHECKPOINT_RESTORE");
// The sets have room for 64; ALL drops what newer kernels added as well.
constexpr int kRoom = 64;

}  // namespace

bool AddCapability(std::string_view name, std::vector<int> &capabilities) {
  std::string upper(name);
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (upper == "ALL") {
    for (int capability = 0; capability < kRoom; ++capability) capabilities.push_back(capability);
    return true;
  }
  const std::string_view bare = upper.starts_with("CAP_") ? std::string_view(upper).substr(4) : std::string_view(upper);
  const auto found = std::ranges::find(kNames, bare);
  if (found == kNames.end()) return false;
  capabilities.push_back(static_cast<int>(found - kNames.begin()));
  return true;
}

Result<void> DropFromBounding(const std::vector<int> &capabilities) {
  for (const int capability : capabilities) {
    // Asked first: one that is out already needs no CAP_SETPCAP, and EINVAL means that the kernel does not have it.
    if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 1) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return FailErrno("capabilities", "bounding set");
  }
  return {};
}

Result<void> DropFromThread(const std::vector<int> &capabilities) {
  if (capabilities.empty()) return {};
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return FailErrno("capabilities", "capget");
  for (const int capability : capabilities) {
    auto &[effective, permitted, inheritable] = data[static_cast<std::size_t>(capability / 32)];
    const std::uint32_t others = ~(1U << (capability % 32));
    effective &= others;
    permitted &= others;
    inheritable &= others;
  }
  if (syscall(SYS_capset, &header, data.data()) != 0) return FailErrno("capabilities", "capset");
  return {};
}

}  // namespace netmode::exec

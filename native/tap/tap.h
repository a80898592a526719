// TAP devices: Ethernet links whose other end is a descriptor, for QEMU, Firecracker and their like.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netmode::tap {

struct TapAdd {
  std::string ns;
  std::string name;
  std::optional<std::uint32_t> owner;  // uid that may attach to it; absent: whoever has CAP_NET_ADMIN
  std::optional<std::uint32_t> group;  // gid, the same
  bool vnet_hdr = false;
  bool multi_queue = false;
  std::optional<std::uint32_t> link_group;  // IFLA_GROUP, which it is to have before it can outlive this process
};

// `ip tuntap add mode tap`, in the calling thread's namespace; EEXIST when the name is taken. The device goes with the descriptor
// that is answered, until Persist.
[[nodiscard]] Result<UniqueFd> Open(const TapAdd &op);
// From now on the device stays, whoever closes it.
[[nodiscard]] Result<void> Persist(const UniqueFd &device);

}  // namespace netmode::tap

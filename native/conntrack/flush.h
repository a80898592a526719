// Flush: forgets tracked flows, so that their next packet meets the ruleset as it is now.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/inet.h"
#include "base/result.h"
#include "netlink/socket.h"

namespace netmode::conntrack {

enum class Protocol : std::uint8_t { kTcp = 6, kUdp = 17, kSctp = 132 };  // IPPROTO_*

// The flows whose first packet went to this address and port.
struct ConntrackFlush {
  std::string ns;
  Protocol protocol = Protocol::kUdp;
  std::optional<std::string> address;  // absent: any of the host's own of `family`
  std::uint32_t family = 4;            // 4 or 6
  std::uint32_t port = 0;
};

// Whether an address is one of the host's own.
using IsOwn = std::function<Result<bool>(const IpAddress &address)>;

// As `conntrack -D --orig-dst ADDRESS -p PROTOCOL --orig-port-dst PORT`; answers how many flows were deleted. Needs a
// NETLINK_NETFILTER socket. With no flow tracked at all this is one question to the kernel; else one walk of its table.
// Without an address `is_own` tells which flows are the host's: what it forwards to the same port elsewhere is left alone.
// Without `is_own` all are taken.
[[nodiscard]] Result<std::size_t> Flush(netlink::Socket &socket, const ConntrackFlush &op, const IsOwn &is_own = {});

}  // namespace netmode::conntrack

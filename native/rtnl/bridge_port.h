// Bridge port: what a bridge keeps about a link that is its port (IFLA_INFO_SLAVE_DATA of kind "bridge").
#pragma once

#include <cstdint>
#include <optional>

#include "netlink/attributes.h"

namespace netmode::rtnl {

// As `bridge link set`; absent options stay as they are.
struct PortOptions {
  std::optional<bool> hairpin;
  std::optional<bool> isolated;
  std::optional<bool> learning;
  std::optional<bool> flood;
  std::optional<bool> multicast_flood;
  std::optional<bool> neigh_suppress;

  [[nodiscard]] bool Empty() const noexcept { return !hairpin && !isolated && !learning && !flood && !multicast_flood && !neigh_suppress; }
};

// The port as it is. `state` is the spanning tree's (BR_STATE_DISABLED … BR_STATE_BLOCKING).
struct PortInfo {
  std::uint8_t state = 0;
  bool hairpin = false;
  bool isolated = false;
  bool learning = false;
  bool flood = false;
  bool multicast_flood = false;
  bool neigh_suppress = false;
};

// Puts IFLA_LINKINFO with the options: for an RTM_NEWLINK without NLM_F_CREATE on a link that is a port already.
void PutPortOptions(netlink::Batch &batch, const PortOptions &options);
[[nodiscard]] PortInfo ParsePort(netlink::Bytes slave_data);

}  // namespace netmode::rtnl

// NeighborTable: how full the ARP and NDP tables are (RTM_GETNEIGHTBL). There is one a family for the whole machine: the entries of all
// namespaces count, and each namespace is told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "netlink/attributes.h"
#include "netlink/socket.h"

namespace netmode::rtnl {

struct NeighborTableList {
  std::string ns;
};

struct NeighborTable {
  std::uint8_t family = 0;
  std::uint32_t entries = 0;  // permanent ones too, for which the limit does not hold
  std::uint32_t limit = 0;    // gc_thresh3
};

[[nodiscard]] Result<std::vector<NeighborTable>> List(netlink::Socket &socket, const NeighborTableList &op);
// Nothing for what speaks of one device's settings.
[[nodiscard]] std::optional<NeighborTable> ParseNeighborTable(netlink::Bytes payload);

}  // namespace netmode::rtnl

// Neighbor: the ARP and NDP tables and their proxy entries, and what bridges know of their ports (RTM_NEWNEIGH).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/inet.h"
#include "netlink/batch.h"
#include "netlink/socket.h"
#include "rtnl/names.h"
#include "rtnl/verb.h"

namespace netmode::rtnl {

enum class NeighborState : std::uint16_t { kReachable = 0x02, kStale = 0x04, kNoarp = 0x40, kPermanent = 0x80 };  // NUD_*

struct NeighborVerb {
  Verb verb = Verb::kAdd;
  std::string ns;
  LinkRef link;
  std::string address;
  std::optional<std::string> mac;
  std::optional<NeighborState> state;  // absent: permanent
  bool proxy = false;
  bool missing_ok = false;
};

// The port `link` of a bridge is the way to `mac`, as if it had been learned. EPERM while the port doesn't forward.
struct FdbReplace {
  std::string ns;
  LinkRef link;
  std::string mac;
};

struct NeighborList {
  std::string ns;
  std::optional<LinkRef> link;
  bool proxy = false;  // the proxy entries instead of the others
};

struct Neighbor {
  std::uint32_t link = 0;  // index
  IpAddress address;
  std::string mac;          // empty: not known
  std::uint16_t state = 0;  // NUD_*
  bool proxy = false;
  bool router = false;
};

[[nodiscard]] Result<void> Encode(netlink::Batch &batch, const NeighborVerb &op, Names &names, std::size_t tag);
[[nodiscard]] Result<void> Encode(netlink::Batch &batch, const FdbReplace &op, Names &names, std::size_t tag);
// Both families; entries of the noarp kind (multicast, loopback) are left out, as by `ip neighbor show`.
[[nodiscard]] Result<std::vector<Neighbor>> List(netlink::Socket &socket, const NeighborList &op, Names &names);
[[nodiscard]] std::optional<Neighbor> ParseNeighbor(netlink::Bytes payload);

}  // namespace netmode::rtnl

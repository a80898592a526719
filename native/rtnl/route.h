// Route: the routing tables (RTM_NEWROUTE).
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

enum class RouteType : std::uint8_t { kUnicast = 1, kLocal = 2, kBlackhole = 6, kUnreachable = 7, kProhibit = 8 };  // RTN_*

struct RouteVerb {
  Verb verb = Verb::kAdd;
  std::string ns;
  std::string to;                       // CIDR or "default"
  std::optional<std::uint32_t> family;  // 4 or 6
  std::optional<std::string> via;
  std::optional<LinkRef> link;
  std::optional<std::string> source;
  std::optional<std::uint32_t> metric;
  std::optional<std::uint32_t> table;  // absent: main, or local for that type
  std::optional<Scope> scope;
  std::optional<RouteType> type;
  bool onlink = false;
  std::optional<std::uint32_t> mtu;
  bool missing_ok = false;
};

struct RouteList {
  std::string ns;
  std::optional<std::uint32_t> family;  // 4 or 6; absent: both
  std::optional<std::uint32_t> table;   // absent: main; 0: all
};

// One way of a multipath route.
struct NextHop {
  std::optional<IpAddress> via;
  std::optional<std::uint32_t> link;  // index
  std::uint32_t weight = 1;
};

struct Route {
  std::uint8_t family = 0;  // AF_INET or AF_INET6
  IpPrefix to;              // length 0: default
  std::optional<IpAddress> via;
  std::optional<std::uint32_t> link;  // index
  std::optional<IpAddress> source;
  std::optional<std::uint32_t> metric;
  std::uint32_t table = 0;
  std::uint8_t scope = 0;     // RT_SCOPE_*
  std::uint8_t type = 0;      // RTN_*
  std::uint8_t protocol = 0;  // RTPROT_*
  std::uint32_t flags = 0;    // RTNH_F_*
  std::optional<std::uint32_t> mtu;
  std::vector<NextHop> next_hops;
};

[[nodiscard]] Result<void> Encode(netlink::Batch &batch, const RouteVerb &op, Names &names, std::size_t tag);
[[nodiscard]] Result<std::vector<Route>> List(netlink::Socket &socket, const RouteList &op);
// Whether packets to the address end here, as `ip route get` says. `link`: the index of the one that has to have the address, where more
// than one may.
[[nodiscard]] Result<bool> IsLocal(netlink::Socket &socket, const IpAddress &address, std::optional<std::uint32_t> link = std::nullopt);
[[nodiscard]] std::optional<Route> ParseRoute(netlink::Bytes payload);

}  // namespace netmode::rtnl

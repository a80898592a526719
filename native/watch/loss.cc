#include "watch/loss.h"

#include <linux/filter.h>
#include <linux/if.h>
#include <linux/net_namespace.h>
#include <linux/netconf.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <bit>
#include <cstddef>
#include <utility>

#include "netlink/attributes.h"
#include "rtnl/address.h"
#include "rtnl/link.h"
#include "rtnl/route.h"
#include "watch/subscribe.h"

namespace netmode::watch {

namespace {

using netlink::Attribute;
using netlink::Message;

// cBPF loads in network order.
constexpr std::uint32_t Loaded(std::uint16_t type) { return std::endian::native == std::endian::little ? std::byteswap(type) : type; }

// Where the byte with IFF_UP is in a word of flags.
constexpr std::uint32_t LowByte(std::size_t word) {
  return static_cast<std::uint32_t>(NLMSG_HDRLEN + word + (std::endian::native == std::endian::little ? 0 : 3));
}

// What is deleted, and links that go down. A link that is being made is not up yet either, but tells of all its flags as new.
Result<void> KeepLosses(int fd) {
  std::array<sock_filter, 15> code{{
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(nlmsghdr, nlmsg_type)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, Loaded(RTM_DELLINK), 11, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, Loaded(RTM_DELADDR), 10, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, Loaded(RTM_DELROUTE), 9, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, Loaded(RTM_DELNETCONF), 8, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, Loaded(RTM_DELNSID), 7, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, Loaded(RTM_NEWLINK), 0, 7),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NLMSG_HDRLEN + offsetof(ifinfomsg, ifi_change)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xffffffff, 5, 0),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, LowByte(offsetof(ifinfomsg, ifi_flags))),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, IFF_UP, 3, 0),
      // Without IFF_UP among what has changed it was down before: that is told again with each of its settings.
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, LowByte(offsetof(ifinfomsg, ifi_change))),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, IFF_UP, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  }};
  const sock_fprog program{.len = code.size(), .filter = code.data()};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) return FailErrno("setsockopt", "SO_ATTACH_FILTER");
  return {};
}

std::uint32_t IndexOf(const Message &message, std::uint16_t attribute_type, std::size_t header) {
  std::uint32_t index = 0;
  if (message.payload.size() < header) return index;
  const bool whole = netlink::ForEachAttribute(message.payload.subspan(header), [&](const Attribute &attribute) {
    if (attribute.type == attribute_type) index = attribute.As<std::uint32_t>().value_or(0);
  });
  return whole ? index : 0;
}

std::optional<Loss> LinkLoss(const Message &message) {
  const auto link = rtnl::ParseLink(message.payload);
  if (!link) return std::nullopt;
  const bool of_bridge = message.payload[0] != std::byte{0};  // AF_BRIDGE: about the link as a port
  const bool gone = message.type == RTM_DELLINK;
  if (of_bridge && !gone) return std::nullopt;
  return Loss{.what = of_bridge ? "port" : gone ? "link" : "down", .index = link->index, .name = link->name, .alias = link->alias};
}

}  // namespace

Result<UniqueFd> SubscribeToLosses(int receive_buffer) {
  auto fd = Subscribe(NETLINK_ROUTE, {}, receive_buffer);
  if (!fd) return fd;
  if (auto kept = KeepLosses(fd->Get()); !kept) return std::unexpected(std::move(kept.error()));
  const int on = 1;
  static_cast<void>(setsockopt(fd->Get(), SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof on));
  auto joined = Join(fd->Get(), {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
                                 RTNLGRP_IPV4_NETCONF, RTNLGRP_NSID});
  if (!joined) return std::unexpected(std::move(joined.error()));
  return fd;
}

std::optional<Loss> ParseLoss(const Message &message) {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return LinkLoss(message);
    case RTM_DELADDR: {
      const auto address = rtnl::ParseAddress(message.payload);
      if (!address) return std::nullopt;
      return Loss{.what = "address", .index = address->link};
    }
    case RTM_DELROUTE: {
      const auto route = rtnl::ParseRoute(message.payload);
      if (!route) return std::nullopt;
      return Loss{.what = "route", .index = route->link.value_or(0)};
    }
    case RTM_DELNETCONF:  // a link that gets another name loses its settings under the old one
      return Loss{.what = "name", .index = IndexOf(message, NETCONFA_IFINDEX, NLMSG_ALIGN(sizeof(netconfmsg)))};
    case RTM_DELNSID: {
      const std::uint32_t nsid = IndexOf(message, NETNSA_NSID, NLMSG_ALIGN(sizeof(rtgenmsg)));
      return Loss{.what = "namespace", .nsid = static_cast<std::int32_t>(nsid)};
    }
    default:
      return std::nullopt;
  }
}

}  // namespace netmode::watch

// Link: network devices (RTM_NEWLINK and its siblings).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "netlink/batch.h"
#include "netlink/socket.h"
#include "rtnl/bridge.h"
#include "rtnl/bridge_port.h"
#include "rtnl/names.h"

namespace netmode::rtnl {

enum class LinkKind { kVeth, kBridge, kMacvlan, kIpvlan, kVlan, kDummy };
enum class MacvlanMode : std::uint32_t { kPrivate = 1, kVepa = 2, kBridge = 4, kPassthru = 8 };  // MACVLAN_MODE_*
enum class IpvlanMode : std::uint16_t { kL2 = 0, kL3 = 1, kL3s = 2 };                            // IPVLAN_MODE_*

enum class AddrGenMode : std::uint8_t { kEui64 = 0, kNone = 1 };  // IN6_ADDR_GEN_MODE_*

// The other end of a veth pair. `ns` as the op's own: beside it.
struct VethPeer {
  std::string ns;
  std::string name;
  std::optional<std::string> mac;
  std::optional<std::uint32_t> mtu;
};

struct LinkAdd {
  std::string ns;
  std::string name;
  LinkKind kind = LinkKind::kVeth;
  std::optional<std::string> mac;
  std::optional<std::uint32_t> mtu;
  std::optional<LinkRef> master;
  bool up = false;
  std::optional<std::uint32_t> group;
  std::optional<std::uint32_t> queues;
  std::optional<std::string> alias;
  std::optional<PortOptions> port;
  std::optional<VethPeer> peer;
  std::optional<BridgeOptions> bridge;
  std::optional<LinkRef> parent;
  std::optional<std::string> born_in;
  std::optional<MacvlanMode> macvlan_mode;
  std::optional<IpvlanMode> ipvlan_mode;
  std::optional<std::uint32_t> vlan_id;
};

struct LinkSet {
  std::string ns;
  LinkRef link;
  std::optional<std::string> name;
  std::optional<std::string> mac;
  std::optional<std::uint32_t> mtu;
  std::optional<LinkRef> master;
  bool release_master = false;  // `master: null`
  std::optional<bool> up;
  std::optional<std::uint32_t> group;
  std::optional<std::string> alias;
  std::optional<PortOptions> port;
  std::optional<std::string> move_to;
  std::optional<bool> arp_notify;
  std::optional<AddrGenMode> addr_gen_mode;
  bool missing_ok = false;
};

struct LinkDelete {
  std::string ns;
  std::vector<LinkRef> links;
  std::optional<std::uint32_t> group;
  std::optional<std::uint32_t> only_in_group;  // of `links`: one that is in another is not the one that is meant (ENODEV)
  bool missing_ok = false;
};

struct LinkList {
  std::string ns;
  std::optional<std::string> name;
  std::optional<LinkRef> master;
  bool partial_ok = false;
};

struct LinkStats {
  std::uint64_t rx_bytes = 0;
  std::uint64_t rx_packets = 0;
  std::uint64_t rx_dropped = 0;
  std::uint64_t rx_errors = 0;
  std::uint64_t tx_bytes = 0;
  std::uint64_t tx_packets = 0;
  std::uint64_t tx_dropped = 0;
  std::uint64_t tx_errors = 0;
};

struct Link {
  std::uint32_t index = 0;
  std::string name;
  std::string kind;  // empty: hardware or loopback
  std::string mac;   // empty: none
  std::uint32_t mtu = 0;
  bool up = false;
  bool running = false;
  bool lower_up = false;
  bool loopback = false;
  std::uint8_t operstate = 0;  // IF_OPER_*
  std::optional<std::uint32_t> master;
  std::string alias;
  std::uint32_t group = 0;
  std::optional<std::uint32_t> parent;       // IFLA_LINK: veth peer or the device underneath
  std::optional<std::int32_t> link_netnsid;  // namespace of `parent`, when it is another one
  std::vector<std::string> altnames;
  std::uint32_t num_tx_queues = 0;
  std::uint32_t num_rx_queues = 0;
  std::optional<BridgeInfo> bridge;
  std::optional<PortInfo> port;
  std::optional<std::uint32_t> macvlan_mode;
  std::optional<std::uint16_t> ipvlan_mode;
  std::optional<std::uint16_t> vlan_id;
  std::optional<LinkStats> stats;
};

// What NLM_F_ECHO tells about a link that was just made. `peer_index` is IFLA_LINK: for a veth the other end.
struct CreatedLink {
  std::uint32_t index = 0;
  std::string name;
  std::optional<std::uint32_t> peer_index;
};

// `ip link add`: one RTM_NEWLINK that makes the link complete, then (with `alias` or `port`) a second message for what the
// kernel ignores at birth. `alias` and `port` can't go with `born_in`: EINVAL, set them on a socket there.
[[nodiscard]] Result<void> Encode(netlink::Batch &batch, const LinkAdd &op, Names &names, std::size_t tag);
// `ip link set`; port options go in a message of their own, because the kernel looks at them before the new master.
[[nodiscard]] Result<void> Encode(netlink::Batch &batch, const LinkSet &op, Names &names, std::size_t tag);

// `ip link del`. Several links are put in a group of their own first and share one wait of the kernel's. A ref with an index is
// deleted only if the link under that index still goes by that name or altname (ENODEV otherwise). Every link that could not
// be deleted gives a failure; the others are gone.
[[nodiscard]] Result<std::vector<netlink::Failure>> Delete(netlink::Socket &socket, const LinkDelete &op, Names &names, std::size_t tag);

// `ip -d -s link show`. An unknown name gives an empty list; a master that is gone, ENODEV. `partial_ok`: where links come and go all the
// while, what was found the last time, which may lack some.
[[nodiscard]] Result<std::vector<Link>> List(netlink::Socket &socket, const LinkList &op, Names &names);

// The link of an RTM_NEWLINK or RTM_DELLINK payload; nothing if it is malformed.
[[nodiscard]] std::optional<Link> ParseLink(netlink::Bytes payload);
// Of an echoed RTM_NEWLINK; nothing for any other message.
[[nodiscard]] std::optional<CreatedLink> ParseCreated(const netlink::Message &message);

// Whether there is a link of that index and name. ENODEV: none.
struct LinkExpect {
  std::string ns;
  LinkRef link;
};
[[nodiscard]] Result<void> Expect(const netlink::Socket &socket, const std::string &name, std::uint32_t index);

// What the kernel has put off about the link's carrier is done: after that it really sends. ENODEV: there is none.
struct LinkSettle {
  std::string ns;
  LinkRef link;
};
[[nodiscard]] Result<void> Settle(const netlink::Socket &socket, const std::string &name);

// ENODEV when there is none.
[[nodiscard]] Result<std::uint32_t> LinkIndexByName(netlink::Socket &socket, const std::string &name);

}  // namespace netmode::rtnl

// Encoding of link.add and link.set; reading is in link_list.cc, deletion in link_delete.cc.
#include "rtnl/link.h"

#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <string_view>
#include <utility>

#include "base/inet.h"
#include "rtnl/nsid.h"

namespace netmode::rtnl {

namespace {

constexpr std::uint32_t kLargestVlan = 4094;  // 4095 is reserved (802.1Q)

std::string_view KindName(LinkKind kind) {
  switch (kind) {
    case LinkKind::kVeth:
      return "veth";
    case LinkKind::kBridge:
      return "bridge";
    case LinkKind::kMacvlan:
      return "macvlan";
    case LinkKind::kIpvlan:
      return "ipvlan";
    case LinkKind::kVlan:
      return "vlan";
    case LinkKind::kDummy:
      return "dummy";
  }
  std::unreachable();
}

// What a name of the plan stands for, found before the message is begun (Names may send the batch meanwhile).
struct Resolved {
  std::optional<MacAddress> mac;
  std::optional<MacAddress> peer_mac;
  std::optional<std::uint32_t> master;
  std::optional<std::uint32_t> parent;
  std::optional<int> peer_namespace;
  std::optional<int> born_in;
};

// Calls `find` for a value that is there and keeps what it answers; absent values stay absent.
template <class From, class To, class Find>
[[nodiscard]] Result<void> Resolve(const std::optional<From> &from, std::optional<To> &to, Find find) {
  if (!from) return {};
  auto found = find(*from);
  if (!found) return std::unexpected(std::move(found.error()));
  to = *found;
  return {};
}

[[nodiscard]] Result<Resolved> ResolveAdd(const LinkAdd &op, Names &names) {
  Resolved resolved;
  const auto index = [&](const LinkRef &link) { return names.LinkIndex(op.ns, link); };
  const auto fd = [&](const std::string &slot) { return names.NamespaceFd(slot); };
  Result<void> done = Resolve(op.mac, resolved.mac, ParseMac);
  if (done) done = Resolve(op.master, resolved.master, index);
  if (done) done = Resolve(op.parent, resolved.parent, index);
  if (done) done = Resolve(op.born_in, resolved.born_in, fd);
  if (done && op.peer) done = Resolve(op.peer->mac, resolved.peer_mac, ParseMac);
  if (done && op.peer && op.peer->ns != op.ns) done = Resolve(std::optional(op.peer->ns), resolved.peer_namespace, fd);
  if (!done) return std::unexpected(std::move(done.error()));
  return resolved;
}

template <class Integer>
void PutOptional(netlink::Batch &batch, std::uint16_t type, const std::optional<Integer> &value) {
  if (value) batch.PutInteger(type, *value);
}

void PutMac(netlink::Batch &batch, const std::optional<MacAddress> &mac) {
  if (mac) batch.Put(IFLA_ADDRESS, *mac);
}

void PutQueues(netlink::Batch &batch, const LinkAdd &op) {
  PutOptional(batch, IFLA_NUM_TX_QUEUES, op.queues);
  PutOptional(batch, IFLA_NUM_RX_QUEUES, op.queues);
}

// The peer's own IFF_UP is not asked for here: the kernel would answer ENOTCONN, the other end being no device yet.
void PutPeer(netlink::Batch &batch, const VethPeer &peer, const LinkAdd &op, const Resolved &resolved) {
  const std::size_t nest = batch.BeginNest(VETH_INFO_PEER);
  const ifinfomsg header{};
  batch.PutRaw(std::as_bytes(std::span(&header, 1)));
  batch.PutString(IFLA_IFNAME, peer.name);
  PutMac(batch, resolved.peer_mac);
  PutOptional(batch, IFLA_MTU, peer.mtu);
  PutOptional(batch, IFLA_NET_NS_FD, resolved.peer_namespace);
  PutQueues(batch, op);
  batch.EndNest(nest);
}

void PutLinkInfo(netlink::Batch &batch, const LinkAdd &op, const Resolved &resolved) {
  const std::size_t info = batch.BeginNest(IFLA_LINKINFO);
  batch.PutString(IFLA_INFO_KIND, KindName(op.kind));
  const std::size_t data = batch.BeginNest(IFLA_INFO_DATA);
  switch (op.kind) {
    case LinkKind::kVeth:
      if (op.peer) PutPeer(batch, *op.peer, op, resolved);
      break;
    case LinkKind::kBridge:
      if (op.bridge) PutBridgeOptions(batch, *op.bridge);
      break;
    case LinkKind::kMacvlan:
      if (op.macvlan_mode) batch.PutInteger(IFLA_MACVLAN_MODE, std::to_underlying(*op.macvlan_mode));
      break;
    case LinkKind::kIpvlan:
      if (op.ipvlan_mode) batch.PutInteger(IFLA_IPVLAN_MODE, std::to_underlying(*op.ipvlan_mode));
      break;
    case LinkKind::kVlan:
      if (op.vlan_id) batch.PutInteger(IFLA_VLAN_ID, static_cast<std::uint16_t>(*op.vlan_id));
      break;
    case LinkKind::kDummy:
      break;
  }
  batch.EndNest(data);
  batch.EndNest(info);
}

// A change of the link that goes by this name, of which the batch may hold the making: no index is known yet.
void BeginChange(netlink::Batch &batch, const std::string &name, std::optional<std::uint32_t> index, ifinfomsg header, std::size_t tag) {
  header.ifi_index = static_cast<int>(index.value_or(0));
  batch.Begin(RTM_NEWLINK, 0, header, tag);
  if (!index) batch.PutString(IFLA_IFNAME, name);
}

// What /proc/sys/net/ipv4/conf/LINK/arp_notify and ipv6/conf/LINK/addr_gen_mode say, without a way into those folders.
void PutFamilies(netlink::Batch &batch, const std::optional<bool> &arp_notify, const std::optional<AddrGenMode> &mode) {
  const std::size_t families = batch.BeginNest(IFLA_AF_SPEC);
  if (arp_notify) {
    const std::size_t inet = batch.BeginNest(AF_INET);
    const std::size_t settings = batch.BeginNest(IFLA_INET_CONF);
    batch.PutInteger(IPV4_DEVCONF_ARP_NOTIFY, std::uint32_t{*arp_notify});
    batch.EndNest(settings);
    batch.EndNest(inet);
  }
  if (mode) {
    const std::size_t inet6 = batch.BeginNest(AF_INET6);
    batch.PutInteger(IFLA_INET6_ADDR_GEN_MODE, std::to_underlying(*mode));
    batch.EndNest(inet6);
  }
  batch.EndNest(families);
}

}  // namespace

Result<void> Encode(netlink::Batch &batch, const LinkAdd &op, Names &names, std::size_t tag) {
  const bool marked = op.alias || (op.port && !op.port->Empty());
  if (op.born_in && marked) return Fail(EINVAL, "link.add", "alias and port of a link born elsewhere are set by a link.set there");
  if (op.vlan_id && *op.vlan_id > kLargestVlan)
    return Fail(EINVAL, {}, "expected a VLAN id up to 4094 but received " + std::to_string(*op.vlan_id));
  const Result<Resolved> resolved = ResolveAdd(op, names);
  if (!resolved) return std::unexpected(resolved.error());

  if (resolved->peer_namespace) {
    if (const auto number = names.NumberFor(op.peer->ns, op.ns)) PutNumber(batch, *resolved->peer_namespace, *number);
  }
  ifinfomsg header{};
  if (op.up) header.ifi_flags = header.ifi_change = IFF_UP;
  // The echo of a link born elsewhere would go to whoever has our port id there, not to us.
  const std::uint16_t echo = op.born_in ? 0 : NLM_F_ECHO;
  batch.Begin(RTM_NEWLINK, static_cast<std::uint16_t>(NLM_F_CREATE | NLM_F_EXCL | echo), header, tag);
  batch.PutString(IFLA_IFNAME, op.name);
  PutMac(batch, resolved->mac);
  PutOptional(batch, IFLA_MTU, op.mtu);
  PutOptional(batch, IFLA_MASTER, resolved->master);
  PutOptional(batch, IFLA_GROUP, op.group);
  PutOptional(batch, IFLA_LINK, resolved->parent);
  PutOptional(batch, IFLA_NET_NS_FD, resolved->born_in);
  PutQueues(batch, op);
  PutLinkInfo(batch, op, *resolved);
  batch.End();

  if (!marked) return {};
  BeginChange(batch, op.name, std::nullopt, ifinfomsg{}, tag);
  if (op.alias) batch.PutString(IFLA_IFALIAS, *op.alias);
  if (op.port && !op.port->Empty()) PutPortOptions(batch, *op.port);
  batch.End();
  return {};
}

Result<void> Encode(netlink::Batch &batch, const LinkSet &op, Names &names, std::size_t tag) {
  std::optional<MacAddress> mac;
  std::optional<std::uint32_t> master;
  std::optional<int> move_to;
  std::optional<std::uint32_t> index = op.link.index;
  Result<void> done = Resolve(op.mac, mac, ParseMac);
  if (done) done = Resolve(op.master, master, [&](const LinkRef &link) { return names.LinkIndex(op.ns, link); });
  if (done) done = Resolve(op.move_to, move_to, [&](const std::string &slot) { return names.NamespaceFd(slot); });
  // IFLA_IFNAME tells which link, or the new name: not both.
  if (done && op.name && !index)
    done = Resolve(std::optional(op.link), index, [&](const LinkRef &link) { return names.LinkIndex(op.ns, link); });
  if (!done) return done;
  if (op.release_master) master = 0;

  ifinfomsg header{};
  if (op.up) {
    header.ifi_change = IFF_UP;
    header.ifi_flags = *op.up ? IFF_UP : 0;
  }
  const bool port = op.port && !op.port->Empty();
  const bool families = op.arp_notify || op.addr_gen_mode;
  BeginChange(batch, op.link.name, index, header, tag);
  if (op.name) batch.PutString(IFLA_IFNAME, *op.name);
  PutMac(batch, mac);
  PutOptional(batch, IFLA_MTU, op.mtu);
  PutOptional(batch, IFLA_MASTER, master);
  PutOptional(batch, IFLA_GROUP, op.group);
  if (op.alias) batch.PutString(IFLA_IFALIAS, *op.alias);
  PutOptional(batch, IFLA_NET_NS_FD, move_to);
  if (families) PutFamilies(batch, op.arp_notify, op.addr_gen_mode);
  // The kernel sets a port's options before anything else of the message.
  if (port && !master) PutPortOptions(batch, *op.port);
  batch.End();
  if (port && master) {
    BeginChange(batch, op.link.name, index, ifinfomsg{}, tag);
    PutPortOptions(batch, *op.port);
    batch.End();
  }
  return {};
}

}  // namespace netmode::rtnl

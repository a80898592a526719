// Reading links: dumps, single look-ups and the echo of a creation.
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <string_view>
#include <utility>

#include "base/inet.h"
#include "netlink/attributes.h"
#include "rtnl/dump.h"
#include "rtnl/link.h"

namespace netmode::rtnl {

namespace {

using netlink::Attribute;
using netlink::ForEachAttribute;

// <linux/if.h> has it, but does not get along with <net/if.h>.
constexpr unsigned kLowerUp = 1U << 16;

LinkStats ParseStats(netlink::Bytes value) {
  rtnl_link_stats64 stats{};  // grows from kernel to kernel
  std::memcpy(&stats, value.data(), std::min(value.size(), sizeof stats));
  return {.rx_bytes = stats.rx_bytes,
          .rx_packets = stats.rx_packets,
          .rx_dropped = stats.rx_dropped,
          .rx_errors = stats.rx_errors,
          .tx_bytes = stats.tx_bytes,
          .tx_packets = stats.tx_packets,
          .tx_dropped = stats.tx_dropped,
          .tx_errors = stats.tx_errors};
}

// The first attribute of that type in a nest.
std::optional<Attribute> Find(netlink::Bytes nest, std::uint16_t type) {
  std::optional<Attribute> found;
  const bool whole = ForEachAttribute(nest, [&](const Attribute &attribute) {
    if (attribute.type == type && !found) found = attribute;
  });
  static_cast<void>(whole);
  return found;
}

void ParseKindData(netlink::Bytes data, Link &link) {
  if (link.kind == "bridge") link.bridge = ParseBridge(data);
  const auto number = [&]<class Integer>(std::string_view kind, std::uint16_t type, std::optional<Integer> &target) {
    if (link.kind != kind) return;
    if (const std::optional<Attribute> attribute = Find(data, type)) target = attribute->As<Integer>();
  };
  number("macvlan", IFLA_MACVLAN_MODE, link.macvlan_mode);
  number("ipvlan", IFLA_IPVLAN_MODE, link.ipvlan_mode);
  number("vlan", IFLA_VLAN_ID, link.vlan_id);
}

void ParseLinkInfo(netlink::Bytes info, Link &link) {
  if (const auto kind = Find(info, IFLA_INFO_KIND)) link.kind = kind->Text();
  if (const auto data = Find(info, IFLA_INFO_DATA)) ParseKindData(data->value, link);
  const auto slave = Find(info, IFLA_INFO_SLAVE_KIND);
  if (!slave || slave->Text() != "bridge") return;
  if (const auto data = Find(info, IFLA_INFO_SLAVE_DATA)) link.port = ParsePort(data->value);
}

void ParseAltnames(netlink::Bytes list, Link &link) {
  const bool whole = ForEachAttribute(list, [&](const Attribute &attribute) {
    if (attribute.type == IFLA_ALT_IFNAME) link.altnames.emplace_back(attribute.Text());
  });
  static_cast<void>(whole);
}

void ParseAttribute(const Attribute &attribute, Link &link) {
  const auto number = [&] { return attribute.As<std::uint32_t>().value_or(0); };
  switch (attribute.type) {
    case IFLA_IFNAME:
      link.name = attribute.Text();
      break;
    case IFLA_ADDRESS:
      link.mac = FormatMac(attribute.value);
      break;
    case IFLA_MTU:
      link.mtu = number();
      break;
    case IFLA_OPERSTATE:
      link.operstate = attribute.As<std::uint8_t>().value_or(0);
      break;
    case IFLA_MASTER:
      link.master = attribute.As<std::uint32_t>();
      break;
    case IFLA_IFALIAS:
      link.alias = attribute.Text();
      break;
    case IFLA_GROUP:
      link.group = number();
      break;
    case IFLA_LINK:
      link.parent = attribute.As<std::uint32_t>();
      break;
    case IFLA_LINK_NETNSID:
      link.link_netnsid = attribute.As<std::int32_t>();
      break;
    case IFLA_NUM_TX_QUEUES:
      link.num_tx_queues = number();
      break;
    case IFLA_NUM_RX_QUEUES:
      link.num_rx_queues = number();
      break;
    case IFLA_STATS64:
      link.stats = ParseStats(attribute.value);
      break;
    case IFLA_PROP_LIST:
      ParseAltnames(attribute.value, link);
      break;
    case IFLA_LINKINFO:
      ParseLinkInfo(attribute.value, link);
      break;
    default:
      break;
  }
}

// Without a mask the kernel doesn't look how much room the largest link of a list needs, and leaves out one of which there is more to say
// than 32 KiB. Links other than bridges, and bridges other than those of the ring protocol, say no more for this one.
constexpr std::uint32_t kNothingMore = RTEXT_FILTER_MRP;

// One link by name: a question of its own, so that the others are not walked.
Result<std::vector<Link>> Get(netlink::Socket &socket, const std::string &name, std::uint32_t mask) {
  netlink::Batch batch;
  batch.Begin(RTM_GETLINK, 0, ifinfomsg{}, 0);
  batch.PutString(IFLA_IFNAME, name);
  batch.PutInteger(IFLA_EXT_MASK, mask);
  batch.End();
  std::vector<Link> links;
  Result<std::vector<netlink::Failure>> failures = socket.Execute(batch, [&](std::size_t, const netlink::Message &message) {
    if (std::optional<Link> link = ParseLink(message.payload)) links.push_back(std::move(*link));
  });
  if (!failures) return std::unexpected(std::move(failures.error()));
  if (!failures->empty()) return std::unexpected(std::move(failures->front().error));
  return links;
}

}  // namespace

std::optional<Link> ParseLink(netlink::Bytes payload) {
  netlink::Bytes attributes;
  const std::optional<ifinfomsg> header = TakeHeader<ifinfomsg>(payload, attributes);
  if (!header) return std::nullopt;
  Link link;
  link.index = static_cast<std::uint32_t>(header->ifi_index);
  link.up = (header->ifi_flags & IFF_UP) != 0;
  link.running = (header->ifi_flags & IFF_RUNNING) != 0;
  link.lower_up = (header->ifi_flags & kLowerUp) != 0;
  link.loopback = (header->ifi_flags & IFF_LOOPBACK) != 0;
  if (!ForEachAttribute(attributes, [&](const Attribute &attribute) { ParseAttribute(attribute, link); })) return std::nullopt;
  return link;
}

std::optional<CreatedLink> ParseCreated(const netlink::Message &message) {
  if (message.type != RTM_NEWLINK) return std::nullopt;
  netlink::Bytes attributes;
  const std::optional<ifinfomsg> header = TakeHeader<ifinfomsg>(message.payload, attributes);
  if (!header) return std::nullopt;
  CreatedLink created{.index = static_cast<std::uint32_t>(header->ifi_index), .name = {}, .peer_index = std::nullopt};
  const bool whole = ForEachAttribute(attributes, [&](const Attribute &attribute) {
    if (attribute.type == IFLA_IFNAME) created.name = attribute.Text();
    if (attribute.type == IFLA_LINK) created.peer_index = attribute.As<std::uint32_t>();
  });
  if (!whole || created.name.empty()) return std::nullopt;
  return created;
}

Result<std::vector<Link>> List(netlink::Socket &socket, const LinkList &op, Names &names) {
  std::optional<std::uint32_t> master;
  if (op.master) {
    const Result<std::uint32_t> index = names.LinkIndex(op.ns, *op.master);
    if (!index) return std::unexpected(index.error());
    master = *index;
  }
  const auto wanted = [&](const Link &link) { return !master || link.master == master; };
  if (op.name) {
    Result<std::vector<Link>> links = Get(socket, *op.name, kNothingMore);
    if (!links && links.error().code == ENODEV) return std::vector<Link>{};
    if (links) std::erase_if(*links, [&](const Link &link) { return !wanted(link); });
    return links;
  }
  netlink::Batch request;
  request.Begin(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{}, 0);
  if (master) request.PutInteger(IFLA_MASTER, *master);
  request.PutInteger(IFLA_EXT_MASK, kNothingMore);
  request.End();
  std::vector<Link> links;
  const auto when = op.partial_ok ? netlink::WhenDisturbed::kTakeLast : netlink::WhenDisturbed::kFail;
  if (Result<void> dumped = DumpInto(socket, request, links, ParseLink, wanted, when); !dumped) {
    return std::unexpected(std::move(dumped.error()));
  }
  return links;
}

// The one question about links that waits for no lock.
Result<void> Expect(const netlink::Socket &socket, const std::string &name, std::uint32_t index) {
  ifreq request{};
  request.ifr_ifindex = static_cast<int>(index);
  if (ioctl(socket.Fd(), SIOCGIFNAME, &request) != 0) return FailErrno("ioctl", name);
  if (name != request.ifr_name) return Fail(ENODEV, "ioctl", name);
  return {};
}

// The kernel does not tell whether a link has a carrier before it has done what it had put off (ethtool_op_get_link, from 6.8). Of what
// does that it is the least to ask.
Result<void> Settle(const netlink::Socket &socket, const std::string &name) {
  ethtool_value carrier{.cmd = ETHTOOL_GLINK, .data = 0};
  ifreq request{};
  if (name.size() >= sizeof request.ifr_name) return Fail(ENODEV, "ioctl", name);
  std::memcpy(request.ifr_name, name.data(), name.size());
  request.ifr_data = reinterpret_cast<char *>(&carrier);
  if (ioctl(socket.Fd(), SIOCETHTOOL, &request) != 0 && errno != EOPNOTSUPP) return FailErrno("ioctl", name);
  return {};
}

Result<std::uint32_t> LinkIndexByName(netlink::Socket &socket, const std::string &name) {
  const Result<std::vector<Link>> links = Get(socket, name, RTEXT_FILTER_SKIP_STATS);
  if (!links) return std::unexpected(links.error());
  if (links->empty()) return Fail(ENODEV, "link.get");
  return links->front().index;
}

}  // namespace netmode::rtnl

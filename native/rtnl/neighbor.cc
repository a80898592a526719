#include "rtnl/neighbor.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <utility>

#include "netlink/attributes.h"
#include "rtnl/dump.h"

namespace netmode::rtnl {

Result<void> Encode(netlink::Batch &batch, const NeighborVerb &op, Names &names, std::size_t tag) {
  const Result<IpAddress> address = ParseIp(op.address);
  if (!address) return std::unexpected(address.error());
  Result<MacAddress> mac{};
  if (op.mac) mac = ParseMac(*op.mac);
  if (!mac) return std::unexpected(std::move(mac.error()));
  const Result<std::uint32_t> index = names.LinkIndex(op.ns, op.link);
  if (!index) return std::unexpected(index.error());

  ndmsg header{};
  header.ndm_family = address->family;
  header.ndm_ifindex = static_cast<int>(*index);
  if (op.verb != Verb::kDelete) header.ndm_state = std::to_underlying(op.state.value_or(NeighborState::kPermanent));
  if (op.proxy) header.ndm_flags = NTF_PROXY;
  batch.Begin(op.verb == Verb::kDelete ? RTM_DELNEIGH : RTM_NEWNEIGH, FlagsOf(op.verb), header, tag);
  batch.Put(NDA_DST, address->Bytes());
  if (op.mac) batch.Put(NDA_LLADDR, *mac);
  batch.End();
  return {};
}

Result<void> Encode(netlink::Batch &batch, const FdbReplace &op, Names &names, std::size_t tag) {
  const Result<MacAddress> mac = ParseMac(op.mac);
  if (!mac) return std::unexpected(mac.error());
  const Result<std::uint32_t> index = names.LinkIndex(op.ns, op.link);
  if (!index) return std::unexpected(index.error());

  ndmsg header{};
  header.ndm_family = AF_BRIDGE;
  header.ndm_ifindex = static_cast<int>(*index);
  header.ndm_state = NUD_REACHABLE;
  header.ndm_flags = NTF_MASTER;
  batch.Begin(RTM_NEWNEIGH, FlagsOf(Verb::kReplace), header, tag);
  batch.Put(NDA_LLADDR, *mac);
  batch.End();
  return {};
}

std::optional<Neighbor> ParseNeighbor(netlink::Bytes payload) {
  netlink::Bytes attributes;
  const std::optional<ndmsg> header = TakeHeader<ndmsg>(payload, attributes);
  if (!header || (header->ndm_family != AF_INET && header->ndm_family != AF_INET6)) return std::nullopt;
  Neighbor neighbor;
  neighbor.link = static_cast<std::uint32_t>(header->ndm_ifindex);
  neighbor.state = header->ndm_state;
  neighbor.proxy = (header->ndm_flags & NTF_PROXY) != 0;
  neighbor.router = (header->ndm_flags & NTF_ROUTER) != 0;
  const bool whole = netlink::ForEachAttribute(attributes, [&](const netlink::Attribute &attribute) {
    if (attribute.type == NDA_DST) neighbor.address = IpFromBytes(attribute.value);
    if (attribute.type == NDA_LLADDR) neighbor.mac = FormatMac(attribute.value);
  });
  if (!whole || neighbor.address.family == 0) return std::nullopt;
  return neighbor;
}

Result<std::vector<Neighbor>> List(netlink::Socket &socket, const NeighborList &op, Names &names) {
  std::optional<std::uint32_t> link;
  if (op.link) {
    const Result<std::uint32_t> index = names.LinkIndex(op.ns, *op.link);
    if (!index) return std::unexpected(index.error());
    link = *index;
  }
  std::vector<Neighbor> neighbors;
  const auto wanted = [&](const Neighbor &neighbor) {
    return neighbor.proxy == op.proxy && (!link || neighbor.link == *link) && (op.proxy || neighbor.state != NUD_NOARP);
  };
  // One family at a time: without one the kernel would add the forwarding tables of bridges.
  for (const std::uint8_t family : std::initializer_list<std::uint8_t>{AF_INET, AF_INET6}) {
    ndmsg header{};
    header.ndm_family = family;
    if (op.proxy) header.ndm_flags = NTF_PROXY;
    netlink::Batch request;
    request.Begin(RTM_GETNEIGH, NLM_F_DUMP, header, 0);
    if (link) request.PutInteger(NDA_IFINDEX, *link);
    request.End();
    Result<void> dumped = DumpInto(socket, request, neighbors, ParseNeighbor, wanted);
    if (!dumped) return std::unexpected(std::move(dumped.error()));
  }
  return neighbors;
}

}  // namespace netmode::rtnl

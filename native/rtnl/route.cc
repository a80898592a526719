#include "rtnl/route.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <utility>

#include "netlink/attributes.h"
#include "rtnl/dump.h"
#include "rtnl/family.h"

namespace netmode::rtnl {

namespace {

using netlink::Attribute;
using netlink::ForEachAttribute;

constexpr std::uint32_t kLargestShortTable = 255;  // what rtm_table can hold

// The texts of an op as addresses, and the link as its index.
struct Resolved {
  IpPrefix to;
  std::optional<IpAddress> via;
  std::optional<IpAddress> source;
  std::optional<std::uint32_t> link;
};

Result<IpPrefix> Destination(const RouteVerb &op, const std::optional<IpAddress> &via, const std::optional<IpAddress> &source) {
  if (op.to != "default") return ParsePrefix(op.to);
  IpPrefix any;
  any.address.family = AF_INET;
  if (via) any.address.family = via->family;
  if (source) any.address.family = source->family;  // the route's own family, where the gateway may be of another
  if (op.family) {
    const Result<std::uint8_t> family = AddressFamily(*op.family);
    if (!family) return std::unexpected(family.error());
    any.address.family = *family;
  }
  return any;
}

Result<void> ParseInto(const std::optional<std::string> &text, std::optional<IpAddress> &address) {
  if (!text) return {};
  Result<IpAddress> parsed = ParseIp(*text);
  if (!parsed) return std::unexpected(std::move(parsed.error()));
  address = *parsed;
  return {};
}

Result<Resolved> Resolve(const RouteVerb &op, Names &names) {
  Resolved resolved;
  if (Result<void> done = ParseInto(op.via, resolved.via); !done) return std::unexpected(std::move(done.error()));
  if (Result<void> done = ParseInto(op.source, resolved.source); !done) return std::unexpected(std::move(done.error()));
  Result<IpPrefix> to = Destination(op, resolved.via, resolved.source);
  if (!to) return std::unexpected(std::move(to.error()));
  resolved.to = *to;
  if (resolved.source && resolved.source->family != to->address.family) {
    return Fail(EINVAL, {}, "the source and the destination are of different families");
  }
  if (op.link) {
    const Result<std::uint32_t> index = names.LinkIndex(op.ns, *op.link);
    if (!index) return std::unexpected(index.error());
    resolved.link = *index;
  }
  return resolved;
}

// As iproute2 chooses: what is reached without a gateway is on the link. IPv6 knows no scopes of routes.
std::uint8_t ScopeOf(const RouteVerb &op, const Resolved &resolved) {
  if (op.scope) return std::to_underlying(*op.scope);
  if (resolved.to.address.family == AF_INET6) return RT_SCOPE_UNIVERSE;
  if (op.verb == Verb::kDelete) return RT_SCOPE_NOWHERE;  // any
  const RouteType type = op.type.value_or(RouteType::kUnicast);
  if (type == RouteType::kLocal) return RT_SCOPE_HOST;
  return type == RouteType::kUnicast && !resolved.via ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
}

// As iproute2 chooses.
std::uint32_t TableOf(const RouteVerb &op) { return op.table.value_or(op.type == RouteType::kLocal ? RT_TABLE_LOCAL : RT_TABLE_MAIN); }

rtmsg HeaderOf(const RouteVerb &op, const Resolved &resolved) {
  const std::uint32_t table = TableOf(op);
  const bool deletion = op.verb == Verb::kDelete;
  rtmsg header{};
  header.rtm_family = resolved.to.address.family;
  header.rtm_dst_len = resolved.to.length;
  header.rtm_table = static_cast<std::uint8_t>(table > kLargestShortTable ? 0 : table);
  header.rtm_protocol = deletion ? RTPROT_UNSPEC : RTPROT_BOOT;  // a deletion takes any; boot, as by `ip route add`
  header.rtm_scope = ScopeOf(op, resolved);
  header.rtm_type = deletion ? RTN_UNSPEC : RTN_UNICAST;
  if (op.type) header.rtm_type = std::to_underlying(*op.type);
  if (op.onlink) header.rtm_flags |= RTNH_F_ONLINK;
  return header;
}

void PutGateway(netlink::Batch &batch, const IpAddress &via, std::uint8_t family) {
  if (via.family == family) {
    batch.Put(RTA_GATEWAY, via.Bytes());
    return;
  }
  // rtvia: the family, then the address without padding between.
  std::array<std::byte, sizeof(std::uint16_t) + sizeof(IpAddress::storage)> value{};
  const std::uint16_t via_family = via.family;
  const netlink::Bytes bytes = via.Bytes();
  std::memcpy(value.data(), &via_family, sizeof via_family);
  std::memcpy(value.data() + sizeof via_family, bytes.data(), bytes.size());
  batch.Put(RTA_VIA, std::span(value).first(sizeof via_family + bytes.size()));
}

// RTA_VIA's content.
std::optional<IpAddress> ParseVia(netlink::Bytes value) {
  if (value.size() < sizeof(std::uint16_t)) return std::nullopt;
  const IpAddress address = IpFromBytes(value.subspan(sizeof(std::uint16_t)));
  return address.family != 0 ? std::optional(address) : std::nullopt;
}

void ParseNextHops(netlink::Bytes value, std::vector<NextHop> &hops) {
  while (value.size() >= sizeof(rtnexthop)) {
    rtnexthop header;
    std::memcpy(&header, value.data(), sizeof header);
    if (header.rtnh_len < sizeof header || header.rtnh_len > value.size()) return;
    NextHop hop{.via = {}, .link = static_cast<std::uint32_t>(header.rtnh_ifindex), .weight = header.rtnh_hops + 1U};
    const bool whole = ForEachAttribute(value.subspan(sizeof header, header.rtnh_len - sizeof header), [&](const Attribute &attribute) {
      if (attribute.type == RTA_GATEWAY) hop.via = IpFromBytes(attribute.value);
      if (attribute.type == RTA_VIA) hop.via = ParseVia(attribute.value);
    });
    if (whole) hops.push_back(hop);
    value = value.subspan(std::min<std::size_t>(RTNH_ALIGN(header.rtnh_len), value.size()));
  }
}

void ParseMetrics(netlink::Bytes value, Route &route) {
  const bool whole = ForEachAttribute(value, [&](const Attribute &attribute) {
    if (attribute.type == RTAX_MTU) route.mtu = attribute.As<std::uint32_t>();
  });
  static_cast<void>(whole);
}

void ParseAttribute(const Attribute &attribute, Route &route) {
  switch (attribute.type) {
    case RTA_DST:
      route.to.address = IpFromBytes(attribute.value);
      break;
    case RTA_GATEWAY:
      route.via = IpFromBytes(attribute.value);
      break;
    case RTA_VIA:
      route.via = ParseVia(attribute.value);
      break;
    case RTA_OIF:
      route.link = attribute.As<std::uint32_t>();
      break;
    case RTA_PREFSRC:
      route.source = IpFromBytes(attribute.value);
      break;
    case RTA_PRIORITY:
      route.metric = attribute.As<std::uint32_t>();
      break;
    case RTA_TABLE:
      route.table = attribute.As<std::uint32_t>().value_or(route.table);
      break;
    case RTA_METRICS:
      ParseMetrics(attribute.value, route);
      break;
    case RTA_MULTIPATH:
      ParseNextHops(attribute.value, route.next_hops);
      break;
    default:
      break;
  }
}

}  // namespace

Result<void> Encode(netlink::Batch &batch, const RouteVerb &op, Names &names, std::size_t tag) {
  const Result<Resolved> resolved = Resolve(op, names);
  if (!resolved) return std::unexpected(resolved.error());
  const auto &[to, via, source, link] = *resolved;
  const rtmsg header = HeaderOf(op, *resolved);
  batch.Begin(op.verb == Verb::kDelete ? RTM_DELROUTE : RTM_NEWROUTE, FlagsOf(op.verb), header, tag);
  if (to.length > 0) batch.Put(RTA_DST, to.address.Bytes());
  if (via) PutGateway(batch, *via, header.rtm_family);
  if (link) batch.PutInteger(RTA_OIF, *link);
  if (source) batch.Put(RTA_PREFSRC, source->Bytes());
  if (op.metric) batch.PutInteger(RTA_PRIORITY, *op.metric);
  if (op.table && *op.table > kLargestShortTable) batch.PutInteger(RTA_TABLE, *op.table);
  if (op.mtu) {
    const std::size_t metrics = batch.BeginNest(RTA_METRICS);
    batch.PutInteger(RTAX_MTU, *op.mtu);
    batch.EndNest(metrics);
  }
  batch.End();
  return {};
}

std::optional<Route> ParseRoute(netlink::Bytes payload) {
  netlink::Bytes attributes;
  const std::optional<rtmsg> header = TakeHeader<rtmsg>(payload, attributes);
  if (!header || (header->rtm_family != AF_INET && header->rtm_family != AF_INET6)) return std::nullopt;
  Route route;
  route.family = header->rtm_family;
  route.table = header->rtm_table;
  route.scope = header->rtm_scope;
  route.type = header->rtm_type;
  route.protocol = header->rtm_protocol;
  route.flags = header->rtm_flags;
  route.to.address.family = header->rtm_family;
  if (!ForEachAttribute(attributes, [&](const Attribute &attribute) { ParseAttribute(attribute, route); })) return std::nullopt;
  if (route.to.address.family != header->rtm_family || header->rtm_dst_len > route.to.address.Width()) return std::nullopt;
  route.to.length = header->rtm_dst_len;
  return route;
}

Result<bool> IsLocal(netlink::Socket &socket, const IpAddress &address, std::optional<std::uint32_t> link) {
  rtmsg header{};
  header.rtm_family = address.family;
  header.rtm_dst_len = address.Width();
  header.rtm_flags = link ? RTM_F_FIB_MATCH : 0;  // the route itself, which has the link; what comes of it says lo
  netlink::Batch question;
  question.Begin(RTM_GETROUTE, 0, header, 0);
  question.Put(RTA_DST, address.Bytes());
  if (link) question.PutInteger(RTA_OIF, *link);
  question.End();
  bool local = false;
  const auto failures = socket.Execute(question, [&](std::size_t, const netlink::Message &message) {
    const std::optional<Route> route = ParseRoute(message.payload);
    if (route) local = route->type == RTN_LOCAL && (!link || route->link == link);
  });
  if (!failures) return std::unexpected(failures.error());
  return local;  // a refusal: there is no way to it at all
}

Result<std::vector<Route>> List(netlink::Socket &socket, const RouteList &op) {
  const std::uint32_t table = op.table.value_or(RT_TABLE_MAIN);
  const auto families = FamiliesOf(op.family);
  if (!families) return std::unexpected(families.error());
  std::vector<Route> routes;
  for (const std::uint8_t family : *families) {
    rtmsg header{};
    header.rtm_family = family;
    header.rtm_table = static_cast<std::uint8_t>(table > kLargestShortTable ? 0 : table);
    netlink::Batch request;
    request.Begin(RTM_GETROUTE, NLM_F_DUMP, header, 0);
    if (table > kLargestShortTable) request.PutInteger(RTA_TABLE, table);
    request.End();
    // Kernels without strict checking dump every table, and cached routes too.
    const auto wanted = [&](const Route &route) { return (table == 0 || route.table == table) && (route.flags & RTM_F_CLONED) == 0; };
    Result<void> dumped = DumpInto(socket, request, routes, ParseRoute, wanted);
    if (!dumped && dumped.error().code != ENOENT) return std::unexpected(std::move(dumped.error()));  // ENOENT: no such table yet
  }
  return routes;
}

}  // namespace netmode::rtnl

#include "conntrack/flush.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/inet.h"
#include "netlink/attributes.h"
#include "netlink/batch.h"

namespace netmode::conntrack {

namespace {

using netlink::Attribute;
using netlink::Bytes;
using netlink::ForEachAttribute;

constexpr std::size_t kDeletesAtOnce = 128;  // acks of one sendmsg, well within the least receive buffer

// Bits of CTA_FILTER_ORIG_FLAGS (the kernel's nf_internals.h): which parts of the tuple have to match.
constexpr std::uint32_t kFilterDestination = 1U << 1;
constexpr std::uint32_t kFilterProtocol = 1U << 3;
constexpr std::uint32_t kFilterDestinationPort = 1U << 5;

// What a flow has to be; ports in network order.
struct Wanted {
  std::uint8_t family;
  std::uint8_t protocol;
  std::uint16_t port;
  std::optional<IpAddress> address;
};

// What it takes to delete one flow: its tuple as the kernel wrote it, and the id that tells it from a later one like it.
struct Flow {
  std::vector<std::byte> tuple;
  IpAddress destination;
  std::optional<std::uint32_t> id;
  std::optional<std::uint16_t> zone;
};

std::uint16_t TypeOf(std::uint16_t verb) { return static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | verb); }

// The kernel overlooks the family unless the version is not zero.
nfgenmsg HeaderOf(std::uint8_t family) { return {.nfgen_family = family, .version = 1, .res_id = 0}; }

std::optional<Attribute> Find(Bytes nest, std::uint16_t type) {
  std::optional<Attribute> found;
  const bool whole = ForEachAttribute(nest, [&](const Attribute &attribute) {
    if (attribute.type == type) found = attribute;
  });
  return whole ? found : std::nullopt;
}

Result<Wanted> Resolve(const ConntrackFlush &op) {
  if (op.family != 4 && op.family != 6) return Fail(EINVAL, {}, "expected 4 or 6 for family but received " + std::to_string(op.family));
  if (op.port > UINT16_MAX) return Fail(EINVAL, {}, "expected a port up to 65535 but received " + std::to_string(op.port));
  Wanted wanted{.family = static_cast<std::uint8_t>(op.family == 4 ? AF_INET : AF_INET6),
                .protocol = std::to_underlying(op.protocol),
                .port = htons(static_cast<std::uint16_t>(op.port)),
                .address = {}};
  if (!op.address) return wanted;
  const Result<IpAddress> address = ParseIp(*op.address);
  if (!address) return std::unexpected(address.error());
  if (address->family != wanted.family) return Fail(EINVAL, {}, "'" + *op.address + "' is not of that family");
  wanted.address = *address;
  return wanted;
}

// Whether nothing is tracked at all. Walking the table would touch every bucket of it, empty or not; the count is kept ready.
Result<bool> NothingTracked(netlink::Socket &socket) {
  netlink::Batch batch;
  batch.Begin(TypeOf(IPCTNL_MSG_CT_GET_STATS), 0, HeaderOf(AF_UNSPEC), 0);
  batch.End();
  std::optional<std::uint32_t> entries;
  const Result<std::vector<netlink::Failure>> failures = socket.Execute(batch, [&](std::size_t, const netlink::Message &message) {
    if (message.payload.size() < sizeof(nfgenmsg)) return;
    const std::optional<Attribute> count = Find(message.payload.subspan(sizeof(nfgenmsg)), CTA_STATS_GLOBAL_ENTRIES);
    if (count) entries = count->As<std::uint32_t>();
  });
  if (!failures) return std::unexpected(failures.error());
  if (!failures->empty()) return std::unexpected(failures->front().error);
  return entries && *entries == 0;  // counted in network order, which makes no difference to 0
}

void PutFilter(netlink::Batch &batch, const Wanted &wanted) {
  std::uint32_t flags = kFilterProtocol | kFilterDestinationPort;
  const std::size_t tuple = batch.BeginNest(CTA_TUPLE_ORIG);
  // An IPv6 address the kernel's filter takes the wrong way round: what matches is left out (seen on 6.18).
  if (wanted.address && wanted.family == AF_INET) {
    flags |= kFilterDestination;
    const std::size_t ip = batch.BeginNest(CTA_TUPLE_IP);
    batch.Put(CTA_IP_V4_DST, wanted.address->Bytes());
    batch.EndNest(ip);
  }
  const std::size_t protocol = batch.BeginNest(CTA_TUPLE_PROTO);
  batch.PutInteger(CTA_PROTO_NUM, wanted.protocol);
  batch.PutInteger(CTA_PROTO_DST_PORT, wanted.port);
  batch.EndNest(protocol);
  batch.EndNest(tuple);
  const std::size_t filter = batch.BeginNest(CTA_FILTER);
  batch.PutInteger(CTA_FILTER_ORIG_FLAGS, flags);
  batch.EndNest(filter);
}

// Where the flow's first packet went, if that is what is wanted.
std::optional<IpAddress> Match(Bytes tuple, const Wanted &wanted) {
  const std::optional<Attribute> ip = Find(tuple, CTA_TUPLE_IP);
  const std::optional<Attribute> protocol = Find(tuple, CTA_TUPLE_PROTO);
  if (!ip || !protocol) return std::nullopt;
  const std::optional<Attribute> destination = Find(ip->value, wanted.family == AF_INET ? CTA_IP_V4_DST : CTA_IP_V6_DST);
  const std::optional<Attribute> number = Find(protocol->value, CTA_PROTO_NUM);
  const std::optional<Attribute> port = Find(protocol->value, CTA_PROTO_DST_PORT);
  if (!destination || !number || !port) return std::nullopt;
  const IpAddress address = IpFromBytes(destination->value);
  if (wanted.address && address != *wanted.address) return std::nullopt;
  if (number->As<std::uint8_t>() != wanted.protocol || port->As<std::uint16_t>() != wanted.port) return std::nullopt;
  return address;
}

std::optional<Flow> ParseFlow(Bytes payload, const Wanted &wanted) {
  if (payload.size() < sizeof(nfgenmsg)) return std::nullopt;
  nfgenmsg header;
  std::memcpy(&header, payload.data(), sizeof header);
  const Bytes attributes = payload.subspan(sizeof header);
  const std::optional<Attribute> tuple = Find(attributes, CTA_TUPLE_ORIG);
  if (header.nfgen_family != wanted.family || !tuple) return std::nullopt;
  const std::optional<IpAddress> destination = Match(tuple->value, wanted);
  if (!destination) return std::nullopt;
  Flow flow{.tuple = {tuple->value.begin(), tuple->value.end()}, .destination = *destination, .id = {}, .zone = {}};
  if (const auto id = Find(attributes, CTA_ID)) flow.id = id->As<std::uint32_t>();
  if (const auto zone = Find(attributes, CTA_ZONE)) flow.zone = zone->As<std::uint16_t>();
  return flow;
}

Result<std::vector<Flow>> FlowsOf(netlink::Socket &socket, const Wanted &wanted) {
  netlink::Batch request;
  request.Begin(TypeOf(IPCTNL_MSG_CT_GET), NLM_F_DUMP, HeaderOf(wanted.family), 0);
  PutFilter(request, wanted);  // kernels before 5.8 overlook it and dump all: every flow is looked at here as well
  request.End();
  std::vector<Flow> flows;
  Result<void> dumped = socket.Dump(
      request,
      [&](const netlink::Message &message) -> Result<void> {
        if (std::optional<Flow> flow = ParseFlow(message.payload, wanted)) flows.push_back(std::move(*flow));
        return {};
      },
      [&] { flows.clear(); });
  if (!dumped) return std::unexpected(std::move(dumped.error()));
  return flows;
}

// Takes out those that went to somebody else. Each address is asked about once.
Result<void> KeepOwn(std::vector<Flow> &flows, const IsOwn &is_own) {
  std::vector<std::pair<IpAddress, bool>> known;
  for (const Flow &flow : flows) {
    if (std::ranges::find(known, flow.destination, &std::pair<IpAddress, bool>::first) != known.end()) continue;
    const Result<bool> own = is_own(flow.destination);
    if (!own) return std::unexpected(own.error());
    known.emplace_back(flow.destination, *own);
  }
  std::erase_if(flows,
                [&](const Flow &flow) { return !std::ranges::find(known, flow.destination, &std::pair<IpAddress, bool>::first)->second; });
  return {};
}

void PutDelete(netlink::Batch &batch, const Flow &flow, std::uint8_t family, std::size_t tag) {
  batch.Begin(TypeOf(IPCTNL_MSG_CT_DELETE), 0, HeaderOf(family), tag);
  const std::size_t tuple = batch.BeginNest(CTA_TUPLE_ORIG);
  batch.PutRaw(flow.tuple);
  batch.EndNest(tuple);
  if (flow.id) batch.PutInteger(CTA_ID, *flow.id);
  if (flow.zone) batch.PutInteger(CTA_ZONE, *flow.zone);
  batch.End();
}

}  // namespace

Result<std::size_t> Flush(netlink::Socket &socket, const ConntrackFlush &op, const IsOwn &is_own) {
  const Result<Wanted> wanted = Resolve(op);
  if (!wanted) return std::unexpected(wanted.error());
  const Result<bool> nothing = NothingTracked(socket);
  if (!nothing) return std::unexpected(nothing.error());
  if (*nothing) return 0;
  Result<std::vector<Flow>> flows = FlowsOf(socket, *wanted);
  if (!flows) return std::unexpected(flows.error());
  if (!wanted->address && is_own) {
    if (auto kept = KeepOwn(*flows, is_own); !kept) return std::unexpected(std::move(kept.error()));
  }

  std::size_t deleted = 0;
  netlink::Batch batch;
  for (std::size_t first = 0; first < flows->size(); first += kDeletesAtOnce) {
    const std::size_t last = std::min(first + kDeletesAtOnce, flows->size());
    batch.Clear();
    for (std::size_t position = first; position < last; ++position) PutDelete(batch, (*flows)[position], wanted->family, position);
    const Result<std::vector<netlink::Failure>> refused = socket.Execute(batch);
    if (!refused) return std::unexpected(refused.error());
    for (const netlink::Failure &failure : *refused) {
      if (failure.error.code != ENOENT) return std::unexpected(failure.error);  // ENOENT: it ended by itself meanwhile
    }
    deleted += last - first - refused->size();
  }
  return deleted;
}

}  // namespace netmode::conntrack

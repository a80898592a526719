#include "rtnl/neighbor_table.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "rtnl/dump.h"

namespace netmode::rtnl {

std::optional<NeighborTable> ParseNeighborTable(netlink::Bytes payload) {
  netlink::Bytes attributes;
  const std::optional<ndtmsg> header = TakeHeader<ndtmsg>(payload, attributes);
  if (!header || (header->ndtm_family != AF_INET && header->ndtm_family != AF_INET6)) return std::nullopt;
  std::optional<ndt_config> config;
  std::optional<std::uint32_t> limit;
  const bool whole = netlink::ForEachAttribute(attributes, [&](const netlink::Attribute &attribute) {
    if (attribute.type == NDTA_CONFIG) config = attribute.As<ndt_config>();
    if (attribute.type == NDTA_THRESH3) limit = attribute.As<std::uint32_t>();
  });
  if (!whole || !config || !limit) return std::nullopt;
  return NeighborTable{.family = header->ndtm_family, .entries = config->ndtc_entries, .limit = *limit};
}

Result<std::vector<NeighborTable>> List(netlink::Socket &socket, const NeighborTableList &) {
  std::vector<NeighborTable> tables;
  netlink::Batch request;
  request.Begin(RTM_GETNEIGHTBL, NLM_F_DUMP, ndtmsg{}, 0);
  request.End();
  Result<void> dumped = DumpInto(socket, request, tables, ParseNeighborTable, [](const NeighborTable &) { return true; });
  if (!dumped) return std::unexpected(std::move(dumped.error()));
  return tables;
}

}  // namespace netmode::rtnl

#include "rtnl/nsid.h"

#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "netlink/attributes.h"
#include "rtnl/dump.h"

namespace netmode::rtnl {

namespace {

// The attributes come behind the header's four bytes, aligned (NETNSA_*).
void Begin(netlink::Batch &batch, std::uint16_t type, std::size_t tag) {
  std::uint32_t header = 0;
  static_assert(sizeof header == NLMSG_ALIGN(sizeof(rtgenmsg)));
  batch.Begin(type, 0, header, tag);
}

}  // namespace

std::optional<std::int32_t> ParseNumber(netlink::Bytes payload) {
  netlink::Bytes attributes;
  if (!TakeHeader<std::uint32_t>(payload, attributes)) return std::nullopt;
  std::optional<std::int32_t> number;
  const bool whole = netlink::ForEachAttribute(attributes, [&](const netlink::Attribute &attribute) {
    if (attribute.type == NETNSA_NSID) number = attribute.As<std::int32_t>();
  });
  return whole ? number : std::nullopt;
}

void PutNumber(netlink::Batch &batch, int fd, std::uint32_t number) {
  Begin(batch, RTM_NEWNSID, netlink::kNobodys);
  batch.PutInteger(NETNSA_FD, fd);
  batch.PutInteger(NETNSA_NSID, number);
  batch.End();
}

Result<std::optional<std::uint32_t>> LowestNumberGiven(netlink::Socket &socket) {
  netlink::Batch request;
  Begin(request, RTM_GETNSID, 0);
  request.End();
  std::vector<std::int32_t> numbers;
  const auto is_ours = [](std::int32_t number) {
    return number >= static_cast<std::int32_t>(kLowestNumber) && number <= static_cast<std::int32_t>(kHighestNumber);
  };
  if (auto listed = DumpInto(socket, request, numbers, ParseNumber, is_ours); !listed) return std::unexpected(std::move(listed.error()));
  if (numbers.empty()) return std::nullopt;
  return static_cast<std::uint32_t>(*std::ranges::min_element(numbers));
}

}  // namespace netmode::rtnl

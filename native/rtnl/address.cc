#include "rtnl/address.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <utility>

#include "netlink/attributes.h"
#include "rtnl/dump.h"

namespace netmode::rtnl {

namespace {

bool IsLoopback4(const IpAddress &address) { return address.family == AF_INET && address.storage[0] == std::byte{127}; }

}  // namespace

Result<void> Encode(netlink::Batch &batch, const AddressVerb &op, Names &names, std::size_t tag) {
  const Result<IpAddress> address = ParseIp(op.address);
  if (!address) return std::unexpected(address.error());
  if (op.prefix > address->Width()) return Fail(EINVAL, {}, "prefix " + std::to_string(op.prefix) + " is longer than the address");
  Result<IpAddress> broadcast{};
  if (op.broadcast) broadcast = ParseIp(*op.broadcast);
  if (!broadcast) return std::unexpected(std::move(broadcast.error()));
  const Result<std::uint32_t> index = names.LinkIndex(op.ns, op.link);
  if (!index) return std::unexpected(index.error());

  ifaddrmsg header{};
  header.ifa_family = address->family;
  header.ifa_prefixlen = static_cast<std::uint8_t>(op.prefix);
  header.ifa_scope = std::to_underlying(op.scope.value_or(IsLoopback4(*address) ? Scope::kHost : Scope::kGlobal));
  header.ifa_index = *index;
  batch.Begin(op.verb == Verb::kDelete ? RTM_DELADDR : RTM_NEWADDR, FlagsOf(op.verb), header, tag);
  batch.Put(IFA_LOCAL, address->Bytes());
  batch.Put(IFA_ADDRESS, address->Bytes());  // the other end, on a point-to-point link; equal elsewhere
  if (op.broadcast) batch.Put(IFA_BROADCAST, broadcast->Bytes());
  std::uint32_t flags = 0;
  if (op.no_dad) flags |= IFA_F_NODAD;
  if (op.no_prefix_route) flags |= IFA_F_NOPREFIXROUTE;
  if (flags != 0) batch.PutInteger(IFA_FLAGS, flags);
  batch.End();
  return {};
}

std::optional<Address> ParseAddress(netlink::Bytes payload) {
  netlink::Bytes attributes;
  const std::optional<ifaddrmsg> header = TakeHeader<ifaddrmsg>(payload, attributes);
  if (!header) return std::nullopt;
  Address found{.link = header->ifa_index,
                .address = {},
                .prefix = header->ifa_prefixlen,
                .peer = {},
                .broadcast = {},
                .scope = header->ifa_scope,
                .flags = header->ifa_flags,
                .label = {}};
  IpAddress local;
  IpAddress far;
  const bool whole = netlink::ForEachAttribute(attributes, [&](const netlink::Attribute &attribute) {
    switch (attribute.type) {
      case IFA_LOCAL:
        local = IpFromBytes(attribute.value);
        break;
      case IFA_ADDRESS:
        far = IpFromBytes(attribute.value);
        break;
      case IFA_BROADCAST:
        found.broadcast = IpFromBytes(attribute.value);
        break;
      case IFA_FLAGS:
        found.flags = attribute.As<std::uint32_t>().value_or(found.flags);
        break;
      case IFA_LABEL:
        found.label = attribute.Text();
        break;
      default:
        break;
    }
  });
  // IPv6 has IFA_LOCAL only where there is a peer.
  found.address = local.family != 0 ? local : far;
  if (local.family != 0 && far.family != 0 && local != far) found.peer = far;
  if (!whole || found.address.family == 0) return std::nullopt;
  return found;
}

Result<std::vector<Address>> List(netlink::Socket &socket, const AddressList &op, Names &names) {
  ifaddrmsg header{};
  if (op.link) {
    const Result<std::uint32_t> index = names.LinkIndex(op.ns, *op.link);
    if (!index) return std::unexpected(index.error());
    header.ifa_index = *index;
  }
  netlink::Batch request;
  request.Begin(RTM_GETADDR, NLM_F_DUMP, header, 0);
  request.End();
  std::vector<Address> addresses;
  const auto wanted = [&](const Address &address) { return header.ifa_index == 0 || address.link == header.ifa_index; };
  if (Result<void> dumped = DumpInto(socket, request, addresses, ParseAddress, wanted); !dumped) {
    return std::unexpected(std::move(dumped.error()));
  }
  return addresses;
}

}  // namespace netmode::rtnl

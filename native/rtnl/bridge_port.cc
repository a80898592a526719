#include "rtnl/bridge_port.h"

#include <linux/if_link.h>

namespace netmode::rtnl {

namespace {

void PutOptional(netlink::Batch &batch, std::uint16_t type, const std::optional<bool> &value) {
  if (value) batch.PutInteger<std::uint8_t>(type, *value ? 1 : 0);
}

}  // namespace

void PutPortOptions(netlink::Batch &batch, const PortOptions &options) {
  const std::size_t info = batch.BeginNest(IFLA_LINKINFO);
  batch.PutString(IFLA_INFO_SLAVE_KIND, "bridge");
  const std::size_t data = batch.BeginNest(IFLA_INFO_SLAVE_DATA);
  PutOptional(batch, IFLA_BRPORT_MODE, options.hairpin);
  PutOptional(batch, IFLA_BRPORT_ISOLATED, options.isolated);
  PutOptional(batch, IFLA_BRPORT_LEARNING, options.learning);
  PutOptional(batch, IFLA_BRPORT_UNICAST_FLOOD, options.flood);
  PutOptional(batch, IFLA_BRPORT_MCAST_FLOOD, options.multicast_flood);
  PutOptional(batch, IFLA_BRPORT_NEIGH_SUPPRESS, options.neigh_suppress);
  batch.EndNest(data);
  batch.EndNest(info);
}

PortInfo ParsePort(netlink::Bytes slave_data) {
  PortInfo port;
  const bool whole = netlink::ForEachAttribute(slave_data, [&](const netlink::Attribute &attribute) {
    const std::uint8_t value = attribute.As<std::uint8_t>().value_or(0);
    switch (attribute.type) {
      case IFLA_BRPORT_STATE:
        port.state = value;
        break;
      case IFLA_BRPORT_MODE:
        port.hairpin = value != 0;
        break;
      case IFLA_BRPORT_ISOLATED:
        port.isolated = value != 0;
        break;
      case IFLA_BRPORT_LEARNING:
        port.learning = value != 0;
        break;
      case IFLA_BRPORT_UNICAST_FLOOD:
        port.flood = value != 0;
        break;
      case IFLA_BRPORT_MCAST_FLOOD:
        port.multicast_flood = value != 0;
        break;
      case IFLA_BRPORT_NEIGH_SUPPRESS:
        port.neigh_suppress = value != 0;
        break;
      default:
        break;
    }
  });
  static_cast<void>(whole);
  return port;
}

}  // namespace netmode::rtnl

#include "rtnl/bridge.h"

#include <linux/if_link.h>

#include <algorithm>

#include "base/inet.h"

namespace netmode::rtnl {

namespace {

constexpr std::uint32_t kTicks = 100;  // USER_HZ, the unit of the bridge's times: a second on every architecture

// What does not fit becomes the longest time there is.
std::uint32_t Ticks(std::uint32_t seconds) { return std::min(seconds, UINT32_MAX / kTicks) * kTicks; }

template <class Integer>
void PutOptional(netlink::Batch &batch, std::uint16_t type, const std::optional<bool> &value) {
  if (value) batch.PutInteger<Integer>(type, *value ? 1 : 0);
}

// `8000.02:00:00:00:00:01`
std::string FormatBridgeId(netlink::Bytes value) {
  if (value.size() != sizeof(ifla_bridge_id)) return {};
  std::string text = FormatMac(value);
  text.erase(text.begin() + 2);  // the priority's two bytes stand together
  text[4] = '.';
  return text;
}

}  // namespace

void PutBridgeOptions(netlink::Batch &batch, const BridgeOptions &options) {
  PutOptional<std::uint32_t>(batch, IFLA_BR_STP_STATE, options.stp);
  PutOptional<std::uint8_t>(batch, IFLA_BR_VLAN_FILTERING, options.vlan_filtering);
  PutOptional<std::uint8_t>(batch, IFLA_BR_MCAST_SNOOPING, options.multicast_snooping);
  if (options.ageing) batch.PutInteger(IFLA_BR_AGEING_TIME, Ticks(*options.ageing));
  if (options.forward_delay) batch.PutInteger(IFLA_BR_FORWARD_DELAY, Ticks(*options.forward_delay));
}

BridgeInfo ParseBridge(netlink::Bytes info_data) {
  BridgeInfo bridge;
  const auto seconds = [](const netlink::Attribute &attribute) {
    return static_cast<double>(attribute.As<std::uint32_t>().value_or(0)) / kTicks;
  };
  const bool whole = netlink::ForEachAttribute(info_data, [&](const netlink::Attribute &attribute) {
    switch (attribute.type) {
      case IFLA_BR_STP_STATE:
        bridge.stp = attribute.As<std::uint32_t>().value_or(0) != 0;
        break;
      case IFLA_BR_VLAN_FILTERING:
        bridge.vlan_filtering = attribute.As<std::uint8_t>().value_or(0) != 0;
        break;
      case IFLA_BR_MCAST_SNOOPING:
        bridge.multicast_snooping = attribute.As<std::uint8_t>().value_or(0) != 0;
        break;
      case IFLA_BR_AGEING_TIME:
        bridge.ageing = seconds(attribute);
        break;
      case IFLA_BR_FORWARD_DELAY:
        bridge.forward_delay = seconds(attribute);
        break;
      case IFLA_BR_BRIDGE_ID:
        bridge.bridge_id = FormatBridgeId(attribute.value);
        break;
      default:
        break;
    }
  });
  static_cast<void>(whole);
  return bridge;
}

}  // namespace netmode::rtnl

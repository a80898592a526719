// Bridge: the options of a bridge device (IFLA_INFO_DATA of kind "bridge").
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "netlink/attributes.h"

namespace netmode::rtnl {

// What a bridge is made with; absent options keep the kernel's default.
struct BridgeOptions {
  std::optional<bool> stp;
  std::optional<bool> vlan_filtering;
  std::optional<bool> multicast_snooping;
  std::optional<std::uint32_t> ageing;         // seconds
  std::optional<std::uint32_t> forward_delay;  // seconds
};

// What a bridge is.
struct BridgeInfo {
  bool stp = false;
  bool vlan_filtering = false;
  bool multicast_snooping = false;
  double ageing = 0;         // seconds
  double forward_delay = 0;  // seconds
  std::string bridge_id;     // `8000.02:00:00:00:00:01`: priority and MAC
};

// Puts the options inside an open IFLA_INFO_DATA.
void PutBridgeOptions(netlink::Batch &batch, const BridgeOptions &options);
[[nodiscard]] BridgeInfo ParseBridge(netlink::Bytes info_data);

}  // namespace netmode::rtnl

// Ground, Sample: what one attach is made from, the same for every rival.
#pragma once

#include <cstdint>
#include <string>

namespace netmode::bench {

// What all samples of a run share: one bridge network, made by netmode before the first of them.
struct Ground {
  int home = -1; // the namespace that the program was started in
  std::string bridge;
  std::uint32_t bridge_index = 0;
  std::uint32_t mtu = 0;    // bytes
  std::uint32_t prefix = 0; // bits
  std::string broadcast;
  std::string gateway;
  std::string state_folder;
  std::string network;
  std::string network_id;
};

// One endpoint. `name` is the sandbox's and its namespace's.
struct Sample {
  std::string name;
  std::string host_ifname;
  std::string mac;
  std::string address;
  std::uint16_t port = 0; // of the host, led to `kContainerPort`
  std::string record;     // what goes to disk before the first kernel op
};

inline constexpr char kIfname[] = "eth0";
inline constexpr std::uint16_t kContainerPort = 80;
inline constexpr std::uint32_t kLinkGroup = 0x6e6d; // as lib/network/drivers/bridge.ts

} // namespace netmode::bench

// Ground, Sample: what one bare attach is made from.
#pragma once

#include <cstdint>
#include <string>

namespace netmode::bench {

// What all samples of a run share: one bridge network, made by netmode before the first of them.
struct Ground {
  int home = -1;             // the namespace that the program was started in
  std::uint32_t bridge = 0;  // index
  std::uint32_t mtu = 0;     // bytes
  std::uint32_t prefix = 0;  // bits
  std::string broadcast;
  std::string gateway;
};

// One endpoint. `name` is its namespace's.
struct Sample {
  std::string name;
  std::string host_ifname;
  std::string mac;
  std::string address;
};

inline constexpr char kIfname[] = "eth0";

}  // namespace netmode::bench

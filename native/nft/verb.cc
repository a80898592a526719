#include "nft/verb.h"

#include <linux/netfilter.h>
#include <linux/netfilter_bridge.h>

namespace netmode::nft {

std::optional<Family> FamilyByName(std::string_view name) {
  if (name == "inet") return Family::kInet;
  if (name == "ip") return Family::kIp;
  if (name == "ip6") return Family::kIp6;
  if (name == "bridge") return Family::kBridge;
  if (name == "netdev") return Family::kNetdev;
  return std::nullopt;
}

std::optional<std::uint32_t> HookByName(Family family, std::string_view name) {
  if (family == Family::kNetdev) return name == "ingress" ? std::optional<std::uint32_t>(NF_NETDEV_INGRESS) : std::nullopt;
  // The bridge family numbers its hooks as the internet ones do.
  static_assert(NF_BR_PRE_ROUTING == +NF_INET_PRE_ROUTING && NF_BR_POST_ROUTING == +NF_INET_POST_ROUTING);
  if (name == "prerouting") return NF_INET_PRE_ROUTING;
  if (name == "input") return NF_INET_LOCAL_IN;
  if (name == "forward") return NF_INET_FORWARD;
  if (name == "output") return NF_INET_LOCAL_OUT;
  if (name == "postrouting") return NF_INET_POST_ROUTING;
  if (name == "ingress" && family == Family::kInet) return NF_INET_INGRESS;
  return std::nullopt;
}

}  // namespace netmode::nft

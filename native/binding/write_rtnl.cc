#include "binding/write_rtnl.h"

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>

namespace netmode::binding {

namespace {

struct Word {
  std::uint32_t number;
  const char *word;
};

constexpr Word kOperstates[] = {{0, "unknown"}, {1, "notpresent"}, {2, "down"}, {3, "lowerlayerdown"},
                                {4, "testing"}, {5, "dormant"},    {6, "up"}};
constexpr Word kPortStates[] = {{BR_STATE_DISABLED, "disabled"},
                                {BR_STATE_LISTENING, "listening"},
                                {BR_STATE_LEARNING, "learning"},
                                {BR_STATE_FORWARDING, "forwarding"},
                                {BR_STATE_BLOCKING, "blocking"}};
constexpr Word kMacvlanModes[] = {{1, "private"}, {2, "vepa"}, {4, "bridge"}, {8, "passthru"}, {16, "source"}};
constexpr Word kIpvlanModes[] = {{0, "l2"}, {1, "l3"}, {2, "l3s"}};
constexpr Word kScopes[] = {{RT_SCOPE_UNIVERSE, "global"},
                            {RT_SCOPE_SITE, "site"},
                            {RT_SCOPE_LINK, "link"},
                            {RT_SCOPE_HOST, "host"},
                            {RT_SCOPE_NOWHERE, "nowhere"}};
constexpr Word kRouteTypes[] = {{RTN_UNICAST, "unicast"},
                                {RTN_LOCAL, "local"},
                                {RTN_BROADCAST, "broadcast"},
                                {RTN_ANYCAST, "anycast"},
                                {RTN_MULTICAST, "multicast"},
                                {RTN_BLACKHOLE, "blackhole"},
                                {RTN_UNREACHABLE, "unreachable"},
                                {RTN_PROHIBIT, "prohibit"},
                                {RTN_THROW, "throw"},
                                {RTN_NAT, "nat"}};
constexpr Word kProtocols[] = {{RTPROT_UNSPEC, "unspec"}, {RTPROT_REDIRECT, "redirect"}, {RTPROT_KERNEL, "kernel"},
                               {RTPROT_BOOT, "boot"},     {RTPROT_STATIC, "static"},     {RTPROT_RA, "ra"},
                               {RTPROT_DHCP, "dhcp"}};
constexpr Word kNeighborStates[] = {{NUD_NONE, "none"},     {NUD_INCOMPLETE, "incomplete"}, {NUD_REACHABLE, "reachable"},
                                    {NUD_STALE, "stale"},   {NUD_DELAY, "delay"},           {NUD_PROBE, "probe"},
                                    {NUD_FAILED, "failed"}, {NUD_NOARP, "noarp"},           {NUD_PERMANENT, "permanent"}};
constexpr Word kRuleActions[] = {
    {FR_ACT_TO_TBL, "lookup"},           {FR_ACT_GOTO, "goto"},        {FR_ACT_NOP, "nop"}, {FR_ACT_BLACKHOLE, "blackhole"},
    {FR_ACT_UNREACHABLE, "unreachable"}, {FR_ACT_PROHIBIT, "prohibit"}};

// The word for a number, or the number itself as text where there is none.
template <std::size_t kCount>
std::string Name(const Word (&words)[kCount], std::uint32_t number) {
  for (const Word &word : words) {
    if (word.number == number) return word.word;
  }
  return std::to_string(number);
}

// Optional fields are left out where they are absent, never null.
template <class Value>
void SetIf(Napi::Object &object, const char *key, const std::optional<Value> &value) {
  if (value) object.Set(key, *value);
}

void SetIf(Napi::Object &object, const char *key, const std::optional<IpAddress> &value) {
  if (value) object.Set(key, Format(*value));
}

void SetIfNot(Napi::Object &object, const char *key, const std::string &value) {
  if (!value.empty()) object.Set(key, value);
}

double FamilyNumber(std::uint8_t family) { return family == AF_INET ? 4 : 6; }

Napi::Object WriteBridge(Napi::Env env, const rtnl::BridgeInfo &bridge) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("stp", bridge.stp);
  object.Set("vlanFiltering", bridge.vlan_filtering);
  object.Set("multicastSnooping", bridge.multicast_snooping);
  object.Set("ageing", bridge.ageing);
  object.Set("forwardDelay", bridge.forward_delay);
  SetIfNot(object, "bridgeId", bridge.bridge_id);
  return object;
}

Napi::Object WritePort(Napi::Env env, const rtnl::PortInfo &port) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("state", Name(kPortStates, port.state));
  object.Set("hairpin", port.hairpin);
  object.Set("isolated", port.isolated);
  object.Set("learning", port.learning);
  object.Set("flood", port.flood);
  object.Set("multicastFlood", port.multicast_flood);
  object.Set("neighSuppress", port.neigh_suppress);
  return object;
}

Napi::Object WriteDirection(Napi::Env env, std::uint64_t bytes, std::uint64_t packets, std::uint64_t errors, std::uint64_t dropped) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("bytes", static_cast<double>(bytes));
  object.Set("packets", static_cast<double>(packets));
  object.Set("errors", static_cast<double>(errors));
  object.Set("dropped", static_cast<double>(dropped));
  return object;
}

Napi::Object WriteStats(Napi::Env env, const rtnl::LinkStats &stats) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("rx", WriteDirection(env, stats.rx_bytes, stats.rx_packets, stats.rx_errors, stats.rx_dropped));
  object.Set("tx", WriteDirection(env, stats.tx_bytes, stats.tx_packets, stats.tx_errors, stats.tx_dropped));
  return object;
}

Napi::Array WriteStrings(Napi::Env env, const std::vector<std::string> &texts) {
  Napi::Array array = Napi::Array::New(env, texts.size());
  std::uint32_t position = 0;
  for (const std::string &text : texts) array.Set(position++, text);
  return array;
}

Napi::Object WriteNextHop(Napi::Env env, const rtnl::NextHop &hop) {
  Napi::Object object = Napi::Object::New(env);
  SetIf(object, "via", hop.via);
  SetIf(object, "link", hop.link);
  object.Set("weight", hop.weight);
  return object;
}

}  // namespace

Napi::Object Write(Napi::Env env, const rtnl::Link &link) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("index", link.index);
  object.Set("name", link.name);
  SetIfNot(object, "kind", link.kind);
  SetIfNot(object, "mac", link.mac);
  object.Set("mtu", link.mtu);
  object.Set("up", link.up);
  object.Set("running", link.running);
  object.Set("lowerUp", link.lower_up);
  object.Set("loopback", link.loopback);
  object.Set("operstate", Name(kOperstates, link.operstate));
  SetIf(object, "master", link.master);
  SetIfNot(object, "alias", link.alias);
  object.Set("group", link.group);
  SetIf(object, "parent", link.parent);
  SetIf(object, "linkNetnsid", link.link_netnsid);
  object.Set("altnames", WriteStrings(env, link.altnames));
  object.Set("numTxQueues", link.num_tx_queues);
  object.Set("numRxQueues", link.num_rx_queues);
  if (link.bridge) object.Set("bridge", WriteBridge(env, *link.bridge));
  if (link.port) object.Set("port", WritePort(env, *link.port));
  if (link.macvlan_mode) object.Set("macvlanMode", Name(kMacvlanModes, *link.macvlan_mode));
  if (link.ipvlan_mode) object.Set("ipvlanMode", Name(kIpvlanModes, *link.ipvlan_mode));
  SetIf(object, "vlanId", link.vlan_id);
  if (link.stats) object.Set("stats", WriteStats(env, *link.stats));
  return object;
}

Napi::Object Write(Napi::Env env, const rtnl::Address &address) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("link", address.link);
  object.Set("family", FamilyNumber(address.address.family));
  object.Set("address", Format(address.address));
  object.Set("prefix", static_cast<double>(address.prefix));
  SetIf(object, "peer", address.peer);
  SetIf(object, "broadcast", address.broadcast);
  object.Set("scope", Name(kScopes, address.scope));
  SetIfNot(object, "label", address.label);
  object.Set("noDad", (address.flags & IFA_F_NODAD) != 0);
  object.Set("noPrefixRoute", (address.flags & IFA_F_NOPREFIXROUTE) != 0);
  object.Set("permanent", (address.flags & IFA_F_PERMANENT) != 0);
  object.Set("tentative", (address.flags & IFA_F_TENTATIVE) != 0);
  object.Set("dadFailed", (address.flags & IFA_F_DADFAILED) != 0);
  object.Set("secondary", address.address.family == AF_INET && (address.flags & IFA_F_SECONDARY) != 0);
  return object;
}

Napi::Object Write(Napi::Env env, const rtnl::Route &route) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("family", FamilyNumber(route.family));
  object.Set("to", route.to.length == 0 ? std::string("default") : Format(route.to));
  SetIf(object, "via", route.via);
  SetIf(object, "link", route.link);
  SetIf(object, "source", route.source);
  SetIf(object, "metric", route.metric);
  object.Set("table", route.table);
  object.Set("scope", Name(kScopes, route.scope));
  object.Set("type", Name(kRouteTypes, route.type));
  object.Set("protocol", Name(kProtocols, route.protocol));
  object.Set("onlink", (route.flags & RTNH_F_ONLINK) != 0);
  object.Set("linkDown", (route.flags & RTNH_F_LINKDOWN) != 0);
  SetIf(object, "mtu", route.mtu);
  if (route.next_hops.empty()) return object;
  Napi::Array hops = Napi::Array::New(env, route.next_hops.size());
  std::uint32_t position = 0;
  for (const rtnl::NextHop &hop : route.next_hops) hops.Set(position++, WriteNextHop(env, hop));
  object.Set("nextHops", hops);
  return object;
}

Napi::Object Write(Napi::Env env, const rtnl::Neighbor &neighbor) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("link", neighbor.link);
  object.Set("family", FamilyNumber(neighbor.address.family));
  object.Set("address", Format(neighbor.address));
  SetIfNot(object, "mac", neighbor.mac);
  object.Set("state", Name(kNeighborStates, neighbor.state));
  object.Set("proxy", neighbor.proxy);
  object.Set("router", neighbor.router);
  return object;
}

Napi::Object Write(Napi::Env env, const rtnl::NeighborTable &table) {
  auto object = Napi::Object::New(env);
  object.Set("family", FamilyNumber(table.family));
  object.Set("entries", table.entries);
  object.Set("limit", table.limit);
  return object;
}

Napi::Object Write(Napi::Env env, const rtnl::Rule &rule) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("family", FamilyNumber(rule.family));
  object.Set("priority", rule.priority);
  if (rule.from) object.Set("from", Format(*rule.from));
  if (rule.to) object.Set("to", Format(*rule.to));
  SetIfNot(object, "iif", rule.iif);
  SetIfNot(object, "oif", rule.oif);
  SetIf(object, "fwmark", rule.fwmark);
  object.Set("table", rule.table);
  object.Set("action", Name(kRuleActions, rule.action));
  return object;
}

}  // namespace netmode::binding

#include "binding/read_rtnl.h"

#include <string_view>
#include <utility>

namespace netmode::binding {

namespace {

template <class Value>
struct Choice {
  std::string_view word;
  Value value;
};

constexpr Choice<rtnl::LinkKind> kLinkKinds[] = {
    {"veth", rtnl::LinkKind::kVeth},     {"bridge", rtnl::LinkKind::kBridge}, {"macvlan", rtnl::LinkKind::kMacvlan},
    {"ipvlan", rtnl::LinkKind::kIpvlan}, {"vlan", rtnl::LinkKind::kVlan},     {"dummy", rtnl::LinkKind::kDummy},
};
constexpr Choice<rtnl::MacvlanMode> kMacvlanModes[] = {
    {"private", rtnl::MacvlanMode::kPrivate},
    {"vepa", rtnl::MacvlanMode::kVepa},
    {"bridge", rtnl::MacvlanMode::kBridge},
    {"passthru", rtnl::MacvlanMode::kPassthru},
};
constexpr Choice<rtnl::IpvlanMode> kIpvlanModes[] = {
    {"l2", rtnl::IpvlanMode::kL2},
    {"l3", rtnl::IpvlanMode::kL3},
    {"l3s", rtnl::IpvlanMode::kL3s},
};
constexpr Choice<rtnl::AddrGenMode> kAddrGenModes[] = {
    {"none", rtnl::AddrGenMode::kNone},
    {"eui64", rtnl::AddrGenMode::kEui64},
};
constexpr Choice<rtnl::Scope> kScopes[] = {
    {"global", rtnl::Scope::kGlobal},
    {"link", rtnl::Scope::kLink},
    {"host", rtnl::Scope::kHost},
};
constexpr Choice<rtnl::RouteType> kRouteTypes[] = {
    {"unicast", rtnl::RouteType::kUnicast},         {"local", rtnl::RouteType::kLocal},       {"blackhole", rtnl::RouteType::kBlackhole},
    {"unreachable", rtnl::RouteType::kUnreachable}, {"prohibit", rtnl::RouteType::kProhibit},
};
constexpr Choice<rtnl::NeighborState> kNeighborStates[] = {
    {"permanent", rtnl::NeighborState::kPermanent},
    {"reachable", rtnl::NeighborState::kReachable},
    {"stale", rtnl::NeighborState::kStale},
    {"noarp", rtnl::NeighborState::kNoarp},
};
constexpr Choice<rtnl::Verb> kVerbs[] = {
    {"add", rtnl::Verb::kAdd},
    {"replace", rtnl::Verb::kReplace},
    {"delete", rtnl::Verb::kDelete},
};
constexpr Choice<conntrack::Protocol> kProtocols[] = {
    {"tcp", conntrack::Protocol::kTcp},
    {"udp", conntrack::Protocol::kUdp},
    {"sctp", conntrack::Protocol::kSctp},
};

template <class Value, std::size_t kCount>
std::optional<Value> Pick(const Choice<Value> (&choices)[kCount], std::string_view word) {
  for (const Choice<Value> &choice : choices) {
    if (choice.word == word) return choice.value;
  }
  return std::nullopt;
}

// One of a few words; any other marks the field.
template <class Value, std::size_t kCount>
std::optional<Value> OptionalChoice(Object &object, const char *key, const Choice<Value> (&choices)[kCount]) {
  const std::optional<std::string> word = object.OptionalString(key);
  if (!word) return std::nullopt;
  std::optional<Value> value = Pick(choices, *word);
  if (!value) object.MarkBad(key);
  return value;
}

template <class Value, std::size_t kCount>
Value RequiredChoice(Object &object, const char *key, const Choice<Value> (&choices)[kCount]) {
  const std::optional<Value> value = OptionalChoice(object, key, choices);
  if (!value) object.MarkBad(key);
  return value.value_or(choices[0].value);
}

rtnl::Verb ReadVerb(Object &object) {
  const std::string op = object.String("op");
  const std::optional<rtnl::Verb> verb = Pick(kVerbs, std::string_view(op).substr(op.find('.') + 1));
  if (!verb) object.MarkBad("op");
  return verb.value_or(rtnl::Verb::kAdd);
}

std::string ReadNs(Object &object) { return object.OptionalString("ns").value_or(""); }

// The object under `key`, read by `read`; its wrong field becomes ours, with the path to it.
template <class Read>
auto OptionalNested(Object &object, const char *key, Read read) -> std::optional<decltype(read(object))> {
  std::optional<Object> nested = object.OptionalObject(key);
  if (!nested) return std::nullopt;
  auto value = read(*nested);
  if (!nested->Bad().empty()) object.MarkBad(std::string(key) + '.' + nested->Bad());
  return value;
}

rtnl::LinkRef ReadLinkRef(Object &object) { return {.name = object.String("name"), .index = object.OptionalU32("index")}; }

std::optional<rtnl::LinkRef> OptionalLinkRef(Object &object, const char *key) { return OptionalNested(object, key, ReadLinkRef); }

rtnl::LinkRef RequiredLinkRef(Object &object, const char *key) {
  std::optional<rtnl::LinkRef> link = OptionalLinkRef(object, key);
  if (!link) object.MarkBad(key);
  return std::move(link).value_or(rtnl::LinkRef{});
}

rtnl::PortOptions ReadPortOptions(Object &object) {
  return {.hairpin = object.OptionalBool("hairpin"),
          .isolated = object.OptionalBool("isolated"),
          .learning = object.OptionalBool("learning"),
          .flood = object.OptionalBool("flood"),
          .multicast_flood = object.OptionalBool("multicastFlood"),
          .neigh_suppress = object.OptionalBool("neighSuppress")};
}

rtnl::BridgeOptions ReadBridgeOptions(Object &object) {
  return {.stp = object.OptionalBool("stp"),
          .vlan_filtering = object.OptionalBool("vlanFiltering"),
          .multicast_snooping = object.OptionalBool("multicastSnooping"),
          .ageing = object.OptionalU32("ageing"),
          .forward_delay = object.OptionalU32("forwardDelay")};
}

}  // namespace

rtnl::LinkAdd ReadLinkAdd(Object &object) {
  rtnl::LinkAdd op;
  op.ns = ReadNs(object);
  op.name = object.String("name");
  op.kind = RequiredChoice(object, "kind", kLinkKinds);
  op.mac = object.OptionalString("mac");
  op.mtu = object.OptionalU32("mtu");
  op.master = OptionalLinkRef(object, "master");
  op.up = object.Flag("up");
  op.group = object.OptionalU32("group");
  op.queues = object.OptionalU32("queues");
  op.alias = object.OptionalString("alias");
  op.port = OptionalNested(object, "port", ReadPortOptions);
  // A peer without a slot of its own is born beside its link.
  op.peer = OptionalNested(object, "peer", [&](Object &peer) {
    return rtnl::VethPeer{.ns = peer.OptionalString("ns").value_or(op.ns),
                          .name = peer.String("name"),
                          .mac = peer.OptionalString("mac"),
                          .mtu = peer.OptionalU32("mtu")};
  });
  op.bridge = OptionalNested(object, "bridge", ReadBridgeOptions);
  op.parent = OptionalLinkRef(object, "parent");
  op.born_in = object.OptionalString("bornIn");
  op.macvlan_mode = OptionalChoice(object, "macvlanMode", kMacvlanModes);
  op.ipvlan_mode = OptionalChoice(object, "ipvlanMode", kIpvlanModes);
  op.vlan_id = object.OptionalU32("vlanId");
  return op;
}

rtnl::LinkSet ReadLinkSet(Object &object) {
  rtnl::LinkSet op;
  op.ns = ReadNs(object);
  op.link = RequiredLinkRef(object, "link");
  op.name = object.OptionalString("name");
  op.mac = object.OptionalString("mac");
  op.mtu = object.OptionalU32("mtu");
  op.release_master = object.IsNull("master");
  if (!op.release_master) op.master = OptionalLinkRef(object, "master");
  op.up = object.OptionalBool("up");
  op.group = object.OptionalU32("group");
  op.alias = object.OptionalString("alias");
  op.port = OptionalNested(object, "port", ReadPortOptions);
  op.move_to = object.OptionalString("moveTo");
  op.arp_notify = object.OptionalBool("arpNotify");
  op.addr_gen_mode = OptionalChoice(object, "addrGenMode", kAddrGenModes);
  op.missing_ok = object.Flag("missingOk");
  return op;
}

rtnl::LinkDelete ReadLinkDelete(Object &object) {
  rtnl::LinkDelete op;
  op.ns = ReadNs(object);
  op.group = object.OptionalU32("group");
  op.only_in_group = object.OptionalU32("onlyInGroup");
  op.missing_ok = object.Flag("missingOk");
  if (object.Has("links")) object.ForEachObject("links", [&](Object &link) { op.links.push_back(ReadLinkRef(link)); });
  return op;
}

rtnl::LinkExpect ReadLinkExpect(Object &object) { return {.ns = ReadNs(object), .link = RequiredLinkRef(object, "link")}; }

rtnl::LinkSettle ReadLinkSettle(Object &object) { return {.ns = ReadNs(object), .link = RequiredLinkRef(object, "link")}; }

rtnl::LinkList ReadLinkList(Object &object) {
  return {.ns = ReadNs(object),
          .name = object.OptionalString("name"),
          .master = OptionalLinkRef(object, "master"),
          .partial_ok = object.Flag("partialOk")};
}

rtnl::AddressVerb ReadAddressVerb(Object &object) {
  return {.verb = ReadVerb(object),
          .ns = ReadNs(object),
          .link = RequiredLinkRef(object, "link"),
          .address = object.String("address"),
          .prefix = object.U32("prefix"),
          .broadcast = object.OptionalString("broadcast"),
          .no_dad = object.Flag("noDad"),
          .no_prefix_route = object.Flag("noPrefixRoute"),
          .scope = OptionalChoice(object, "scope", kScopes),
          .missing_ok = object.Flag("missingOk")};
}

rtnl::AddressList ReadAddressList(Object &object) { return {.ns = ReadNs(object), .link = OptionalLinkRef(object, "link")}; }

rtnl::RouteVerb ReadRouteVerb(Object &object) {
  return {.verb = ReadVerb(object),
          .ns = ReadNs(object),
          .to = object.String("to"),
          .family = object.OptionalU32("family"),
          .via = object.OptionalString("via"),
          .link = OptionalLinkRef(object, "link"),
          .source = object.OptionalString("source"),
          .metric = object.OptionalU32("metric"),
          .table = object.OptionalU32("table"),
          .scope = OptionalChoice(object, "scope", kScopes),
          .type = OptionalChoice(object, "type", kRouteTypes),
          .onlink = object.Flag("onlink"),
          .mtu = object.OptionalU32("mtu"),
          .missing_ok = object.Flag("missingOk")};
}

rtnl::RouteList ReadRouteList(Object &object) {
  return {.ns = ReadNs(object), .family = object.OptionalU32("family"), .table = object.OptionalU32("table")};
}

rtnl::NeighborVerb ReadNeighborVerb(Object &object) {
  return {.verb = ReadVerb(object),
          .ns = ReadNs(object),
          .link = RequiredLinkRef(object, "link"),
          .address = object.String("address"),
          .mac = object.OptionalString("mac"),
          .state = OptionalChoice(object, "state", kNeighborStates),
          .proxy = object.Flag("proxy"),
          .missing_ok = object.Flag("missingOk")};
}

rtnl::FdbReplace ReadFdbReplace(Object &object) {
  return {.ns = ReadNs(object), .link = RequiredLinkRef(object, "link"), .mac = object.String("mac")};
}

rtnl::NeighborList ReadNeighborList(Object &object) {
  return {.ns = ReadNs(object), .link = OptionalLinkRef(object, "link"), .proxy = object.Flag("proxy")};
}

rtnl::NeighborTableList ReadNeighborTableList(Object &object) { return {.ns = ReadNs(object)}; }

rtnl::RuleVerb ReadRuleVerb(Object &object) {
  return {.verb = ReadVerb(object),
          .ns = ReadNs(object),
          .family = object.U32("family"),
          .priority = object.U32("priority"),
          .from = object.OptionalString("from"),
          .to = object.OptionalString("to"),
          .iif = object.OptionalString("iif"),
          .oif = object.OptionalString("oif"),
          .fwmark = object.OptionalU32("fwmark"),
          .table = object.U32("table"),
          .missing_ok = object.Flag("missingOk")};
}

rtnl::RuleList ReadRuleList(Object &object) { return {.ns = ReadNs(object), .family = object.OptionalU32("family")}; }

conntrack::ConntrackFlush ReadConntrackFlush(Object &object) {
  return {.ns = ReadNs(object),
          .protocol = RequiredChoice(object, "protocol", kProtocols),
          .address = object.OptionalString("address"),
          .family = object.U32("family"),
          .port = object.U32("port")};
}

}  // namespace netmode::binding

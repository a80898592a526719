#include "watch/event.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include <utility>

namespace netmode::watch {

namespace {

using netlink::Attribute;
using netlink::Message;

template <class T>
std::optional<Event> As(std::optional<T> object, bool gone) {
  if (!object) return std::nullopt;
  return Event{.gone = gone, .what = std::move(*object)};
}

struct Kind {
  std::uint16_t made;
  std::uint16_t gone;
  const char *name;
  std::uint16_t table;   // the attributes that hold the table's name,
  std::uint16_t object;  // and that of the chain or set; 0: it has none
};
constexpr Kind kKinds[] = {
    {NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE, "table", NFTA_TABLE_NAME, 0},
    {NFT_MSG_NEWCHAIN, NFT_MSG_DELCHAIN, "chain", NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME},
    {NFT_MSG_NEWRULE, NFT_MSG_DELRULE, "rule", NFTA_RULE_TABLE, NFTA_RULE_CHAIN},
    {NFT_MSG_NEWSET, NFT_MSG_DELSET, "set", NFTA_SET_TABLE, NFTA_SET_NAME},
    {NFT_MSG_NEWSETELEM, NFT_MSG_DELSETELEM, "element", NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET},
    {NFT_MSG_NEWOBJ, NFT_MSG_DELOBJ, "object", NFTA_OBJ_TABLE, NFTA_OBJ_NAME},
    {NFT_MSG_NEWFLOWTABLE, NFT_MSG_DELFLOWTABLE, "flowtable", NFTA_FLOWTABLE_TABLE, NFTA_FLOWTABLE_NAME},
};

}  // namespace

std::optional<Event> ParseRoute(const Message &message) {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      // A bridge tells of its ports and of its learned addresses in the same words, in a family of its own.
      if (message.payload.empty() || message.payload[0] != std::byte{0}) return std::nullopt;
      return As(rtnl::ParseLink(message.payload), message.type == RTM_DELLINK);
    }
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return As(rtnl::ParseAddress(message.payload), message.type == RTM_DELADDR);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return As(rtnl::ParseRoute(message.payload), message.type == RTM_DELROUTE);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return As(rtnl::ParseNeighbor(message.payload), message.type == RTM_DELNEIGH);
    default:
      return std::nullopt;
  }
}

std::optional<Event> ParseRuleset(const Message &message) {
  if (message.type >> 8 != NFNL_SUBSYS_NFTABLES || message.payload.size() < sizeof(nfgenmsg)) return std::nullopt;
  const auto type = static_cast<std::uint16_t>(message.type & 0xff);
  for (const Kind &kind : kKinds) {
    if (type != kind.made && type != kind.gone) continue;
    RulesetChange change{.kind = kind.name, .family = static_cast<std::uint8_t>(message.payload[0])};
    const bool whole = netlink::ForEachAttribute(message.payload.subspan(sizeof(nfgenmsg)), [&](const Attribute &attribute) {
      if (attribute.type == kind.table) change.table = attribute.Text();
      if (kind.object != 0 && attribute.type == kind.object) change.name = attribute.Text();
    });
    if (!whole) return std::nullopt;
    return Event{.gone = type == kind.gone, .what = std::move(change)};
  }
  return std::nullopt;
}

}  // namespace netmode::watch

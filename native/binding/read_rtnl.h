// Reads rtnetlink and conntrack ops from plain JavaScript objects (lib/plan/op.ts). The first wrong field is left in
// `object.Bad()`, nested ones by path (`peer.name`, `links[1].index`); what is returned is to be used only if that is empty.
#pragma once

#include "binding/object.h"
#include "conntrack/flush.h"
#include "rtnl/address.h"
#include "rtnl/link.h"
#include "rtnl/neighbor.h"
#include "rtnl/neighbor_table.h"
#include "rtnl/route.h"
#include "rtnl/rule.h"

namespace netmode::binding {

[[nodiscard]] rtnl::LinkAdd ReadLinkAdd(Object &object);
[[nodiscard]] rtnl::LinkSet ReadLinkSet(Object &object);
[[nodiscard]] rtnl::LinkDelete ReadLinkDelete(Object &object);
[[nodiscard]] rtnl::LinkExpect ReadLinkExpect(Object &object);
[[nodiscard]] rtnl::LinkSettle ReadLinkSettle(Object &object);
[[nodiscard]] rtnl::LinkList ReadLinkList(Object &object);
// The verb is the part of `op` behind the dot: `address.add`.
[[nodiscard]] rtnl::AddressVerb ReadAddressVerb(Object &object);
[[nodiscard]] rtnl::AddressList ReadAddressList(Object &object);
[[nodiscard]] rtnl::RouteVerb ReadRouteVerb(Object &object);
[[nodiscard]] rtnl::RouteList ReadRouteList(Object &object);
[[nodiscard]] rtnl::NeighborVerb ReadNeighborVerb(Object &object);
[[nodiscard]] rtnl::FdbReplace ReadFdbReplace(Object &object);
[[nodiscard]] rtnl::NeighborList ReadNeighborList(Object &object);
[[nodiscard]] rtnl::NeighborTableList ReadNeighborTableList(Object &object);
[[nodiscard]] rtnl::RuleVerb ReadRuleVerb(Object &object);
[[nodiscard]] rtnl::RuleList ReadRuleList(Object &object);
[[nodiscard]] conntrack::ConntrackFlush ReadConntrackFlush(Object &object);

}  // namespace netmode::binding

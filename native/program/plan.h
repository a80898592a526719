// Plan: what the runner is given, and Report: what it answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "conntrack/flush.h"
#include "netns/namespace.h"
#include "netns/socket.h"
#include "netns/sysctl.h"
#include "nft/list.h"
#include "nft/list_rules.h"
#include "nft/verb.h"
#include "program/reserve.h"
#include "program/survey.h"
#include "rtnl/address.h"
#include "rtnl/link.h"
#include "rtnl/neighbor.h"
#include "rtnl/neighbor_table.h"
#include "rtnl/route.h"
#include "rtnl/rule.h"
#include "state/expect.h"
#include "state/folder.h"
#include "state/look.h"
#include "state/port.h"
#include "tap/tap.h"

namespace netmode::program {

// Ops that become messages of a rtnetlink batch; neighbours in one namespace share a send.
using RtnlVerb =
    std::variant<rtnl::LinkAdd, rtnl::LinkSet, rtnl::AddressVerb, rtnl::RouteVerb, rtnl::NeighborVerb, rtnl::FdbReplace, rtnl::RuleVerb>;
// Ops that become parts of one nf_tables transaction together with their neighbours.
using NftVerb = nft::Verb;
// socket.open: a socket made in a namespace, handed over as a descriptor.
struct SocketOpen {
  std::string ns;
  netns::SocketRequest request;
};
// Ops that are carried out at once.
using Immediate =
    std::variant<state::Lock, state::FolderCreate, state::FolderRemove, state::FileWrite, state::FileRemove, state::FileRename,
                 state::ExpectAbsent, state::ExpectNames, state::ExpectUnchanged, state::ExpectVersion, state::FileLook, state::ClaimList,
                 state::Claim, state::Release, state::PortClaim, state::PortRelease, netns::NetnsCreate, netns::NetnsAttach,
                 netns::NetnsOpen, netns::NetnsDelete, netns::NetnsIdentify, NetnsKeep, NetnsTake, netns::SysctlSet, netns::SysctlRestore,
                 netns::SysctlGet, SocketOpen, tap::TapAdd, rtnl::LinkDelete, rtnl::LinkExpect, rtnl::LinkSettle, rtnl::LinkList,
                 rtnl::AddressList, rtnl::RouteList, rtnl::NeighborList, rtnl::NeighborTableList, rtnl::RuleList, Survey, nft::ListVerb,
                 nft::RulesVerb, conntrack::ConntrackFlush>;

struct Op {
  const char *name;  // "link.add": what an error calls it
  std::variant<Immediate, RtnlVerb, NftVerb> verb;
};

// When a step is done. Ahead: before its turn, by whoever makes the namespace that the plan has ordered, if its turn has not come by then;
// it is the plan's netns.create (of which only the name waits for its turn) or stands right behind. Behind: after the plan has been
// answered for, and whatever comes of it.
enum class When { kInTurn, kAhead, kBehind };

struct Step {
  Op apply;
  std::optional<Op> undo;
  bool journal = false;  // the undo takes the record back: left out while another undo has failed
  When when = When::kInTurn;
};

using Output =
    std::variant<std::monostate, std::string, std::uint32_t, netns::Identity, std::vector<rtnl::Link>, std::vector<rtnl::Address>,
                 std::vector<rtnl::Route>, std::vector<rtnl::Neighbor>, std::vector<rtnl::NeighborTable>, std::vector<rtnl::Rule>,
                 nft::Listing, nft::Rules, std::vector<state::Sight>, std::vector<state::ClaimGroup>, std::vector<std::string>>;

struct Trouble {
  std::size_t step;
  Error error;
};

struct Report {
  std::vector<Output> outputs;     // one per step
  std::optional<Trouble> failure;  // the step that failed; everything before it was taken back
  std::vector<Trouble> undo;       // what could not be taken back
};

}  // namespace netmode::program

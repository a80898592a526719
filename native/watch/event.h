// Event: one thing that happened in a namespace or in a watched folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "netlink/attributes.h"
#include "netlink/socket.h"
#include "rtnl/address.h"
#include "rtnl/link.h"
#include "rtnl/neighbor.h"
#include "rtnl/route.h"
#include "watch/loss.h"

namespace netmode::watch {

// A table, chain, set, rule or element of nf_tables that came or went.
struct RulesetChange {
  std::string kind{};       // table, chain, rule, set, element, object, flowtable
  std::uint8_t family = 0;  // NFPROTO_*
  std::string table{};
  std::string name{};  // of the chain, set or object; a rule's chain, an element's set
};

// A name in a watched folder; empty: the folder itself.
struct FileChange {
  std::string folder{};
  std::string name{};
};

// Events were lost.
struct Overrun {};

struct Event {
  bool gone = false;  // deleted, not made or changed
  std::variant<rtnl::Link, rtnl::Address, rtnl::Route, rtnl::Neighbor, RulesetChange, FileChange, Loss, Overrun> what{};
};

// The events that a notification of rtnetlink or nf_tables tells of; nothing for other messages, and for what can't be read.
[[nodiscard]] std::optional<Event> ParseRoute(const netlink::Message &message);
[[nodiscard]] std::optional<Event> ParseRuleset(const netlink::Message &message);

}  // namespace netmode::watch

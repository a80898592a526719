// ListRules: chains and rules, those of others too: who decides about a packet, and how often each rule has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "netlink/socket.h"
#include "nft/verb.h"

namespace netmode::nft {

// nft.rules: all families, or one; all tables, or one.
struct RulesVerb {
  std::optional<Family> family{};
  std::optional<std::string> table{};
};

struct ChainEntry {
  std::uint8_t family = 0;  // NFPROTO_*
  std::string table{};
  std::string chain{};
  std::optional<BaseChain> base{};
};

struct RuleCounter {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

struct RuleEntry {
  std::uint8_t family = 0;  // NFPROTO_*
  std::string table{};
  std::string chain{};
  std::uint64_t handle = 0;
  std::vector<std::string> expressions{};  // their names, in order: meta, cmp, counter, immediate
  std::string verdict{};                   // accept, drop, return, jump, goto, continue, queue or reject; empty: none
  std::string target{};                    // of jump and goto
  std::optional<std::string> iifname{};    // compared with exactly one name
  std::optional<std::string> oifname{};
  std::optional<RuleCounter> counter{};
  std::optional<std::string> comment{};
};

struct Rules {
  std::vector<ChainEntry> chains{};
  std::vector<RuleEntry> rules{};  // of one chain in their order
};

// One consistent picture, as List. Needs no libnftnl.
[[nodiscard]] Result<Rules> ListRules(netlink::Socket &socket, const RulesVerb &verb);

// Names as nft has them; empty for a number that it doesn't know.
[[nodiscard]] const char *FamilyName(std::uint8_t family);
[[nodiscard]] const char *HookName(std::uint8_t family, std::uint32_t hook);

// One message of a dump, for tests with hostile bytes; EBADMSG when its attributes can't be read.
[[nodiscard]] Result<void> ReadChain(const netlink::Message &message, std::vector<ChainEntry> &chains);
[[nodiscard]] Result<void> ReadRule(const netlink::Message &message, std::vector<RuleEntry> &rules);

}  // namespace netmode::nft

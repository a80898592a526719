// Rule: policy routing (RTM_NEWRULE).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/inet.h"
#include "netlink/batch.h"
#include "netlink/socket.h"
#include "rtnl/names.h"
#include "rtnl/verb.h"

namespace netmode::rtnl {

// kReplace is not a verb of rules: EINVAL.
struct RuleVerb {
  Verb verb = Verb::kAdd;
  std::string ns;
  std::uint32_t family = 4;  // 4 or 6
  std::uint32_t priority = 0;
  std::optional<std::string> from;  // CIDR
  std::optional<std::string> to;    // CIDR
  std::optional<std::string> iif;
  std::optional<std::string> oif;
  std::optional<std::uint32_t> fwmark;
  std::uint32_t table = 0;
  bool missing_ok = false;
};

struct RuleList {
  std::string ns;
  std::optional<std::uint32_t> family;  // 4 or 6; absent: both
};

struct Rule {
  std::uint8_t family = 0;  // AF_INET or AF_INET6
  std::uint32_t priority = 0;
  std::optional<IpPrefix> from;
  std::optional<IpPrefix> to;
  std::string iif;
  std::string oif;
  std::optional<std::uint32_t> fwmark;
  std::uint32_t table = 0;
  std::uint8_t action = 0;  // FR_ACT_*
};

[[nodiscard]] Result<void> Encode(netlink::Batch &batch, const RuleVerb &op, Names &names, std::size_t tag);
[[nodiscard]] Result<std::vector<Rule>> List(netlink::Socket &socket, const RuleList &op);
[[nodiscard]] std::optional<Rule> ParseRule(netlink::Bytes payload);

}  // namespace netmode::rtnl

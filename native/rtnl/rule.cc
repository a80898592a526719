#include "rtnl/rule.h"

#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <utility>

#include "netlink/attributes.h"
#include "rtnl/dump.h"
#include "rtnl/family.h"

namespace netmode::rtnl {

namespace {

constexpr std::uint32_t kLargestShortTable = 255;  // what the header's `table` can hold

// A selector of an op: absent, or of the rule's own family.
Result<std::optional<IpPrefix>> Selector(const std::optional<std::string> &text, std::uint8_t family) {
  if (!text) return std::nullopt;
  Result<IpPrefix> prefix = ParsePrefix(*text);
  if (!prefix) return std::unexpected(std::move(prefix.error()));
  if (prefix->address.family != family) return Fail(EINVAL, {}, "'" + *text + "' is not of the rule's family");
  return *prefix;
}

}  // namespace

Result<void> Encode(netlink::Batch &batch, const RuleVerb &op, Names & /*names*/, std::size_t tag) {
  if (op.verb == Verb::kReplace) return Fail(EINVAL, {}, "a rule can't be replaced");
  const Result<std::uint8_t> family = AddressFamily(op.family);
  if (!family) return std::unexpected(family.error());
  const auto from = Selector(op.from, *family);
  if (!from) return std::unexpected(from.error());
  const auto to = Selector(op.to, *family);
  if (!to) return std::unexpected(to.error());

  fib_rule_hdr header{};
  header.family = *family;
  header.table = static_cast<std::uint8_t>(op.table > kLargestShortTable ? 0 : op.table);
  header.action = op.verb == Verb::kDelete ? FR_ACT_UNSPEC : FR_ACT_TO_TBL;
  if (*from) header.src_len = (*from)->length;
  if (*to) header.dst_len = (*to)->length;
  batch.Begin(op.verb == Verb::kDelete ? RTM_DELRULE : RTM_NEWRULE, FlagsOf(op.verb), header, tag);
  batch.PutInteger(FRA_PRIORITY, op.priority);
  batch.PutInteger(FRA_TABLE, op.table);
  if (header.src_len > 0) batch.Put(FRA_SRC, (*from)->address.Bytes());
  if (header.dst_len > 0) batch.Put(FRA_DST, (*to)->address.Bytes());
  if (op.iif) batch.PutString(FRA_IIFNAME, *op.iif);
  if (op.oif) batch.PutString(FRA_OIFNAME, *op.oif);
  if (op.fwmark) batch.PutInteger(FRA_FWMARK, *op.fwmark);
  batch.End();
  return {};
}

std::optional<Rule> ParseRule(netlink::Bytes payload) {
  netlink::Bytes attributes;
  const std::optional<fib_rule_hdr> header = TakeHeader<fib_rule_hdr>(payload, attributes);
  if (!header || (header->family != AF_INET && header->family != AF_INET6)) return std::nullopt;
  Rule rule;
  rule.family = header->family;
  rule.table = header->table;
  rule.action = header->action;
  const bool whole = netlink::ForEachAttribute(attributes, [&](const netlink::Attribute &attribute) {
    switch (attribute.type) {
      case FRA_PRIORITY:
        rule.priority = attribute.As<std::uint32_t>().value_or(0);
        break;
      case FRA_TABLE:
        rule.table = attribute.As<std::uint32_t>().value_or(rule.table);
        break;
      case FRA_SRC:
        rule.from = IpPrefix{.address = IpFromBytes(attribute.value), .length = header->src_len};
        break;
      case FRA_DST:
        rule.to = IpPrefix{.address = IpFromBytes(attribute.value), .length = header->dst_len};
        break;
      case FRA_IIFNAME:
        rule.iif = attribute.Text();
        break;
      case FRA_OIFNAME:
        rule.oif = attribute.Text();
        break;
      case FRA_FWMARK:
        rule.fwmark = attribute.As<std::uint32_t>();
        break;
      default:
        break;
    }
  });
  if (!whole) return std::nullopt;
  return rule;
}

Result<std::vector<Rule>> List(netlink::Socket &socket, const RuleList &op) {
  const auto families = FamiliesOf(op.family);
  if (!families) return std::unexpected(families.error());
  std::vector<Rule> rules;
  for (const std::uint8_t family : *families) {
    fib_rule_hdr header{};
    header.family = family;
    netlink::Batch request;
    request.Begin(RTM_GETRULE, NLM_F_DUMP, header, 0);
    request.End();
    const auto all = [](const Rule &) { return true; };
    if (Result<void> dumped = DumpInto(socket, request, rules, ParseRule, all); !dumped) return std::unexpected(std::move(dumped.error()));
  }
  return rules;
}

}  // namespace netmode::rtnl

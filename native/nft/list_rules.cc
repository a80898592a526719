#include "nft/list_rules.h"

#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables_compat.h>

#include <iterator>
#include <string_view>

#include "nft/dump.h"
#include "nft/user_data.h"

namespace netmode::nft {

namespace {

using netlink::Attribute;
using netlink::Bytes;
using netlink::Message;

std::uint8_t FamilyOf(const Message &message) { return static_cast<std::uint8_t>(message.payload[0]); }

bool ReadHook(Bytes nest, BaseChain &base) {
  return netlink::ForEachAttribute(nest, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_HOOK_HOOKNUM) base.hook = NetworkU32(attribute);
    if (attribute.type == NFTA_HOOK_PRIORITY) base.priority = static_cast<std::int32_t>(NetworkU32(attribute));
    if (attribute.type == NFTA_HOOK_DEV) base.device = attribute.Text();
  });
}

const char *VerdictName(std::int32_t code) {
  switch (code) {
    case NF_ACCEPT:
      return "accept";
    case NF_DROP:
      return "drop";
    case NF_QUEUE:
      return "queue";
    case NFT_RETURN:
      return "return";
    case NFT_JUMP:
      return "jump";
    case NFT_GOTO:
      return "goto";
    case NFT_CONTINUE:
      return "continue";
    default:
      return "";
  }
}

bool ReadVerdict(Bytes nest, RuleEntry &rule) {
  return netlink::ForEachAttribute(nest, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_VERDICT_CODE) rule.verdict = VerdictName(static_cast<std::int32_t>(NetworkU32(attribute)));
    if (attribute.type == NFTA_VERDICT_CHAIN) rule.target = attribute.Text();
  });
}

// A constant that is loaded: a verdict, or a value for a register.
bool ReadImmediate(Bytes nest, RuleEntry &rule) {
  bool good = true;
  return netlink::ForEachAttribute(nest,
                                   [&](const Attribute &attribute) {
                                     if (attribute.type != NFTA_IMMEDIATE_DATA) return;
                                     good = netlink::ForEachAttribute(attribute.value,
                                                                      [&](const Attribute &data) {
                                                                        if (data.type == NFTA_DATA_VERDICT)
                                                                          good = ReadVerdict(data.value, rule) && good;
                                                                      }) &&
                                            good;
                                   }) &&
         good;
}

bool ReadCounter(Bytes nest, RuleEntry &rule) {
  RuleCounter counter;
  const bool whole = netlink::ForEachAttribute(nest, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_COUNTER_PACKETS) counter.packets = NetworkU64(attribute);
    if (attribute.type == NFTA_COUNTER_BYTES) counter.bytes = NetworkU64(attribute);
  });
  rule.counter = counter;
  return whole;
}

// A target of iptables: what xtables does and nf_tables has no expression for.
bool ReadTarget(Bytes nest, RuleEntry &rule) {
  return netlink::ForEachAttribute(nest, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_TARGET_NAME && attribute.Text() == "REJECT") rule.verdict = "reject";
  });
}

// What the register holds that the next expression looks at, as far as devices go.
struct Loaded {
  static constexpr std::uint32_t kNothing = UINT32_MAX;
  std::uint32_t key = kNothing;  // NFT_META_*
};

bool ReadMeta(Bytes nest, Loaded &loaded) {
  loaded.key = Loaded::kNothing;
  return netlink::ForEachAttribute(nest, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_META_KEY) loaded.key = NetworkU32(attribute);
  });
}

// A name is compared with its NUL; without, it is the beginning of names.
bool ReadCompare(Bytes nest, const Loaded &loaded, RuleEntry &rule) {
  std::uint32_t op = NFT_CMP_NEQ;
  Bytes value;
  bool good = true;
  const bool whole = netlink::ForEachAttribute(nest, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_CMP_OP) op = NetworkU32(attribute);
    if (attribute.type != NFTA_CMP_DATA) return;
    good = netlink::ForEachAttribute(attribute.value, [&](const Attribute &data) {
      if (data.type == NFTA_DATA_VALUE) value = data.value;
    });
  });
  if (op != NFT_CMP_EQ || value.empty() || value.back() != std::byte{0}) return whole && good;
  const std::string name(Attribute{.value = value}.Text());
  if (loaded.key == NFT_META_IIFNAME) rule.iifname = name;
  if (loaded.key == NFT_META_OIFNAME) rule.oifname = name;
  return whole && good;
}

bool ReadExpression(Bytes nest, Loaded &loaded, RuleEntry &rule) {
  std::string name;
  Bytes data;
  const bool whole = netlink::ForEachAttribute(nest, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_EXPR_NAME) name = attribute.Text();
    if (attribute.type == NFTA_EXPR_DATA) data = attribute.value;
  });
  bool good = whole;
  if (name == "meta") good = ReadMeta(data, loaded) && good;
  if (name == "cmp") good = ReadCompare(data, loaded, rule) && good;
  if (name == "immediate") good = ReadImmediate(data, rule) && good;
  if (name == "counter") good = ReadCounter(data, rule) && good;
  if (name == "target") good = ReadTarget(data, rule) && good;
  if (name == "reject") rule.verdict = "reject";
  rule.expressions.push_back(std::move(name));
  return good;
}

template <class Entry, class Read>
Result<std::vector<Entry>> DumpAll(netlink::Socket &socket, const RulesVerb &verb, std::uint16_t type, Read read) {
  netlink::Batch request;
  request.Begin(MessageType(type), NLM_F_DUMP, Header(verb.family ? static_cast<std::uint8_t>(*verb.family) : 0), 0);
  request.End();
  std::vector<Entry> entries;
  auto dumped = socket.Dump(request, [&](const Message &message) { return read(message, entries); }, [&] { entries.clear(); });
  if (!dumped) return std::unexpected(std::move(dumped.error()));
  if (verb.table) std::erase_if(entries, [&](const Entry &entry) { return entry.table != *verb.table; });
  return entries;
}

Result<Rules> ListOnce(netlink::Socket &socket, const RulesVerb &verb) {
  auto chains = DumpAll<ChainEntry>(socket, verb, NFT_MSG_GETCHAIN, ReadChain);
  if (!chains) return std::unexpected(std::move(chains.error()));
  auto rules = DumpAll<RuleEntry>(socket, verb, NFT_MSG_GETRULE, ReadRule);
  if (!rules) return std::unexpected(std::move(rules.error()));
  return Rules{.chains = std::move(*chains), .rules = std::move(*rules)};
}

}  // namespace

Result<void> ReadChain(const Message &message, std::vector<ChainEntry> &chains) {
  const auto attributes = AttributesOf(message, NFT_MSG_NEWCHAIN);
  if (!attributes) return {};
  ChainEntry chain{.family = FamilyOf(message)};
  BaseChain base;
  bool is_base = false;
  bool good = true;
  const bool whole = netlink::ForEachAttribute(*attributes, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_CHAIN_TABLE) chain.table = attribute.Text();
    if (attribute.type == NFTA_CHAIN_NAME) chain.chain = attribute.Text();
    if (attribute.type == NFTA_CHAIN_TYPE) base.type = attribute.Text();
    if (attribute.type == NFTA_CHAIN_POLICY) base.drop = NetworkU32(attribute) == NF_DROP;
    if (attribute.type == NFTA_CHAIN_HOOK) {
      is_base = true;
      good = ReadHook(attribute.value, base) && good;
    }
  });
  if (!whole || !good) return Malformed("chain");
  if (is_base) chain.base = std::move(base);
  chains.push_back(std::move(chain));
  return {};
}

Result<void> ReadRule(const Message &message, std::vector<RuleEntry> &rules) {
  const auto attributes = AttributesOf(message, NFT_MSG_NEWRULE);
  if (!attributes) return {};
  RuleEntry rule{.family = FamilyOf(message)};
  Loaded loaded;
  bool good = true;
  const bool whole = netlink::ForEachAttribute(*attributes, [&](const Attribute &attribute) {
    if (attribute.type == NFTA_RULE_TABLE) rule.table = attribute.Text();
    if (attribute.type == NFTA_RULE_CHAIN) rule.chain = attribute.Text();
    if (attribute.type == NFTA_RULE_HANDLE) rule.handle = NetworkU64(attribute);
    if (attribute.type == NFTA_RULE_USERDATA) rule.comment = FindText(attribute.value, NFTNL_UDATA_RULE_COMMENT);
    if (attribute.type != NFTA_RULE_EXPRESSIONS) return;
    good =
        netlink::ForEachAttribute(attribute.value, [&](const Attribute &one) { good = ReadExpression(one.value, loaded, rule) && good; }) &&
        good;
  });
  if (!whole || !good) return Malformed("rule");
  rules.push_back(std::move(rule));
  return {};
}

Result<Rules> ListRules(netlink::Socket &socket, const RulesVerb &verb) {
  return Consistent(socket, [&] { return ListOnce(socket, verb); });
}

const char *FamilyName(std::uint8_t family) {
  switch (family) {
    case NFPROTO_INET:
      return "inet";
    case NFPROTO_IPV4:
      return "ip";
    case NFPROTO_IPV6:
      return "ip6";
    case NFPROTO_ARP:
      return "arp";
    case NFPROTO_NETDEV:
      return "netdev";
    case NFPROTO_BRIDGE:
      return "bridge";
    default:
      return "";
  }
}

const char *HookName(std::uint8_t family, std::uint32_t hook) {
  constexpr const char *kInet[] = {"prerouting", "input", "forward", "output", "postrouting", "ingress"};
  constexpr const char *kNetdev[] = {"ingress", "egress"};
  constexpr const char *kArp[] = {"input", "output", "forward"};
  if (family == NFPROTO_NETDEV) return hook < std::size(kNetdev) ? kNetdev[hook] : "";
  if (family == NFPROTO_ARP) return hook < std::size(kArp) ? kArp[hook] : "";
  return hook < std::size(kInet) ? kInet[hook] : "";
}

}  // namespace netmode::nft

#include "binding/read_nft.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>

#include <string>
#include <utility>

namespace netmode::binding {

namespace {

template <class Number>
struct Word {
  std::string_view word;
  Number number;
};

constexpr Word<std::uint32_t> kMetaKeys[] = {
    {"protocol", NFT_META_PROTOCOL}, {"mark", NFT_META_MARK},       {"iifname", NFT_META_IIFNAME}, {"oifname", NFT_META_OIFNAME},
    {"nfproto", NFT_META_NFPROTO},   {"l4proto", NFT_META_L4PROTO}, {"pkttype", NFT_META_PKTTYPE}, {"iifgroup", NFT_META_IIFGROUP},
    {"oifgroup", NFT_META_OIFGROUP}, {"iifkind", NFT_META_IIFKIND},
};
constexpr Word<std::uint32_t> kPayloadBases[] = {
    {"link", NFT_PAYLOAD_LL_HEADER}, {"network", NFT_PAYLOAD_NETWORK_HEADER}, {"transport", NFT_PAYLOAD_TRANSPORT_HEADER}};
constexpr Word<std::uint32_t> kComparisons[] = {{"eq", NFT_CMP_EQ},   {"neq", NFT_CMP_NEQ}, {"lt", NFT_CMP_LT},
                                                {"lte", NFT_CMP_LTE}, {"gt", NFT_CMP_GT},   {"gte", NFT_CMP_GTE}};
constexpr Word<std::int32_t> kVerdicts[] = {{"accept", NF_ACCEPT},      {"drop", NF_DROP},  {"return", NFT_RETURN},
                                            {"continue", NFT_CONTINUE}, {"jump", NFT_JUMP}, {"goto", NFT_GOTO}};
constexpr Word<std::uint32_t> kNatTypes[] = {{"snat", NFT_NAT_SNAT}, {"dnat", NFT_NAT_DNAT}};
constexpr Word<std::uint32_t> kNatFamilies[] = {{"ip", NFPROTO_IPV4}, {"ip6", NFPROTO_IPV6}};
constexpr Word<std::uint32_t> kFibFlags[] = {
    {"saddr", NFTA_FIB_F_SADDR}, {"daddr", NFTA_FIB_F_DADDR}, {"mark", NFTA_FIB_F_MARK}, {"iif", NFTA_FIB_F_IIF}, {"oif", NFTA_FIB_F_OIF}};
constexpr Word<std::uint32_t> kFibResults[] = {
    {"oif", NFT_FIB_RESULT_OIF}, {"oifname", NFT_FIB_RESULT_OIFNAME}, {"type", NFT_FIB_RESULT_ADDRTYPE}};
constexpr Word<std::uint32_t> kCtKeys[] = {
    {"state", NFT_CT_STATE},
    {"direction", NFT_CT_DIRECTION},
    {"status", NFT_CT_STATUS},
    {"mark", NFT_CT_MARK},
    {"l3protocol", NFT_CT_L3PROTOCOL},
    {"src", NFT_CT_SRC},
    {"dst", NFT_CT_DST},
    {"protocol", NFT_CT_PROTOCOL},
    {"proto-src", NFT_CT_PROTO_SRC},
    {"proto-dst", NFT_CT_PROTO_DST},
    {"src-ip", NFT_CT_SRC_IP},
    {"dst-ip", NFT_CT_DST_IP},
    {"src-ip6", NFT_CT_SRC_IP6},
    {"dst-ip6", NFT_CT_DST_IP6},
};
constexpr Word<std::uint8_t> kCtDirections[] = {{"original", 0}, {"reply", 1}};

template <class Number, std::size_t kCount>
std::optional<Number> Find(const Word<Number> (&words)[kCount], std::string_view word) {
  for (const Word<Number> &one : words) {
    if (one.word == word) return one.number;
  }
  return std::nullopt;
}

// One of the words; any other marks the field and gives the first.
template <class Number, std::size_t kCount>
Number Choice(Object &object, const char *key, const Word<Number> (&words)[kCount]) {
  const auto number = Find(words, object.String(key));
  if (!number) object.MarkBad(key);
  return number.value_or(words[0].number);
}

nft::Value Bytes(Object &object, const char *key) {
  nft::Value bytes;
  for (const json::Value &item : object.Items(key)) {
    const double number = item.kind == json::Kind::kNumber ? item.number : -1;
    const bool byte = number >= 0 && number <= 255;
    if (!byte) object.MarkBad(key);
    bytes.push_back(static_cast<std::byte>(byte ? static_cast<unsigned>(number) : 0));
  }
  return bytes;
}

std::uint32_t NatFlags(Object &object) {
  std::uint32_t flags = 0;
  if (object.Flag("random")) flags |= NF_NAT_RANGE_PROTO_RANDOM;
  if (object.Flag("persistent")) flags |= NF_NAT_RANGE_PERSISTENT;
  return flags;
}

nft::Expression ReadReject(Object &object) {
  const std::string how = object.String("with");
  constexpr Word<std::uint8_t> kCodes[] = {{"port-unreachable", NFT_REJECT_ICMPX_PORT_UNREACH},
                                           {"no-route", NFT_REJECT_ICMPX_NO_ROUTE},
                                           {"host-unreachable", NFT_REJECT_ICMPX_HOST_UNREACH},
                                           {"admin-prohibited", NFT_REJECT_ICMPX_ADMIN_PROHIBITED}};
  if (how == "tcp-reset") return nft::Reject{.type = NFT_REJECT_TCP_RST, .code = 0};
  const auto code = Find(kCodes, how);
  if (!code) object.MarkBad("with");
  return nft::Reject{.type = NFT_REJECT_ICMPX_UNREACH, .code = code.value_or(0)};
}

nft::Expression ReadFib(Object &object) {
  std::uint32_t flags = 0;
  object.ForEachString("flags", [&](std::string_view name) {
    const auto flag = Find(kFibFlags, name);
    if (!flag) object.MarkBad("flags");
    flags |= flag.value_or(0);
  });
  return nft::Fib{.flags = flags, .result = Choice(object, "result", kFibResults), .dreg = object.U32("dreg")};
}

nft::Expression ReadCt(Object &object) {
  nft::Ct ct{.key = Choice(object, "key", kCtKeys), .direction = std::nullopt, .dreg = object.U32("dreg")};
  if (object.Has("direction")) ct.direction = Choice(object, "direction", kCtDirections);
  return ct;
}

nft::Expression ReadNat(Object &object) {
  return nft::Nat{.type = Choice(object, "type", kNatTypes),
                  .family = Choice(object, "family", kNatFamilies),
                  .address = object.OptionalU32("address"),
                  .address_max = object.OptionalU32("addressMax"),
                  .port = object.OptionalU32("port"),
                  .port_max = object.OptionalU32("portMax"),
                  .flags = NatFlags(object)};
}

nft::Expression ReadExpression(Object &object) {
  const std::string kind = object.String("expr");
  if (kind == "meta") return nft::Meta{.key = Choice(object, "key", kMetaKeys), .dreg = object.U32("dreg")};
  if (kind == "meta.set") return nft::MetaSet{.key = Choice(object, "key", kMetaKeys), .sreg = object.U32("sreg")};
  if (kind == "payload") {
    return nft::Payload{.base = Choice(object, "base", kPayloadBases),
                        .offset = object.U32("offset"),
                        .length = object.U32("length"),
                        .dreg = object.U32("dreg")};
  }
  if (kind == "cmp") return nft::Cmp{.op = Choice(object, "op", kComparisons), .sreg = object.U32("sreg"), .data = Bytes(object, "data")};
  if (kind == "bitwise") {
    return nft::Bitwise{
        .sreg = object.U32("sreg"), .dreg = object.U32("dreg"), .mask = Bytes(object, "mask"), .exclusive_or = Bytes(object, "xor")};
  }
  if (kind == "lookup") {
    return nft::Lookup{
        .set = object.String("set"), .sreg = object.U32("sreg"), .dreg = object.OptionalU32("dreg"), .invert = object.Flag("invert")};
  }
  if (kind == "immediate") return nft::Immediate{.dreg = object.U32("dreg"), .data = Bytes(object, "data")};
  if (kind == "verdict") {
    return nft::Verdict{.code = Choice(object, "verdict", kVerdicts), .chain = object.OptionalString("chain").value_or(std::string())};
  }
  if (kind == "nat") return ReadNat(object);
  if (kind == "masquerade") {
    return nft::Masquerade{.flags = NatFlags(object), .port = object.OptionalU32("port"), .port_max = object.OptionalU32("portMax")};
  }
  if (kind == "redirect") {
    return nft::Redirect{.flags = NatFlags(object), .port = object.OptionalU32("port"), .port_max = object.OptionalU32("portMax")};
  }
  if (kind == "fib") return ReadFib(object);
  if (kind == "ct") return ReadCt(object);
  if (kind == "ct.set") return nft::CtSet{.key = Choice(object, "key", kCtKeys), .sreg = object.U32("sreg")};
  if (kind == "counter") return nft::Counter{};
  if (kind == "reject") return ReadReject(object);
  object.MarkBad("expr");
  return nft::Counter{};
}

bool AppendDatum(nft::Tuple &tuple, Object &datum) {
  if (datum.Has("ip4")) return tuple.AppendIp4(datum.String("ip4"));
  if (datum.Has("port")) return tuple.AppendPort(datum.U32("port"));
  if (datum.Has("protocol")) return tuple.AppendProtocol(datum.String("protocol"));
  if (datum.Has("ip6")) return tuple.AppendIp6(datum.String("ip6"));
  if (datum.Has("ndTarget")) return tuple.AppendIp6(datum.String("ndTarget"));
  if (datum.Has("ifname")) return tuple.AppendInterface(datum.String("ifname"));
  if (datum.Has("mac")) return tuple.AppendMac(datum.String("mac"));
  if (datum.Has("mark")) return tuple.AppendMark(datum.U32("mark"));
  return false;
}

nft::Tuple ReadTuple(Object &object, const char *key) {
  nft::Tuple tuple;
  object.ForEachObject(key, [&](Object &datum) {
    if (!AppendDatum(tuple, datum)) object.MarkBad(key);
  });
  return tuple;
}

std::vector<nft::DataType> ReadTypes(Object &object, const char *key) {
  std::vector<nft::DataType> types;
  object.ForEachString(key, [&](std::string_view name) {
    const auto type = nft::DataTypeByName(name);
    if (!type) object.MarkBad(key);
    if (type) types.push_back(*type);
  });
  return types;
}

nft::Family ReadFamily(Object &object) {
  const auto family = nft::FamilyByName(object.String("family"));
  if (!family) object.MarkBad("family");
  return family.value_or(nft::Family::kInet);
}

nft::Action ActionOf(std::string_view op) { return op.ends_with(".delete") ? nft::Action::kDelete : nft::Action::kAdd; }

// Absent: the host. Sets and their elements are always the host's.
std::string ReadNs(Object &object) { return object.OptionalString("ns").value_or(std::string()); }

nft::Verb ReadTable(std::string_view op, Object &object) {
  return nft::TableVerb{.action = ActionOf(op),
                        .ns = ReadNs(object),
                        .family = ReadFamily(object),
                        .table = object.String("table"),
                        .comment = object.OptionalString("comment"),
                        .exclusive = object.Flag("exclusive"),
                        .missing_ok = object.Flag("missingOk")};
}

nft::BaseChain ReadBase(Object &base, nft::Family family) {
  constexpr Word<bool> kPolicies[] = {{"accept", false}, {"drop", true}};
  const std::string type = base.String("type");
  if (type != "filter" && type != "nat" && type != "route") base.MarkBad("type");
  const auto hook = nft::HookByName(family, base.String("hook"));
  if (!hook) base.MarkBad("hook");
  const auto priority = base.OptionalI32("priority");
  if (!priority) base.MarkBad("priority");
  const bool drop = base.Has("policy") && Choice(base, "policy", kPolicies);
  return {.type = type, .hook = hook.value_or(0), .priority = priority.value_or(0), .drop = drop, .device = base.OptionalString("device")};
}

nft::Verb ReadChain(Object &object) {
  nft::ChainAdd chain{.ns = ReadNs(object),
                      .family = ReadFamily(object),
                      .table = object.String("table"),
                      .chain = object.String("chain"),
                      .base = std::nullopt};
  if (auto base = object.OptionalObject("base")) {
    chain.base = ReadBase(*base, chain.family);
    if (!base->Bad().empty()) object.MarkBad("base." + base->Bad());
  }
  return chain;
}

nft::Verb ReadSet(Object &object) {
  return nft::SetAdd{.family = ReadFamily(object),
                     .table = object.String("table"),
                     .set = object.String("set"),
                     .key = ReadTypes(object, "key"),
                     .data = object.Has("data") ? ReadTypes(object, "data") : std::vector<nft::DataType>(),
                     .interval = object.Flag("interval"),
                     .counter = object.Flag("counter"),
                     .comment = object.OptionalString("comment")};
}

nft::Verb ReadRule(Object &object) {
  nft::RuleAdd rule{.ns = ReadNs(object),
                    .family = ReadFamily(object),
                    .table = object.String("table"),
                    .chain = object.String("chain"),
                    .expressions = {},
                    .comment = object.OptionalString("comment")};
  object.ForEachObject("expressions", [&](Object &expression) { rule.expressions.push_back(ReadExpression(expression)); });
  return rule;
}

nft::Verb ReadElement(std::string_view op, Object &object) {
  return nft::ElementVerb{.action = ActionOf(op),
                          .family = ReadFamily(object),
                          .table = object.String("table"),
                          .set = object.String("set"),
                          .key = ReadTuple(object, "key"),
                          .end = object.Has("end") ? ReadTuple(object, "end") : nft::Tuple(),
                          .data = object.Has("data") ? ReadTuple(object, "data") : nft::Tuple(),
                          .comment = object.OptionalString("comment"),
                          .exclusive = object.Flag("exclusive"),
                          .missing_ok = object.Flag("missingOk")};
}

std::optional<nft::Verb> ReadAny(std::string_view op, Object &object) {
  if (op.starts_with("nft.element.")) return ReadElement(op, object);
  if (op.starts_with("nft.table.")) return ReadTable(op, object);
  if (op == "nft.chain.add") return ReadChain(object);
  if (op == "nft.set.add") return ReadSet(object);
  if (op == "nft.rule.add") return ReadRule(object);
  return std::nullopt;
}

}  // namespace

bool IsNftVerb(std::string_view op) {
  return op == "nft.element.add" || op == "nft.element.delete" || op == "nft.table.add" || op == "nft.table.delete" ||
         op == "nft.chain.add" || op == "nft.set.add" || op == "nft.rule.add";
}

std::optional<nft::Verb> ReadNft(std::string_view op, Object &object) {
  auto verb = IsNftVerb(op) ? ReadAny(op, object) : std::nullopt;
  if (!verb) object.MarkBad("op");
  if (!object.Bad().empty()) return std::nullopt;
  return verb;
}

std::optional<nft::ListVerb> ReadNftList(Object &object) {
  nft::ListVerb verb{.ns = ReadNs(object),
                     .family = ReadFamily(object),
                     .table = object.OptionalString("table"),
                     .set = object.OptionalString("set"),
                     .counts = object.Flag("counts")};
  if (verb.set && !verb.table) object.MarkBad("table");
  if (verb.counts && !verb.set) object.MarkBad("set");
  if (!object.Bad().empty()) return std::nullopt;
  return verb;
}

nft::RulesVerb ReadNftRules(Object &object) {
  return {.family = object.Has("family") ? std::optional(ReadFamily(object)) : std::nullopt, .table = object.OptionalString("table")};
}

}  // namespace netmode::binding

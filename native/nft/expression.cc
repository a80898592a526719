#include "nft/expression.h"

#include <arpa/inet.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter/nf_tables.h>

#include <memory>

namespace netmode::nft {

namespace {

// What libnftnl's copies have room for, which it doesn't check itself.
constexpr std::size_t kMaxValue = NFT_DATA_VALUE_MAXLEN;

struct Free {
  void operator()(nftnl_expr *expression) const { nftnl_expr_free(expression); }
};

// One libnftnl expression while its attributes are set.
class Builder {
 public:
  explicit Builder(const char *name) : expression_(nftnl_expr_alloc(name)) {}

  Builder &U8(std::uint16_t attribute, std::uint8_t value) {
    if (expression_) nftnl_expr_set_u8(expression_.get(), attribute, value);
    return *this;
  }
  Builder &U32(std::uint16_t attribute, std::uint32_t value) {
    if (expression_) nftnl_expr_set_u32(expression_.get(), attribute, value);
    return *this;
  }
  // An absent register or a zero of flags is no attribute.
  Builder &Maybe(std::uint16_t attribute, std::optional<std::uint32_t> value) { return value ? U32(attribute, *value) : *this; }
  Builder &Flags(std::uint16_t attribute, std::uint32_t value) { return value != 0 ? U32(attribute, value) : *this; }
  Builder &Text(std::uint16_t attribute, const std::string &value) {
    if (expression_) nftnl_expr_set_str(expression_.get(), attribute, value.c_str());
    return *this;
  }
  Builder &Data(std::uint16_t attribute, const Value &value) {
    if (value.empty() || value.size() > kMaxValue) {
      bad_value_ = true;
    } else if (expression_) {
      nftnl_expr_set(expression_.get(), attribute, value.data(), static_cast<std::uint32_t>(value.size()));
    }
    return *this;
  }

  [[nodiscard]] Result<void> AppendTo(nftnl_rule *rule) {
    if (!expression_) return Fail(ENOMEM, "nft.rule.add");
    if (bad_value_) return Fail(E2BIG, "nft.rule.add", "a value is empty or longer than a register");
    nftnl_rule_add_expr(rule, expression_.release());
    return {};
  }

 private:
  std::unique_ptr<nftnl_expr, Free> expression_;
  bool bad_value_ = false;
};

struct Appender {
  nftnl_rule *rule;

  Result<void> operator()(const Meta &one) const {
    return Builder("meta").U32(NFTNL_EXPR_META_KEY, one.key).U32(NFTNL_EXPR_META_DREG, one.dreg).AppendTo(rule);
  }
  Result<void> operator()(const MetaSet &one) const {
    return Builder("meta").U32(NFTNL_EXPR_META_KEY, one.key).U32(NFTNL_EXPR_META_SREG, one.sreg).AppendTo(rule);
  }
  Result<void> operator()(const Payload &one) const {
    return Builder("payload")
        .U32(NFTNL_EXPR_PAYLOAD_DREG, one.dreg)
        .U32(NFTNL_EXPR_PAYLOAD_BASE, one.base)
        .U32(NFTNL_EXPR_PAYLOAD_OFFSET, one.offset)
        .U32(NFTNL_EXPR_PAYLOAD_LEN, one.length)
        .AppendTo(rule);
  }
  Result<void> operator()(const Cmp &one) const {
    return Builder("cmp")
        .U32(NFTNL_EXPR_CMP_SREG, one.sreg)
        .U32(NFTNL_EXPR_CMP_OP, one.op)
        .Data(NFTNL_EXPR_CMP_DATA, one.data)
        .AppendTo(rule);
  }
  Result<void> operator()(const Bitwise &one) const {
    if (one.mask.size() != one.exclusive_or.size()) return Fail(EINVAL, "nft.rule.add", "mask and xor differ in length");
    return Builder("bitwise")
        .U32(NFTNL_EXPR_BITWISE_SREG, one.sreg)
        .U32(NFTNL_EXPR_BITWISE_DREG, one.dreg)
        .U32(NFTNL_EXPR_BITWISE_LEN, static_cast<std::uint32_t>(one.mask.size()))
        .Data(NFTNL_EXPR_BITWISE_MASK, one.mask)
        .Data(NFTNL_EXPR_BITWISE_XOR, one.exclusive_or)
        .AppendTo(rule);
  }
  Result<void> operator()(const Lookup &one) const {
    return Builder("lookup")
        .U32(NFTNL_EXPR_LOOKUP_SREG, one.sreg)
        .Maybe(NFTNL_EXPR_LOOKUP_DREG, one.dreg)
        .Text(NFTNL_EXPR_LOOKUP_SET, one.set)
        .Flags(NFTNL_EXPR_LOOKUP_FLAGS, one.invert ? NFT_LOOKUP_F_INV : 0)
        .AppendTo(rule);
  }
  Result<void> operator()(const Immediate &one) const {
    return Builder("immediate").U32(NFTNL_EXPR_IMM_DREG, one.dreg).Data(NFTNL_EXPR_IMM_DATA, one.data).AppendTo(rule);
  }
  Result<void> operator()(const Verdict &one) const {
    Builder builder("immediate");
    builder.U32(NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT).U32(NFTNL_EXPR_IMM_VERDICT, static_cast<std::uint32_t>(one.code));
    if (!one.chain.empty()) builder.Text(NFTNL_EXPR_IMM_CHAIN, one.chain);
    return builder.AppendTo(rule);
  }
  Result<void> operator()(const Nat &one) const {
    return Builder("nat")
        .U32(NFTNL_EXPR_NAT_TYPE, one.type)
        .U32(NFTNL_EXPR_NAT_FAMILY, one.family)
        .Maybe(NFTNL_EXPR_NAT_REG_ADDR_MIN, one.address)
        .Maybe(NFTNL_EXPR_NAT_REG_ADDR_MAX, one.address_max)
        .Maybe(NFTNL_EXPR_NAT_REG_PROTO_MIN, one.port)
        .Maybe(NFTNL_EXPR_NAT_REG_PROTO_MAX, one.port_max)
        .Flags(NFTNL_EXPR_NAT_FLAGS, one.flags)
        .AppendTo(rule);
  }
  Result<void> operator()(const Masquerade &one) const {
    return Builder("masq")
        .Flags(NFTNL_EXPR_MASQ_FLAGS, one.flags)
        .Maybe(NFTNL_EXPR_MASQ_REG_PROTO_MIN, one.port)
        .Maybe(NFTNL_EXPR_MASQ_REG_PROTO_MAX, one.port_max)
        .AppendTo(rule);
  }
  Result<void> operator()(const Redirect &one) const {
    return Builder("redir")
        .Maybe(NFTNL_EXPR_REDIR_REG_PROTO_MIN, one.port)
        .Maybe(NFTNL_EXPR_REDIR_REG_PROTO_MAX, one.port_max)
        .Flags(NFTNL_EXPR_REDIR_FLAGS, one.flags)
        .AppendTo(rule);
  }
  Result<void> operator()(const Fib &one) const {
    return Builder("fib")
        .U32(NFTNL_EXPR_FIB_DREG, one.dreg)
        .U32(NFTNL_EXPR_FIB_RESULT, one.result)
        .U32(NFTNL_EXPR_FIB_FLAGS, one.flags)
        .AppendTo(rule);
  }
  Result<void> operator()(const Ct &one) const {
    Builder builder("ct");
    builder.U32(NFTNL_EXPR_CT_KEY, one.key).U32(NFTNL_EXPR_CT_DREG, one.dreg);
    if (one.direction) builder.U8(NFTNL_EXPR_CT_DIR, *one.direction);
    return builder.AppendTo(rule);
  }
  Result<void> operator()(const CtSet &one) const {
    return Builder("ct").U32(NFTNL_EXPR_CT_KEY, one.key).U32(NFTNL_EXPR_CT_SREG, one.sreg).AppendTo(rule);
  }
  Result<void> operator()(const Counter &) const { return Builder("counter").AppendTo(rule); }
  Result<void> operator()(const Reject &one) const {
    return Builder("reject").U32(NFTNL_EXPR_REJECT_TYPE, one.type).U8(NFTNL_EXPR_REJECT_CODE, one.code).AppendTo(rule);
  }
};

}  // namespace

Result<void> Append(nftnl_rule *rule, const Expression &expression) { return std::visit(Appender{rule}, expression); }

}  // namespace netmode::nft

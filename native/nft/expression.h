// Expressions: what a rule is made of, at the level of the kernel's registers, as `nft --debug=netlink` prints it. Mirrors the
// union NftExpression of lib/firewall/expression.ts, one struct per `expr`. Constants are the kernel's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"

struct nftnl_rule;

namespace netmode::nft {

using Value = std::vector<std::byte>;

// Reads a property of the packet (NFT_META_*) into a register.
struct Meta {
  std::uint32_t key;
  std::uint32_t dreg;
};
// Writes a property of the packet: mark, pkttype, nftrace.
struct MetaSet {
  std::uint32_t key;
  std::uint32_t sreg;
};
// Reads header bytes; base is NFT_PAYLOAD_*.
struct Payload {
  std::uint32_t base;
  std::uint32_t offset;
  std::uint32_t length;
  std::uint32_t dreg;
};
// Goes on with the rule only if register and value compare so (NFT_CMP_*).
struct Cmp {
  std::uint32_t op;
  std::uint32_t sreg;
  Value data;
};
// dreg = (sreg & mask) ^ xor.
struct Bitwise {
  std::uint32_t sreg;
  std::uint32_t dreg;
  Value mask;
  Value exclusive_or;
};
// In the set (or map, with dreg) or not.
struct Lookup {
  std::string set{};
  std::uint32_t sreg;
  std::optional<std::uint32_t> dreg{};
  bool invert = false;
};
struct Immediate {
  std::uint32_t dreg;
  Value data;
};
// NF_ACCEPT, NF_DROP or NFT_JUMP, NFT_GOTO, NFT_RETURN, NFT_CONTINUE.
struct Verdict {
  std::int32_t code;
  std::string chain{};
};
// NFT_NAT_SNAT/DNAT; the registers that hold the address range and the port range.
struct Nat {
  std::uint32_t type;
  std::uint32_t family;
  std::optional<std::uint32_t> address{};
  std::optional<std::uint32_t> address_max{};
  std::optional<std::uint32_t> port{};
  std::optional<std::uint32_t> port_max{};
  std::uint32_t flags = 0;  // NF_NAT_RANGE_*
};
struct Masquerade {
  std::uint32_t flags = 0;
  std::optional<std::uint32_t> port{};
  std::optional<std::uint32_t> port_max{};
};
struct Redirect {
  std::uint32_t flags = 0;
  std::optional<std::uint32_t> port{};
  std::optional<std::uint32_t> port_max{};
};
// Asks the routing tables: NFTA_FIB_F_* in, NFT_FIB_RESULT_* out.
struct Fib {
  std::uint32_t flags;
  std::uint32_t result;
  std::uint32_t dreg;
};
// Reads a property of the tracked flow (NFT_CT_*); some have a direction.
struct Ct {
  std::uint32_t key;
  std::optional<std::uint8_t> direction{};
  std::uint32_t dreg;
};
// Writes one: the mark.
struct CtSet {
  std::uint32_t key;
  std::uint32_t sreg;
};
struct Counter {};
// NFT_REJECT_*; code is NFT_REJECT_ICMPX_* or an ICMP code.
struct Reject {
  std::uint32_t type;
  std::uint8_t code;
};

using Expression = std::variant<Meta, MetaSet, Payload, Cmp, Bitwise, Lookup, Immediate, Verdict, Nat, Masquerade, Redirect, Fib, Ct, CtSet,
                                Counter, Reject>;

// Appends the expression to the rule, which then owns it. E2BIG for a value that no register takes, EINVAL for an empty one.
[[nodiscard]] Result<void> Append(nftnl_rule *rule, const Expression &expression);

}  // namespace netmode::nft

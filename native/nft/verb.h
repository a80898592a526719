// Verbs: the nf_tables ops of lib/plan/op.ts as structs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nft/datum.h"
#include "nft/expression.h"

namespace netmode::nft {

enum class Action : std::uint8_t { kAdd, kDelete };

// Numbers are NFPROTO_*.
enum class Family : std::uint8_t { kInet = 1, kIp = 2, kNetdev = 5, kBridge = 7, kIp6 = 10 };

[[nodiscard]] std::optional<Family> FamilyByName(std::string_view name);

// nft.table.add, nft.table.delete
struct TableVerb {
  Action action = Action::kAdd;
  std::string ns{};  // the slot of its namespace; empty: the host
  Family family = Family::kInet;
  std::string table{};
  std::optional<std::string> comment{};
  bool exclusive = false;
  bool missing_ok = false;
};

struct BaseChain {
  std::string type{};      // filter, nat, route
  std::uint32_t hook = 0;  // NF_INET_*, NF_BR_*, NF_NETDEV_*
  std::int32_t priority = 0;
  bool drop = false;  // policy
  std::optional<std::string> device{};
};
// The hook's number in that family, or nothing for a hook that it doesn't have.
[[nodiscard]] std::optional<std::uint32_t> HookByName(Family family, std::string_view name);

// nft.chain.add
struct ChainAdd {
  std::string ns{};
  Family family = Family::kInet;
  std::string table{};
  std::string chain{};
  std::optional<BaseChain> base{};
};

// nft.set.add
struct SetAdd {
  Family family = Family::kInet;
  std::string table{};
  std::string set{};
  std::vector<DataType> key{};
  std::vector<DataType> data{};  // not empty: a map
  bool interval = false;
  bool counter = false;
  std::optional<std::string> comment{};
};

// nft.rule.add
struct RuleAdd {
  std::string ns{};
  Family family = Family::kInet;
  std::string table{};
  std::string chain{};
  std::vector<Expression> expressions{};
  std::optional<std::string> comment{};
};

// nft.element.add, nft.element.delete
struct ElementVerb {
  Action action = Action::kAdd;
  Family family = Family::kInet;
  std::string table{};
  std::string set{};
  Tuple key{};
  Tuple end{};   // interval sets: the last key that belongs to it; may be empty
  Tuple data{};  // maps; may be empty
  std::optional<std::string> comment{};
  bool exclusive = false;
  bool missing_ok = false;
};

using Verb = std::variant<TableVerb, ChainAdd, SetAdd, RuleAdd, ElementVerb>;

// nft.list: the tables of a family, or with table and set the elements of one set.
struct ListVerb {
  std::string ns{};
  Family family = Family::kInet;
  std::optional<std::string> table{};
  std::optional<std::string> set{};
  bool counts = false;  // of a set only what its elements have counted
};

}  // namespace netmode::nft

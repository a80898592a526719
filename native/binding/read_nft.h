// read_nft: nf_tables ops, from plain objects to structs.
#pragma once

#include <optional>
#include <string_view>

#include "binding/object.h"
#include "nft/list_rules.h"
#include "nft/verb.h"

namespace netmode::binding {

// Whether the op (its `op` field) is one for ReadNft.
[[nodiscard]] bool IsNftVerb(std::string_view op);
// Reads `nft.table.*`, `nft.chain.add`, `nft.set.add`, `nft.rule.add`, `nft.element.*`. Nothing: object.Bad() names the field.
[[nodiscard]] std::optional<nft::Verb> ReadNft(std::string_view op, Object &object);
// Reads `nft.list`.
[[nodiscard]] std::optional<nft::ListVerb> ReadNftList(Object &object);

// Reads `nft.rules`.
[[nodiscard]] nft::RulesVerb ReadNftRules(Object &object);

}  // namespace netmode::binding

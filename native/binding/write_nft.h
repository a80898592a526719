// write_nft: what nft.list found, as plain objects.
#pragma once

#include <napi.h>

#include "nft/list.h"
#include "nft/list_rules.h"

namespace netmode::binding {

// `{ tables: [{ name, handle, flags, comment? }] }` or `{ elements: [{ key, end?, data?, comment? }] }`, fields as the op's Datum.
[[nodiscard]] Napi::Object WriteNft(Napi::Env env, const nft::Listing &listing, bool elements);

// `{ chains: [{ family, table, chain, base? }], rules: [{ family, table, chain, handle, expressions, verdict?, target?, counter?, comment?
// }] }`
[[nodiscard]] Napi::Object WriteNftRules(Napi::Env env, const nft::Rules &rules);

}  // namespace netmode::binding

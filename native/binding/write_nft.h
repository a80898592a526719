// write_nft: what nft.list found, as plain objects.
#pragma once

#include <napi.h>

#include "nft/list.h"

namespace netmode::binding {

// `{ tables: [{ name, handle, flags, comment? }] }` or `{ elements: [{ key, end?, data?, comment? }] }`, fields as the op's Datum.
[[nodiscard]] Napi::Object WriteNft(Napi::Env env, const nft::Listing &listing, bool elements);

}  // namespace netmode::binding

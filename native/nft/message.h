// Message: one verb as one nf_tables netlink message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "nft/verb.h"

namespace netmode::nft {

// Room that every message fits: names, expressions and values are bounded before they are encoded.
inline constexpr std::size_t kMessageRoom = 64 * 1024;

// Writes the message at the start of `room` (kMessageRoom bytes, aligned to 4) and answers its length. `serial` tells sets of one
// transaction apart. The sequence number is left zero. EINVAL or E2BIG for what can't be encoded.
[[nodiscard]] Result<std::size_t> Encode(const Verb &verb, std::uint32_t serial, std::span<std::byte> room);

// What an error of that verb is about: "nft.element.add".
[[nodiscard]] const char *VerbName(const Verb &verb);

}  // namespace netmode::nft

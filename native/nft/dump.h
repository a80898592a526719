// Dump: what all reading of nf_tables has in common: headers, attributes, and one consistent picture by the generation.
#pragma once

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "netlink/attributes.h"
#include "netlink/socket.h"

namespace netmode::nft {

[[nodiscard]] constexpr std::uint16_t MessageType(std::uint16_t type) {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
}

// `family`: an NFPROTO_*, or 0 (NFPROTO_UNSPEC) for all of them in a dump.
[[nodiscard]] inline nfgenmsg Header(std::uint8_t family) { return {.nfgen_family = family, .version = NFNETLINK_V0, .res_id = 0}; }

// The attributes behind the fixed part; nothing for another kind of message or one that is too short.
[[nodiscard]] std::optional<netlink::Bytes> AttributesOf(const netlink::Message &message, std::uint16_t type);

// The integer in network order; 0 if the attribute is shorter.
template <class Integer>
[[nodiscard]] Integer NetworkInteger(const netlink::Attribute &attribute) {
  const Integer number = attribute.As<Integer>().value_or(0);
  return std::endian::native == std::endian::little ? std::byteswap(number) : number;
}
[[nodiscard]] inline std::uint32_t NetworkU32(const netlink::Attribute &attribute) { return NetworkInteger<std::uint32_t>(attribute); }
[[nodiscard]] inline std::uint64_t NetworkU64(const netlink::Attribute &attribute) { return NetworkInteger<std::uint64_t>(attribute); }

[[nodiscard]] Result<void> Malformed(const char *what);

// Sends one GET and calls `visit` with each attribute of its answer.
template <class Visit>
[[nodiscard]] Result<void> Get(netlink::Socket &socket, netlink::Batch &request, std::uint16_t answer, Visit visit) {
  bool whole = true;
  auto failures = socket.Execute(request, [&](std::size_t, const netlink::Message &message) {
    if (const auto attributes = AttributesOf(message, answer)) whole = netlink::ForEachAttribute(*attributes, visit) && whole;
  });
  if (!failures) return std::unexpected(std::move(failures.error()));
  if (!failures->empty()) {
    Error error = std::move(failures->front().error);
    error.syscall = "nft.list";
    return std::unexpected(std::move(error));
  }
  return whole ? Result<void>() : Malformed("attributes");
}

// Counts the commits.
[[nodiscard]] Result<std::uint32_t> Generation(netlink::Socket &socket);

// Reads with `once` until nobody has committed in between: at most 16 times, then EINTR.
template <class Once>
[[nodiscard]] auto Consistent(netlink::Socket &socket, Once once) -> decltype(once()) {
  constexpr int kMaxTries = 16;
  auto before = Generation(socket);
  for (int tries = 0; before && tries < kMaxTries; ++tries) {
    auto listing = once();
    if (!listing) {
      listing.error().syscall = "nft.list";
      return listing;
    }
    const auto after = Generation(socket);
    if (!after) return std::unexpected(after.error());
    if (*after == *before) return listing;
    before = after;
  }
  if (!before) return std::unexpected(before.error());
  return Fail(EINTR, "nft.list", "the ruleset changed at each of " + std::to_string(kMaxTries) + " attempts to read it");
}

}  // namespace netmode::nft

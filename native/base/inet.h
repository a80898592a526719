// Inet: internet and Ethernet addresses between text and bytes. Text is what inet_pton takes: no names, no prefix, no scope.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace netmode {

// An IPv4 or IPv6 address in network byte order; `family` is AF_INET or AF_INET6.
struct IpAddress {
  std::uint8_t family = 0;
  std::array<std::byte, 16> storage{};

  // The 4 or 16 bytes in use.
  [[nodiscard]] std::span<const std::byte> Bytes() const noexcept;
  // Prefix length of a single address: 32 or 128.
  [[nodiscard]] std::uint8_t Width() const noexcept;
  // 0.0.0.0 or ::.
  [[nodiscard]] bool IsAny() const noexcept;
  friend bool operator==(const IpAddress &, const IpAddress &) = default;
};

// An address with a prefix length: `10.0.0.0/8`.
struct IpPrefix {
  IpAddress address;
  std::uint8_t length = 0;
  friend bool operator==(const IpPrefix &, const IpPrefix &) = default;
};

using MacAddress = std::array<std::byte, 6>;

// EINVAL when the text is no address.
[[nodiscard]] Result<IpAddress> ParseIp(std::string_view text);
// `address/length`, or an address alone, which stands for itself (/32, /128). EINVAL otherwise.
[[nodiscard]] Result<IpPrefix> ParsePrefix(std::string_view text);
// Six pairs of hex digits with colons between. EINVAL otherwise.
[[nodiscard]] Result<MacAddress> ParseMac(std::string_view text);

// 4 bytes make an IPv4 address, 16 an IPv6 one; any other size gives family 0.
[[nodiscard]] IpAddress IpFromBytes(std::span<const std::byte> bytes);

// Canonical text (RFC 5952 for IPv6); empty for family 0.
[[nodiscard]] std::string Format(const IpAddress &address);
[[nodiscard]] std::string Format(const IpPrefix &prefix);
// `02:00:5e:00:00:01`: any number of bytes, lower case.
[[nodiscard]] std::string FormatMac(std::span<const std::byte> bytes);

}  // namespace netmode

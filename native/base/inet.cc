#include "base/inet.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ranges>

namespace netmode {

namespace {

constexpr std::size_t kWidth4 = 4;
constexpr std::size_t kWidth6 = 16;

Error Expected(const char *what, std::string_view text) {
  std::string detail = "expected ";
  detail.append(what).append(" but received '").append(text).append("'");
  return Error{.code = EINVAL, .syscall = {}, .detail = std::move(detail), .holder = {}, .offset = 0};
}

// A whole number without sign or leading zero noise, within `base`.
bool ParseNumber(std::string_view text, int base, unsigned &number) {
  const char *const begin = text.data();
  const char *const end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, number, base);
  return error == std::errc() && stop == end && !text.empty();
}

}  // namespace

std::span<const std::byte> IpAddress::Bytes() const noexcept {
  const std::size_t width = family == AF_INET ? kWidth4 : family == AF_INET6 ? kWidth6 : 0;
  return std::span(storage).first(width);
}

std::uint8_t IpAddress::Width() const noexcept { return static_cast<std::uint8_t>(Bytes().size() * 8); }

bool IpAddress::IsAny() const noexcept {
  return std::ranges::all_of(Bytes(), [](std::byte byte) { return byte == std::byte{0}; });
}

Result<IpAddress> ParseIp(std::string_view text) {
  char terminated[INET6_ADDRSTRLEN] = {};  // inet_pton wants a NUL; longer text is no address
  if (text.size() >= sizeof terminated || text.contains('\0')) return std::unexpected(Expected("an IP address", text));
  std::ranges::copy(text, terminated);
  IpAddress address;
  address.family = text.contains(':') ? AF_INET6 : AF_INET;
  if (inet_pton(address.family, terminated, address.storage.data()) != 1) return std::unexpected(Expected("an IP address", text));
  return address;
}

Result<IpPrefix> ParsePrefix(std::string_view text) {
  const std::size_t slash = text.find('/');
  Result<IpAddress> address = ParseIp(text.substr(0, slash));
  if (!address) return std::unexpected(Expected("an address or CIDR", text));
  unsigned length = address->Width();
  if (slash != std::string_view::npos && (!ParseNumber(text.substr(slash + 1), 10, length) || length > address->Width())) {
    return std::unexpected(Expected("an address or CIDR", text));
  }
  return IpPrefix{.address = *address, .length = static_cast<std::uint8_t>(length)};
}

Result<MacAddress> ParseMac(std::string_view text) {
  constexpr std::size_t kTextWidth = 17;
  MacAddress mac{};
  bool valid = text.size() == kTextWidth;
  for (std::size_t position = 0; valid && position < mac.size(); ++position) {
    unsigned byte = 0;
    valid = ParseNumber(text.substr(position * 3, 2), 16, byte) && (position == 0 || text[position * 3 - 1] == ':');
    mac[position] = static_cast<std::byte>(byte);
  }
  if (!valid) return std::unexpected(Expected("a MAC address", text));
  return mac;
}

IpAddress IpFromBytes(std::span<const std::byte> bytes) {
  IpAddress address;
  if (bytes.size() != kWidth4 && bytes.size() != kWidth6) return address;
  address.family = bytes.size() == kWidth4 ? AF_INET : AF_INET6;
  std::ranges::copy(bytes, address.storage.begin());
  return address;
}

std::string Format(const IpAddress &address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.family == 0 || inet_ntop(address.family, address.storage.data(), text, sizeof text) == nullptr) return {};
  return text;
}

std::string Format(const IpPrefix &prefix) { return Format(prefix.address) + '/' + std::to_string(prefix.length); }

std::string FormatMac(std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    if (!text.empty()) text += ':';
    text += kDigits[std::to_integer<unsigned>(byte >> 4)];
    text += kDigits[std::to_integer<unsigned>(byte & std::byte{0xf})];
  }
  return text;
}

}  // namespace netmode

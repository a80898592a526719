#include "rtnl/family.h"

#include <sys/socket.h>

#include <array>
#include <string>

namespace netmode::rtnl {

namespace {

constexpr std::array<std::uint8_t, 2> kFamilies{AF_INET, AF_INET6};

}  // namespace

Result<std::uint8_t> AddressFamily(std::uint32_t family) {
  if (family == 4) return AF_INET;
  if (family == 6) return AF_INET6;
  return Fail(EINVAL, {}, "expected 4 or 6 for family but received " + std::to_string(family));
}

Result<std::span<const std::uint8_t>> FamiliesOf(std::optional<std::uint32_t> family) {
  if (!family) return kFamilies;
  if (Result<std::uint8_t> checked = AddressFamily(*family); !checked) return std::unexpected(std::move(checked.error()));
  return std::span(kFamilies).subspan(*family == 4 ? 0 : 1, 1);
}

}  // namespace netmode::rtnl

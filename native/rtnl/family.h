// Family: 4 and 6 as plans say it, AF_INET and AF_INET6 as the kernel does.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"

namespace netmode::rtnl {

// EINVAL for anything but 4 and 6.
[[nodiscard]] Result<std::uint8_t> AddressFamily(std::uint32_t family);
// The families that a list with this filter covers: one, or both where it is absent.
[[nodiscard]] Result<std::span<const std::uint8_t>> FamiliesOf(std::optional<std::uint32_t> family);

}  // namespace netmode::rtnl

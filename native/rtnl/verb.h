// Verb: what address, route, neighbor and rule ops have in common.
#pragma once

#include <linux/netlink.h>

#include <cstdint>

namespace netmode::rtnl {

// Add: EEXIST if it is there. Replace: made or changed. Delete: must be there.
enum class Verb { kAdd, kReplace, kDelete };
enum class Scope : std::uint8_t { kGlobal = 0, kLink = 253, kHost = 254 };  // RT_SCOPE_*

// Whether an errno says that what was to be deleted is not there (ENODEV, ENOENT, ESRCH, EADDRNOTAVAIL).
[[nodiscard]] bool MeansMissing(int code);

// The netlink flags of a verb.
[[nodiscard]] constexpr std::uint16_t FlagsOf(Verb verb) {
  switch (verb) {
    case Verb::kAdd:
      return NLM_F_CREATE | NLM_F_EXCL;
    case Verb::kReplace:
      return NLM_F_CREATE | NLM_F_REPLACE;
    case Verb::kDelete:
      return 0;
  }
  return 0;
}

}  // namespace netmode::rtnl

// Names: how the rtnl encoders turn names of a plan (slots, links) into what the kernel wants (fds, interface indexes).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace netmode::rtnl {

// A link by name; a known index saves the look-up.
struct LinkRef {
  std::string name;
  std::optional<std::uint32_t> index;
};

class Names {
 public:
  virtual ~Names() = default;
  // The namespace behind a slot; the empty slot is the host. Stays owned by the plan.
  [[nodiscard]] virtual Result<int> NamespaceFd(const std::string &slot) = 0;
  // May send what is pending first, so that a link made earlier in the plan is found: resolve before Batch::Begin.
  [[nodiscard]] virtual Result<std::uint32_t> LinkIndex(const std::string &slot, const LinkRef &link) = 0;
  // The number (nsid) that a namespace which was just made is to have for that of another slot; nothing: whichever the kernel takes.
  // Asked once.
  [[nodiscard]] virtual std::optional<std::uint32_t> NumberFor(const std::string &, const std::string &) { return std::nullopt; }
};

}  // namespace netmode::rtnl

// Attributes: bounds-checked reading of a run of netlink attributes. Nothing past the span is ever touched, whatever the
// lengths say.
#pragma once

#include <linux/netlink.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "netlink/batch.h"

namespace netmode::netlink {

struct Attribute {
  std::uint16_t type = 0;  // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
  Bytes value;

  // The integer, or nothing if the attribute is shorter.
  template <class Integer>
  [[nodiscard]] std::optional<Integer> As() const {
    if (value.size() < sizeof(Integer)) return std::nullopt;
    Integer integer;
    std::memcpy(&integer, value.data(), sizeof integer);
    return integer;
  }
  // The text up to the first NUL or the end.
  [[nodiscard]] std::string_view Text() const;
};

// Calls `visit` for each attribute; answers whether the run was well formed to its end.
template <class Visit>
[[nodiscard]] bool ForEachAttribute(Bytes run, Visit visit) {
  while (run.size() >= sizeof(nlattr)) {
    nlattr header;
    std::memcpy(&header, run.data(), sizeof header);
    if (header.nla_len < sizeof header || header.nla_len > run.size()) return false;
    visit(Attribute{.type = static_cast<std::uint16_t>(header.nla_type & NLA_TYPE_MASK),
                    .value = run.subspan(sizeof header, header.nla_len - sizeof header)});
    run = run.subspan(std::min<std::size_t>(NLA_ALIGN(header.nla_len), run.size()));
  }
  return run.empty();
}

}  // namespace netmode::netlink

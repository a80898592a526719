// List: reading tables and set elements back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "netlink/socket.h"
#include "nft/verb.h"

namespace netmode::nft {

struct TableEntry {
  std::string name{};
  std::uint64_t handle = 0;
  std::uint32_t flags = 0;  // NFT_TABLE_F_*
  std::optional<std::string> comment{};
};

struct ElementCounter {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};

struct ElementEntry {
  std::vector<Field> key{};
  std::vector<Field> end{};   // interval sets
  std::vector<Field> data{};  // maps
  std::optional<std::string> comment{};
  std::optional<ElementCounter> counter{};  // where the set counts
};

// What one element has counted, by its key in words.
struct ElementCount {
  std::string key{};
  ElementCounter counter{};
};

struct Listing {
  bool of_set = false;  // asked for elements, not tables
  bool of_counts = false;
  std::vector<ElementCount> counts{};  // those that have counted something
  std::vector<TableEntry> tables{};
  std::vector<ElementEntry> elements{};
};

// One consistent picture: starts over while others commit in between, up to 16 times, then EINTR. A missing table or set is
// ENOENT. Needs no libnftnl.
[[nodiscard]] Result<Listing> List(netlink::Socket &socket, const ListVerb &verb);

}  // namespace netmode::nft

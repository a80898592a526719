// What nf_tables and conntrack answer. The readers of tables, sets and flows are known to their files only, hence these includes; the
// first byte of an input chooses the shape of the set.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "conntrack/flush.cc"
#include "netlink/reply.h"
#include "nft/list.cc"
#include "nft/list_rules.h"

using namespace netmode;

namespace {

// The key and data types of sets of ours, as nft numbers them (datum.cc), and what is none of ours.
constexpr std::array<nft::Shape, 6> kShapes{{
    {.key_type = 7, .data_type = 0, .flags = 0},
    {.key_type = 7, .data_type = 8, .flags = NFT_SET_INTERVAL},
    {.key_type = 12 << 12 | 13 << 6 | 7, .data_type = 7 << 6 | 13, .flags = NFT_SET_MAP},
    {.key_type = 41 << 12 | 9 << 6 | 8, .data_type = 0, .flags = NFT_SET_CONCAT | NFT_SET_INTERVAL},
    {.key_type = 12 << 6 | 13, .data_type = 19, .flags = 0},
    {.key_type = 63, .data_type = 62, .flags = NFT_SET_INTERVAL},
}};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  if (size == 0) return 0;
  const nft::Shape &shape = kShapes[data[0] % kShapes.size()];
  const netlink::Bytes datagram = std::as_bytes(std::span(data + 1, size - 1));
  std::vector<nft::ChainEntry> chains;
  std::vector<nft::RuleEntry> rules;
  std::vector<nft::TableEntry> tables;
  std::vector<nft::RawElement> elements;
  netlink::ForEachMessage(datagram, [&](const nlmsghdr &, const netlink::Message &message) {
    static_cast<void>(nft::ReadChain(message, chains));
    static_cast<void>(nft::ReadRule(message, rules));
    static_cast<void>(nft::ReadTable(message, nft::Family::kInet, tables));
    static_cast<void>(nft::ReadElements(message, elements));
    for (const std::uint8_t family : {AF_INET, AF_INET6}) {
      const conntrack::Wanted wanted{.family = family, .protocol = IPPROTO_UDP, .port = htons(53), .address = {}};
      static_cast<void>(conntrack::ParseFlow(message.payload, wanted));
    }
  });
  static_cast<void>(nft::Present(std::move(elements), shape));
  for (const nft::ChainEntry &chain : chains) {
    static_cast<void>(nft::FamilyName(chain.family));
    if (chain.base) static_cast<void>(nft::HookName(chain.family, chain.base->hook));
  }
  return 0;
}

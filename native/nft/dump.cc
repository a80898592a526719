#include "nft/dump.h"

namespace netmode::nft {

std::optional<netlink::Bytes> AttributesOf(const netlink::Message &message, std::uint16_t type) {
  if (message.type != MessageType(type) || message.payload.size() < sizeof(nfgenmsg)) return std::nullopt;
  return message.payload.subspan(sizeof(nfgenmsg));
}

Result<void> Malformed(const char *what) { return Fail(EBADMSG, "nft.list", std::string("the kernel's answer is malformed: ") + what); }

Result<std::uint32_t> Generation(netlink::Socket &socket) {
  netlink::Batch request;
  request.Begin(MessageType(NFT_MSG_GETGEN), 0, nfgenmsg{}, 0);
  request.End();
  std::uint32_t generation = 0;
  auto got = Get(socket, request, NFT_MSG_NEWGEN, [&](const netlink::Attribute &attribute) {
    if (attribute.type == NFTA_GEN_ID) generation = NetworkU32(attribute);
  });
  if (!got) return std::unexpected(std::move(got.error()));
  return generation;
}

}  // namespace netmode::nft

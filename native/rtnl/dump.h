// Dump: the frame that the lists of all kernel objects share.
#pragma once

#include <optional>
#include <vector>

#include "netlink/batch.h"
#include "netlink/socket.h"

namespace netmode::rtnl {

// Runs a dump and appends what `parse` makes of each payload to `found`; what it does not understand, or what `wanted` refuses,
// is left out. After an error `found` is as before.
template <class T, class Parse, class Wanted>
[[nodiscard]] Result<void> DumpInto(netlink::Socket &socket, netlink::Batch &request, std::vector<T> &found, Parse parse, Wanted wanted,
                                    netlink::WhenDisturbed when = netlink::WhenDisturbed::kFail) {
  const std::size_t before = found.size();
  const auto forget = [&] { found.resize(before); };
  Result<void> dumped = socket.Dump(
      request,
      [&](const netlink::Message &message) -> Result<void> {
        std::optional<T> object = parse(message.payload);
        if (object && wanted(*object)) found.push_back(std::move(*object));
        return {};
      },
      forget, when);
  if (!dumped) forget();
  return dumped;
}

// The fixed header at the start of a payload; nothing if the payload is shorter. `rest` becomes the attributes.
template <class Header>
[[nodiscard]] std::optional<Header> TakeHeader(netlink::Bytes payload, netlink::Bytes &rest) {
  if (payload.size() < sizeof(Header)) return std::nullopt;
  Header header;
  std::memcpy(&header, payload.data(), sizeof header);
  rest = payload.subspan(std::min<std::size_t>(NLMSG_ALIGN(sizeof header), payload.size()));
  return header;
}

}  // namespace netmode::rtnl

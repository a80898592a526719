// Loss: what goes away in the host's namespace, and in those that it is linked with: the signs that something was taken from us.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/socket.h"

namespace netmode::watch {

// Something of a link went, or the link itself.
struct Loss {
  std::string what{};       // link, down, port (it left its bridge), name (it has another), address, route; namespace: `nsid` is free
  std::uint32_t index = 0;  // the link's; 0: none
  std::optional<std::int32_t> nsid{};  // where it happened, as the host calls it; nothing: the host
  std::string name{};                  // of a link that went or is down
  std::string alias{};

  bool operator==(const Loss &) const = default;
};

// A socket in the calling thread's namespace that hears of losses alone. A filter in the kernel drops all else, so that what is made
// wakes nobody. Of the namespaces at the other ends of links it hears with CAP_NET_BROADCAST; without, of the host's only.
[[nodiscard]] Result<UniqueFd> SubscribeToLosses(int receive_buffer);
// The loss that a message of such a socket tells of; nothing for what can't be read.
[[nodiscard]] std::optional<Loss> ParseLoss(const netlink::Message &message);

}  // namespace netmode::watch

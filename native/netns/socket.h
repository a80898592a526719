// Sockets made in a namespace, to be handed to Node: they belong to where they were made, whoever uses them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netmode::netns {

struct SocketRequest {
  enum class Type : std::uint8_t { kStream, kDatagram };
  int family = 4;  // 4 or 6
  Type type = Type::kStream;
  // IP literal to bind to, `fe80::1%eth0` for a link-local one. Absent with a port: the wildcard. Absent without one: not bound.
  std::optional<std::string> address = std::nullopt;
  std::optional<std::uint16_t> port = std::nullopt;  // 0 or absent with an address: a free one
  std::optional<int> backlog = std::nullopt;         // streams only: listen
  bool ipv6_only = false;                            // family 6 only: refuse IPv4 through mapped addresses
  bool free_bind = false;                            // the address need not be there yet
};

// In the calling thread's namespace; non-blocking and close-on-exec. A bound stream socket gets SO_REUSEADDR as Node's do.
[[nodiscard]] Result<UniqueFd> OpenSocket(const SocketRequest &request);

}  // namespace netmode::netns

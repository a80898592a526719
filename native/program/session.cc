#include "program/session.h"

#include <algorithm>

namespace netmode::program {

Result<netlink::Socket> Session::Take(int protocol) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(kept_, protocol, &Kept::protocol);
    if (found != kept_.end()) {
      netlink::Socket socket = std::move(found->socket);
      kept_.erase(found);
      return socket;
    }
  }
  return netlink::Socket::Open(protocol);
}

void Session::GiveBack(int protocol, netlink::Socket socket) {
  const std::lock_guard lock(mutex_);
  kept_.push_back({.protocol = protocol, .socket = std::move(socket)});
}

}  // namespace netmode::program

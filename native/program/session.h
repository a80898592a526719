// Session: the host namespace that plans work from, with the sockets that are kept open in it.
#pragma once

#include <mutex>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/socket.h"

namespace netmode::program {

class Session {
 public:
  explicit Session(UniqueFd home) : home_(std::move(home)) {}

  [[nodiscard]] int Home() const noexcept { return home_.Get(); }

  // Takes a kept socket of the protocol, or opens one: the calling thread must be in the host namespace. Give it back after use.
  [[nodiscard]] Result<netlink::Socket> Take(int protocol);
  void GiveBack(int protocol, netlink::Socket socket);

 private:
  struct Kept {
    int protocol;
    netlink::Socket socket;
  };

  UniqueFd home_;
  std::mutex mutex_;
  std::vector<Kept> kept_;
};

}  // namespace netmode::program

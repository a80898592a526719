// Session: the host namespace that plans work from, with the sockets that are kept open in it, and the namespace that is made ahead
// of the plan that will name it.
#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/socket.h"
#include "program/fresh.h"
#include "program/reserve.h"

namespace netmode::program {

class Session {
 public:
  explicit Session(UniqueFd home) : home_(std::move(home)) {}

  [[nodiscard]] int Home() const noexcept { return home_.Get(); }

  // Takes a kept socket of the protocol, or opens one: the calling thread must be in the host namespace. Give it back after use.
  [[nodiscard]] Result<netlink::Socket> Take(int protocol);
  void GiveBack(int protocol, netlink::Socket socket);

  // What plans leave for later ones.
  [[nodiscard]] Reserve &Kept() noexcept { return reserve_; }

  // To make a namespace takes the kernel about as long as all that has to be done before it is needed, so the two may overlap. One at
  // a time: Order() says what it is to be like (false: one is ordered already), MakeOrdered() makes it on a thread of the pool,
  // TakeOrdered() waits for it. Nothing where none of that likeness is ordered or it could not be made.
  [[nodiscard]] bool Order(netns::NetnsCreate like);
  void MakeOrdered();
  [[nodiscard]] std::optional<Fresh> TakeOrdered(const netns::NetnsCreate &op);
  // No plan will come for it.
  void CancelOrder();
  // It will never be made.
  void FailOrder();

 private:
  struct KeptSocket {
    int protocol;
    netlink::Socket socket;
  };

  UniqueFd home_;
  std::mutex mutex_;
  std::vector<KeptSocket> kept_;
  Reserve reserve_;
  std::optional<netns::NetnsCreate> ordered_;
  std::optional<Fresh> ready_;
  bool unwanted_ = false;
  std::condition_variable made_;
};

}  // namespace netmode::program

// Session: the host namespace that plans work from, with the sockets and the folders that are kept open, and the namespace that is made
// ahead of the plan that will name it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <string>
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
  // Ready when nobody has the session any more, and all that it kept is closed.
  [[nodiscard]] std::shared_future<void> Gone() { return end_.gone.get_future().share(); }

  // Nobody waits for what its plans do any more: those that wait for somebody else's lock give up.
  void Leave() noexcept { leaving_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool Leaving() const noexcept { return leaving_.load(std::memory_order_relaxed); }

  // Takes a kept socket of the protocol, if there is one. Give it, or one that was opened in the host namespace, back after use.
  [[nodiscard]] std::optional<netlink::Socket> Take(int protocol);
  void GiveBack(int protocol, netlink::Socket socket);

  // Takes a kept descriptor of a folder, if there is one. Give it back without its lock.
  [[nodiscard]] UniqueFd TakeFolder(const std::string &path);
  void GiveBackFolder(const std::string &path, UniqueFd folder);

  // Keeps a descriptor that somebody is to have until Adopt(): whoever was told of it may be gone before he does anything with it.
  [[nodiscard]] int HandOut(UniqueFd fd);
  // It is the caller's from now on; false: it is not kept here.
  [[nodiscard]] bool Adopt(int fd);

  // A number for a namespace that was made, lower than those that others of ours have (rtnl/nsid.h), if there is one. `rtnl`: a socket of
  // the host's.
  [[nodiscard]] Result<std::optional<std::uint32_t>> NextNumber(netlink::Socket &rtnl);

  // What plans leave for later ones.
  [[nodiscard]] Reserve &Kept() noexcept { return reserve_; }

  // For the settings of namespaces that are made.
  [[nodiscard]] netns::SysctlView &Sysctls() noexcept { return sysctls_; }

  // To make a namespace takes the kernel about as long as all that has to be done before it is needed, so the two may overlap. One at
  // a time: Order() says what it is to be like (false: one is ordered already), MakeOrdered() makes it on a thread of the pool. A plan
  // waits for it with TakeOrdered() (nothing where none of that likeness is ordered or it could not be made), or leaves with
  // FollowOrdered() what its maker is to do next (false: nobody is about to make one of that likeness).
  [[nodiscard]] bool Order(netns::NetnsCreate like);
  void MakeOrdered();
  [[nodiscard]] std::optional<Fresh> TakeOrdered(const netns::NetnsCreate &op);
  // The same where it is made already.
  [[nodiscard]] std::optional<Fresh> TakeMade(const netns::NetnsCreate &op);
  [[nodiscard]] bool FollowOrdered(const netns::NetnsCreate &op, std::function<void(Result<Fresh>)> next);
  // No plan will come for it, or it will never be made.
  void CancelOrder();

 private:
  struct KeptSocket {
    int protocol;
    netlink::Socket socket;
  };

  // Ahead of all else, so that it goes last.
  struct End {
    std::promise<void> gone;
    End() = default;
    End(const End &) = delete;
    End &operator=(const End &) = delete;
    ~End() { gone.set_value(); }
  };

  End end_;
  UniqueFd home_;
  std::atomic<bool> leaving_ = false;
  std::mutex mutex_;
  std::vector<KeptSocket> kept_;
  std::map<int, UniqueFd> handed_out_;
  std::multimap<std::string, UniqueFd> folders_;
  std::optional<std::uint32_t> number_;  // the lowest that was given
  Reserve reserve_;
  netns::SysctlView sysctls_;
  // Ordered, taken up by a thread, made; then taken by a plan, and all is as before.
  enum class Stage { kNone, kOrdered, kMaking, kMade };
  Stage stage_ = Stage::kNone;
  netns::NetnsCreate like_;
  std::optional<Fresh> ready_;
  std::function<void(Result<Fresh>)> next_;
  bool unwanted_ = false;
  std::condition_variable made_;
};

}  // namespace netmode::program

#include "watch/subscribe.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <utility>

namespace netmode::watch {

Result<UniqueFd> Subscribe(int protocol, const std::vector<std::uint32_t> &groups, int size) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!fd.Valid()) return FailErrno("socket");
  if (setsockopt(fd.Get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0) {
    static_cast<void>(setsockopt(fd.Get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size));
  }
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (bind(fd.Get(), reinterpret_cast<sockaddr *>(&address), sizeof address) < 0) return FailErrno("bind");
  if (auto joined = Join(fd.Get(), groups); !joined) return std::unexpected(std::move(joined.error()));
  return fd;
}

Result<void> Join(int fd, const std::vector<std::uint32_t> &groups) {
  for (const std::uint32_t group : groups) {
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
      return FailErrno("setsockopt", "NETLINK_ADD_MEMBERSHIP");
    }
  }
  return {};
}

}  // namespace netmode::watch

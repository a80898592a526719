#include "netns/socket.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace netmode::netns {

namespace {

struct BindAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

[[nodiscard]] Result<BindAddress> Parse(const SocketRequest &request) {
  BindAddress address;
  const std::uint16_t port = htons(request.port.value_or(0));
  if (request.family == 4) {
    auto &four = reinterpret_cast<sockaddr_in &>(address.storage);
    four.sin_family = AF_INET;
    four.sin_port = port;
    address.length = sizeof four;
    if (request.address && inet_pton(AF_INET, request.address->c_str(), &four.sin_addr) != 1) return Fail(EINVAL, "bind", *request.address);
    return address;
  }
  auto &six = reinterpret_cast<sockaddr_in6 &>(address.storage);
  six.sin6_family = AF_INET6;
  six.sin6_port = port;
  address.length = sizeof six;
  if (!request.address) return address;
  const std::size_t percent = request.address->find('%');
  if (inet_pton(AF_INET6, request.address->substr(0, percent).c_str(), &six.sin6_addr) != 1) return Fail(EINVAL, "bind", *request.address);
  if (percent != std::string::npos) {
    six.sin6_scope_id = if_nametoindex(request.address->c_str() + percent + 1);
    if (six.sin6_scope_id == 0) return FailErrno("bind", *request.address);
  }
  return address;
}

[[nodiscard]] Result<void> Bind(int fd, const SocketRequest &request) {
  const auto address = Parse(request);
  if (!address) return std::unexpected(address.error());
  const int on = 1;
  if (request.type == SocketRequest::Type::kStream && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return FailErrno("setsockopt", "SO_REUSEADDR");
  }
  const bool four = request.family == 4;
  if (request.free_bind && setsockopt(fd, four ? IPPROTO_IP : IPPROTO_IPV6, four ? IP_FREEBIND : IPV6_FREEBIND, &on, sizeof on) != 0) {
    return FailErrno("setsockopt", "FREEBIND");
  }
  if (bind(fd, reinterpret_cast<const sockaddr *>(&address->storage), address->length) != 0) {
    return FailErrno(
        "bind", request.address.value_or(request.family == 4 ? "0.0.0.0" : "::") + " port " + std::to_string(request.port.value_or(0)));
  }
  return {};
}

}  // namespace

Result<UniqueFd> OpenSocket(const SocketRequest &request) {
  if (request.family != 4 && request.family != 6) return Fail(EAFNOSUPPORT, "socket", std::to_string(request.family));
  const int type = request.type == SocketRequest::Type::kStream ? SOCK_STREAM : SOCK_DGRAM;
  UniqueFd fd(socket(request.family == 4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.Valid()) return FailErrno("socket");
  if (request.family == 6) {
    // Said either way: the default is a sysctl.
    const int only = request.ipv6_only ? 1 : 0;
    if (setsockopt(fd.Get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) != 0) return FailErrno("setsockopt", "IPV6_V6ONLY");
  }
  if (request.address || request.port) {
    if (auto bound = Bind(fd.Get(), request); !bound) return std::unexpected(std::move(bound).error());
  }
  if (request.backlog && listen(fd.Get(), *request.backlog) != 0) return FailErrno("listen");
  return fd;
}

}  // namespace netmode::netns

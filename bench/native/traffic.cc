#include "traffic.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <vector>

#include "bare_crowd.h"
#include "base/unique_fd.h"

namespace netmode::bench {

namespace {

constexpr std::size_t kChunk = 128 * 1024;
constexpr int kBacklog = 4096;

struct Server {
  UniqueFd fd;
  bool refuse;
};

void Swallow(int client) {
  std::vector<char> room(kChunk);
  while (recv(client, room.data(), room.size(), 0) > 0) {
  }
}

void Echo(int client) {
  char byte = 0;
  while (recv(client, &byte, 1, 0) == 1 && send(client, &byte, 1, MSG_NOSIGNAL) == 1) {
  }
}

void *Accept(void *argument) {
  const std::unique_ptr<Server> server(static_cast<Server *>(argument));
  while (true) {
    const UniqueFd client(accept4(server->fd.Get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.Valid() || server->refuse) continue;
    const int on = 1;
    setsockopt(client.Get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    char wish = 0;
    if (recv(client.Get(), &wish, 1, 0) != 1) continue;
    if (wish == static_cast<char>(Wish::kEcho)) Echo(client.Get());
    if (wish == static_cast<char>(Wish::kSink)) Swallow(client.Get());
  }
  return nullptr;
}

[[nodiscard]] Result<sockaddr_in> AddressOf(const std::string &address, std::uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  if (inet_pton(AF_INET, address.c_str(), &to.sin_addr) != 1) return Fail(EINVAL, "address", address);
  return to;
}

[[nodiscard]] Result<UniqueFd> Reach(const sockaddr_in &to) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.Valid()) return FailErrno("socket");
  if (connect(fd.Get(), reinterpret_cast<const sockaddr *>(&to), sizeof to) != 0) return FailErrno("connect");
  return fd;
}

[[nodiscard]] Result<UniqueFd> Begin(const std::string &address, std::uint16_t port, Wish wish) {
  auto to = AddressOf(address, port);
  if (!to) return std::unexpected(to.error());
  auto fd = Reach(*to);
  if (!fd) return fd;
  const int on = 1;
  setsockopt(fd->Get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (send(fd->Get(), &wish, 1, MSG_NOSIGNAL) != 1) return FailErrno("send");
  return fd;
}

}  // namespace

Result<void> Serve(std::uint16_t port, bool refuse) {
  auto server = std::make_unique<Server>(UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), refuse);
  auto any = AddressOf("0.0.0.0", port);
  if (!any) return std::unexpected(any.error());
  const int on = 1;
  setsockopt(server->fd.Get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(server->fd.Get(), reinterpret_cast<const sockaddr *>(&*any), sizeof *any) != 0) return FailErrno("bind");
  if (listen(server->fd.Get(), kBacklog) != 0) return FailErrno("listen");
  pthread_t thread{};
  if (const int error = pthread_create(&thread, nullptr, Accept, server.get()); error != 0) return Fail(error, "pthread_create");
  static_cast<void>(server.release());  // the thread's
  pthread_detach(thread);
  return {};
}

Result<std::int64_t> Connect(const std::string &address, std::uint16_t port, std::uint32_t count) {
  auto to = AddressOf(address, port);
  if (!to) return std::unexpected(to.error());
  // A reset leaves nothing behind: no port waits to be used again.
  const linger reset{.l_onoff = 1, .l_linger = 0};
  const std::int64_t start = Now();
  for (std::uint32_t i = 0; i < count; ++i) {
    auto fd = Reach(*to);
    if (!fd) return std::unexpected(fd.error());
    setsockopt(fd->Get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  return Now() - start;
}

Result<std::int64_t> Stream(const std::string &address, std::uint16_t port, std::uint32_t milliseconds) {
  auto fd = Begin(address, port, Wish::kSink);
  if (!fd) return std::unexpected(fd.error());
  const std::vector<char> chunk(kChunk);
  std::int64_t sent = 0;
  const std::int64_t start = Now();
  while (Now() - start < milliseconds * 1'000'000LL) {
    const ssize_t size = send(fd->Get(), chunk.data(), chunk.size(), MSG_NOSIGNAL);
    if (size < 0) return FailErrno("send");
    sent += size;
  }
  // All of it has come when the server closes.
  shutdown(fd->Get(), SHUT_WR);
  char none = 0;
  while (recv(fd->Get(), &none, 1, 0) > 0) {
  }
  return static_cast<std::int64_t>(static_cast<double>(sent) * 1e9 / static_cast<double>(Now() - start));
}

Result<std::int64_t> RoundTrips(const std::string &address, std::uint16_t port, std::uint32_t count) {
  auto fd = Begin(address, port, Wish::kEcho);
  if (!fd) return std::unexpected(fd.error());
  char byte = '.';
  const std::int64_t start = Now();
  for (std::uint32_t i = 0; i < count; ++i) {
    if (send(fd->Get(), &byte, 1, MSG_NOSIGNAL) != 1) return FailErrno("send");
    if (recv(fd->Get(), &byte, 1, 0) != 1) return FailErrno("recv");
  }
  return Now() - start;
}

}  // namespace netmode::bench

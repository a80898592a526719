#include "state/holder.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <climits>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/unique_fd.h"
#include "netlink/batch.h"
#include "netlink/socket.h"

namespace netmode::state {

namespace {

constexpr std::uint32_t kAllStates = ~0U;
constexpr std::uint32_t kListening = 1U << 10;  // TCP_LISTEN, SCTP's likewise

struct DirectoryCloser {
  void operator()(DIR *directory) const { closedir(directory); }
};
using Directory = std::unique_ptr<DIR, DirectoryCloser>;

// The 16 bytes by which sock_diag and we compare: an IPv4 address as ::ffff:a.b.c.d.
[[nodiscard]] in6_addr AsSix(std::uint32_t four) {
  in6_addr six{};
  six.s6_addr[10] = six.s6_addr[11] = 0xff;
  std::memcpy(&six.s6_addr[12], &four, sizeof four);
  return six;
}

[[nodiscard]] bool IsAny(const in6_addr &address) {
  return IN6_IS_ADDR_UNSPECIFIED(&address) ||
         (IN6_IS_ADDR_V4MAPPED(&address) && std::all_of(&address.s6_addr[12], &address.s6_addr[16], [](auto byte) { return byte == 0; }));
}

struct Wanted {
  bool four;
  in6_addr address;
};

// Whether a socket bound to `bound` is in the way. `six_only` is what it was asked to be, or unknown.
[[nodiscard]] bool InTheWay(const Wanted &wanted, std::uint8_t family, const in6_addr &bound, bool six_only) {
  if (wanted.four && family == AF_INET6) {
    if (six_only) return false;
    if (IN6_IS_ADDR_UNSPECIFIED(&bound)) return true;
    if (!IN6_IS_ADDR_V4MAPPED(&bound)) return false;
  }
  return IsAny(wanted.address) || IsAny(bound) || std::memcmp(&bound, &wanted.address, sizeof bound) == 0;
}

void Collect(const Wanted &wanted, const netlink::Message &message, std::vector<std::uint32_t> &inodes) {
  inet_diag_msg socket;
  if (message.payload.size() < sizeof socket) return;
  std::memcpy(&socket, message.payload.data(), sizeof socket);
  bool six_only = false;
  static_cast<void>(
      netlink::ForEachAttribute(message.payload.subspan(NLMSG_ALIGN(sizeof socket)), [&](const netlink::Attribute &attribute) {
        if (attribute.type == INET_DIAG_SKV6ONLY) six_only = attribute.As<std::uint8_t>().value_or(0) != 0;
      }));
  in6_addr bound;
  if (socket.idiag_family == AF_INET) {
    bound = AsSix(socket.id.idiag_src[0]);
  } else {
    std::memcpy(&bound, socket.id.idiag_src, sizeof bound);
  }
  if (InTheWay(wanted, socket.idiag_family, bound, six_only)) inodes.push_back(socket.idiag_inode);
}

// "socket:[1234]" to 1234.
[[nodiscard]] std::optional<std::uint32_t> SocketInode(std::string_view link) {
  constexpr std::string_view kPrefix = "socket:[";
  if (!link.starts_with(kPrefix)) return std::nullopt;
  link.remove_prefix(kPrefix.size());
  std::uint32_t inode = 0;
  if (std::from_chars(link.data(), link.data() + link.size(), inode).ec != std::errc{}) return std::nullopt;
  return inode;
}

[[nodiscard]] bool ProcessHolds(int process, const std::vector<std::uint32_t> &inodes) {
  UniqueFd fd(openat(process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.Valid()) return false;
  const Directory fds(fdopendir(fd.Get()));
  if (!fds) return false;
  const int folder = fd.Release();
  while (const dirent *entry = readdir(fds.get())) {
    std::array<char, 64> link;
    const ssize_t length = readlinkat(folder, entry->d_name, link.data(), link.size());
    if (length <= 0) continue;
    const auto inode = SocketInode({link.data(), static_cast<std::size_t>(length)});
    if (inode && std::ranges::find(inodes, *inode) != inodes.end()) return true;
  }
  return false;
}

[[nodiscard]] std::string ProcessName(int process) {
  const UniqueFd comm(openat(process, "comm", O_RDONLY | O_CLOEXEC));
  std::array<char, 64> text;
  const ssize_t length = comm.Valid() ? read(comm.Get(), text.data(), text.size()) : 0;
  std::string name(text.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  if (name.ends_with('\n')) name.pop_back();
  return name;
}

}  // namespace

Result<std::vector<std::uint32_t>> SocketsInTheWay(int ip_protocol, const sockaddr_storage &address) {
  Wanted wanted{.four = address.ss_family == AF_INET, .address = {}};
  if (wanted.four) {
    wanted.address = AsSix(reinterpret_cast<const sockaddr_in &>(address).sin_addr.s_addr);
  } else {
    wanted.address = reinterpret_cast<const sockaddr_in6 &>(address).sin6_addr;
  }
  auto socket = netlink::Socket::Open(NETLINK_SOCK_DIAG);
  if (!socket) return std::unexpected(std::move(socket).error());

  std::vector<std::uint32_t> inodes;
  inet_diag_req_v2 request{};
  request.sdiag_protocol = static_cast<std::uint8_t>(ip_protocol);
  request.idiag_states = ip_protocol == IPPROTO_UDP ? kAllStates : kListening;
  // One place for both families of address.
  request.id.idiag_sport = reinterpret_cast<const sockaddr_in &>(address).sin_port;
  for (const std::uint8_t family : {AF_INET, AF_INET6}) {
    if (family == AF_INET && !wanted.four) continue;  // an IPv6 server of ours would be IPv6 only
    request.sdiag_family = family;
    netlink::Batch batch;
    batch.Begin(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, request, 0);
    batch.End();
    const std::size_t before = inodes.size();
    auto dumped = socket->Dump(
        batch,
        [&](const netlink::Message &message) -> Result<void> {
          Collect(wanted, message, inodes);
          return {};
        },
        [&] { inodes.resize(before); });
    if (!dumped) return std::unexpected(std::move(dumped).error());
  }
  return inodes;
}

std::string DescribeHolder(const std::vector<std::uint32_t> &inodes) {
  constexpr char kOutOfSight[] = "a socket of the kernel or of a process out of sight";
  const Directory processes(opendir("/proc"));
  if (!processes) return kOutOfSight;
  while (const dirent *entry = readdir(processes.get())) {
    const char *name = entry->d_name;
    if (!std::all_of(name, name + std::strlen(name), [](char c) { return c >= '0' && c <= '9'; })) continue;
    const UniqueFd process(openat(dirfd(processes.get()), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!process.Valid() || !ProcessHolds(process.Get(), inodes)) continue;
    return std::string("process ") + name + " (" + ProcessName(process.Get()) + ")";
  }
  return kOutOfSight;
}

}  // namespace netmode::state

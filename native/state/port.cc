#include "state/port.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/unique_fd.h"
#include "state/folder.h"
#include "state/holder.h"

namespace netmode::state {

namespace {

constexpr mode_t kFolderMode = 0755;

// What an op's protocol, address and port come to.
struct Endpoint {
  int protocol = 0;  // IPPROTO_*
  sockaddr_storage address{};
  socklen_t address_length = 0;
  std::string folder;         // "tcp-80"
  std::string file;           // canonical address
  std::string_view wildcard;  // of its family
  [[nodiscard]] bool IsWildcard() const { return file == wildcard; }
  [[nodiscard]] bool IsSixth() const { return address.ss_family == AF_INET6; }
};

template <class Op>
[[nodiscard]] Result<Endpoint> Resolve(const Op &op) {
  struct Named {
    const char *name;
    int protocol;
  };
  constexpr std::array<Named, 3> kProtocols{{{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"sctp", IPPROTO_SCTP}}};
  const Named &named = kProtocols[static_cast<std::size_t>(op.protocol)];

  Endpoint endpoint;
  endpoint.protocol = named.protocol;
  endpoint.folder = std::string(named.name) + "-" + std::to_string(op.port);
  std::array<char, INET6_ADDRSTRLEN> text;
  auto *four = reinterpret_cast<sockaddr_in *>(&endpoint.address);
  auto *six = reinterpret_cast<sockaddr_in6 *>(&endpoint.address);
  if (inet_pton(AF_INET, op.address.c_str(), &four->sin_addr) == 1) {
    four->sin_family = AF_INET;
    four->sin_port = htons(op.port);
    endpoint.address_length = sizeof *four;
    endpoint.file = op.address;  // inet_pton takes one spelling of an IPv4 address only
    endpoint.wildcard = "0.0.0.0";
  } else if (inet_pton(AF_INET6, op.address.c_str(), &six->sin6_addr) == 1) {
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(op.port);
    endpoint.address_length = sizeof *six;
    endpoint.file = inet_ntop(AF_INET6, &six->sin6_addr, text.data(), text.size());
    endpoint.wildcard = "::";
  } else {
    return Fail(EINVAL, "port", op.address + ": not an IP address");
  }
  if (op.port == 0) return Fail(EINVAL, "port", "0");
  return endpoint;
}

// The folder of all ports, locked for as long as the object lives.
class Ports {
 public:
  explicit Ports(UniqueFd folder) noexcept : folder_(std::move(folder)) {}
  Ports(Ports &&) = default;
  Ports &operator=(Ports &&) = delete;
  Ports(const Ports &) = delete;
  Ports &operator=(const Ports &) = delete;
  ~Ports() {
    if (folder_.Valid()) Drop(std::move(folder_));
  }

  [[nodiscard]] int Get() const noexcept { return folder_.Get(); }

 private:
  UniqueFd folder_;
};

// Opens the folder and takes its lock. It is never removed, hence no second look at the path.
[[nodiscard]] Result<Ports> LockPorts(const std::string &path, bool ensure) {
  UniqueFd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.Valid() && errno == ENOENT && ensure) {
    if (mkdir(path.c_str(), kFolderMode) != 0 && errno != EEXIST) return FailErrno("mkdir", path);
    folder.Reset(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  if (!folder.Valid()) return FailErrno("open", path);
  while (flock(folder.Get(), LOCK_EX) != 0) {
    if (errno != EINTR) return FailErrno("flock", path);
  }
  return Ports(std::move(folder));
}

[[nodiscard]] std::optional<std::string> HolderOf(int folder, const std::string &claim) {
  std::array<char, PATH_MAX> target;
  const ssize_t length = readlinkat(folder, claim.c_str(), target.data(), target.size());
  if (length < 0) return std::nullopt;
  return std::string(target.data(), static_cast<std::size_t>(length));
}

// The path below the ports folder of some claim of the endpoint's family.
[[nodiscard]] Result<std::optional<std::string>> AnyClaim(int ports, const Endpoint &endpoint) {
  const UniqueFd folder(openat(ports, endpoint.folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.Valid()) return FailErrno("open", endpoint.folder);
  alignas(dirent64) std::array<char, 1024> buffer;
  for (;;) {
    const ssize_t filled = getdents64(folder.Get(), buffer.data(), buffer.size());
    if (filled < 0) return FailErrno("getdents64", endpoint.folder);
    if (filled == 0) return std::nullopt;
    for (ssize_t at = 0; at < filled;) {
      const auto *entry = reinterpret_cast<const dirent64 *>(buffer.data() + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      const bool sixth = name.contains(':');
      if (name != "." && name != ".." && sixth == endpoint.IsSixth()) return endpoint.folder + "/" + entry->d_name;
    }
  }
}

// The claim that is in the way, as a path below the ports folder.
[[nodiscard]] Result<std::optional<std::string>> FindConflict(int ports, const Endpoint &endpoint) {
  if (endpoint.IsWildcard()) return AnyClaim(ports, endpoint);
  const std::string prefix = endpoint.folder + "/";
  for (const std::string &claim : {prefix + std::string(endpoint.wildcard), prefix + endpoint.file}) {
    struct stat existing;
    if (fstatat(ports, claim.c_str(), &existing, AT_SYMLINK_NOFOLLOW) == 0) return claim;
    if (errno != ENOENT) return FailErrno("stat", claim);
  }
  return std::nullopt;
}

// Whether the kernel would let a server have the endpoint. SO_REUSEADDR as every TCP server sets it: with it, what is left of
// closed connections is no hindrance. UDP goes without, there it would let two sockets share the port. Protocols and families
// that the kernel lacks cannot be held by anyone.
[[nodiscard]] Result<void> Probe(const Endpoint &endpoint) {
  const int type = endpoint.protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM;
  const UniqueFd probe(socket(endpoint.address.ss_family, type | SOCK_CLOEXEC, endpoint.protocol));
  if (!probe.Valid()) {
    if (errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT || errno == EAFNOSUPPORT) return {};
    return FailErrno("socket", endpoint.file);
  }
  const int on = 1;
  if (endpoint.protocol != IPPROTO_UDP) static_cast<void>(setsockopt(probe.Get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  if (endpoint.IsSixth() && setsockopt(probe.Get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
    return FailErrno("setsockopt", endpoint.file);
  if (bind(probe.Get(), reinterpret_cast<const sockaddr *>(&endpoint.address), endpoint.address_length) != 0) {
    return FailErrno("bind", endpoint.file);
  }
  return {};
}

// A failed bind, explained: success if nothing that serves is in the way after all. Without CAP_NET_BIND_SERVICE no bind of a low port
// tells anything, and this is the only look; what is published there needs no socket.
[[nodiscard]] Result<void> ExplainBusy(const Endpoint &endpoint, Error error) {
  const auto sockets = SocketsInTheWay(endpoint.protocol, endpoint.address);
  if (!sockets) return std::unexpected(std::move(error));  // no sock_diag here: busy is all that is known
  if (sockets->empty()) {
    // TCP: connections of clients that hold the port without SO_REUSEADDR. Their packets are theirs whatever is published.
    if (endpoint.protocol == IPPROTO_TCP || error.code == EACCES) return {};
    return std::unexpected(std::move(error));
  }
  error.code = EADDRINUSE;
  error.holder = DescribeHolder(*sockets);
  return std::unexpected(std::move(error));
}

// Under the lock: what is in the way, then the probe, then the claim. `busy` is a failed bind, to be explained without the lock.
[[nodiscard]] Result<void> ClaimLocked(int ports, const PortClaim &op, const Endpoint &endpoint, bool probe, bool &busy) {
  const bool fresh = mkdirat(ports, endpoint.folder.c_str(), kFolderMode) == 0;
  if (!fresh && errno != EEXIST) return FailErrno("mkdir", endpoint.folder);
  if (!fresh) {
    auto conflict = FindConflict(ports, endpoint);
    if (!conflict) return std::unexpected(std::move(conflict).error());
    if (*conflict) {
      auto failure = Fail(EADDRINUSE, "port.claim", **conflict);
      failure.error().holder = HolderOf(ports, **conflict).value_or("");
      return failure;
    }
  }
  Result<void> result;
  if (probe) {
    result = Probe(endpoint);
    busy = !result && (result.error().code == EADDRINUSE || result.error().code == EACCES);
  }
  const std::string claim = endpoint.folder + "/" + endpoint.file;
  if (result && symlinkat(op.holder.c_str(), ports, claim.c_str()) != 0) result = FailErrno("symlink", claim);
  if (!result && fresh) unlinkat(ports, endpoint.folder.c_str(), AT_REMOVEDIR);
  return result;
}

}  // namespace

Result<void> Run(const PortClaim &op) {
  const auto endpoint = Resolve(op);
  if (!endpoint) return std::unexpected(endpoint.error());
  bool busy = false;
  const auto attempt = [&](bool probe) -> Result<void> {
    const auto ports = LockPorts(op.folder, true);
    if (!ports) return std::unexpected(ports.error());
    return ClaimLocked(ports->Get(), op, *endpoint, probe, busy);
  };
  auto claimed = attempt(op.probe);
  if (!busy) return claimed;
  if (auto explained = ExplainBusy(*endpoint, std::move(claimed).error()); !explained) return explained;
  return attempt(false);
}

Result<void> Run(const PortRelease &op) {
  const auto endpoint = Resolve(op);
  if (!endpoint) return std::unexpected(endpoint.error());
  const auto ports = LockPorts(op.folder, false);
  if (!ports) {
    if (ports.error().code == ENOENT) return {};
    return std::unexpected(ports.error());
  }
  const std::string claim = endpoint->folder + "/" + endpoint->file;
  if (HolderOf(ports->Get(), claim) != op.holder) return {};
  if (unlinkat(ports->Get(), claim.c_str(), 0) != 0 && errno != ENOENT) return FailErrno("unlink", claim);
  // Others may hold the port on other addresses.
  if (unlinkat(ports->Get(), endpoint->folder.c_str(), AT_REMOVEDIR) != 0 && errno != ENOTEMPTY && errno != ENOENT) {
    auto failure = FailErrno("rmdir", endpoint->folder);
    // A failed release has released nothing.
    static_cast<void>(symlinkat(op.holder.c_str(), ports->Get(), claim.c_str()));
    return failure;
  }
  return {};
}

}  // namespace netmode::state

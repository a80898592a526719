// Network namespaces: made, opened, deleted and told apart. Always by descriptor, so that a name that changes hands in between
// is noticed.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netns/sysctl.h"

namespace netmode::netns {

// Makes a namespace that `ip netns` sees as `name`; without one nobody sees it, and it ends with whoever holds it.
struct NetnsCreate {
  std::optional<std::string> name;
  std::string slot;
  std::vector<Setting> settings = {};  // written before any link is in it; those that the kernel lacks are passed over
};

// Gives the namespace of a slot a name that `ip netns` sees.
struct NetnsAttach {
  std::string name;
  std::string slot;
};

// Opens a namespace: exactly one of path, pid and fd. With `inode` it must be that one. `missing_ok`: the slot stands for a
// namespace that is gone if there is none, and nothing is found in it.
struct NetnsOpen {
  std::string slot;
  std::optional<std::string> path = std::nullopt;
  std::optional<std::uint32_t> pid = std::nullopt;
  std::optional<std::int32_t> fd = std::nullopt;
  std::optional<std::uint64_t> inode = std::nullopt;
  bool missing_ok = false;
};

// Takes the name away, as `ip netns delete`; the namespace itself lives on for as long as something is in it. `missing_ok`
// also accepts that the name belongs to another namespace by now: that one is left alone.
struct NetnsDelete {
  std::string name;
  std::optional<std::uint64_t> inode = std::nullopt;
  bool missing_ok = false;
};

// Of the host if `ns` is empty.
struct NetnsIdentify {
  std::string ns;
};

struct Identity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::optional<std::uint64_t> cookie = std::nullopt;  // never reused until the next boot; kernels before 5.14 have none
};

// Error codes with a meaning of their own here.
inline constexpr int kNotANetns = ENOTSUP;         // what was opened is something else
inline constexpr int kOtherNetns = ESTALE;         // it is a network namespace, but not the one with that inode
inline constexpr int kStranded = ENOTRECOVERABLE;  // the thread could not get home; it must end, see Stranded() in visit.h

inline constexpr char kFolder[] = "/run/netns";

// The namespace of the calling thread.
[[nodiscard]] Result<UniqueFd> OpenCurrent();

// The one that a socket was made in.
[[nodiscard]] Result<UniqueFd> OfSocket(int socket);

// Makes a namespace that has no name yet, runs `inside` while the thread is still there (to open its sockets at no extra cost), and
// comes back to `home`. `inside` answers a descriptor of it, which is all that holds it.
[[nodiscard]] Result<UniqueFd> Make(int home, const std::function<Result<UniqueFd>()> &inside = OpenCurrent);

// As `ip netns attach`: binds an open namespace to a name. EEXIST: the name is taken.
[[nodiscard]] Result<void> Attach(const std::string &name, int fd);

// ENOENT: no such path. ESRCH: no such process. kNotANetns, kOtherNetns: see above. A path is looked at before it is opened, so
// that one that leads to a FIFO or a device neither blocks nor does anything.
[[nodiscard]] Result<UniqueFd> Open(const NetnsOpen &op);

// ENOENT: no such name. kOtherNetns: the name leads elsewhere by now.
[[nodiscard]] Result<void> Delete(const NetnsDelete &op);

// With a socket that was made in the namespace, whatever it is for: no need to go there.
[[nodiscard]] Result<Identity> Describe(int fd, int socket);

// Goes there and back for the cookie.
[[nodiscard]] Result<Identity> Identify(int fd, int home);

}  // namespace netmode::netns

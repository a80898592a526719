// Host ports: who published which one, known to all processes of this host namespace through files.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace netmode::state {

enum class Protocol : std::uint8_t { kTcp, kUdp, kSctp };

// Claims a port of the host: `<folder>/<protocol>-<port>/<address>` becomes a symbolic link to the holder. Addresses are kept in
// their canonical form, so that two spellings of one IPv6 address are one claim; a wildcard and a specific address of one family
// exclude each other, 0.0.0.0 and :: do not. EADDRINUSE carries the holder: of the claim that is in the way, or (`probe`) the
// process whose socket is.
struct PortClaim {
  std::string folder;
  Protocol protocol = Protocol::kTcp;
  std::string address;
  std::uint16_t port = 0;
  std::string holder;
  // Bind the address for an instant in the calling thread's namespace. EADDRNOTAVAIL if the host does not have the address.
  bool probe = false;
};

// Takes a claim of this holder back. Absent or another's: nothing happens.
struct PortRelease {
  std::string folder;
  Protocol protocol = Protocol::kTcp;
  std::string address;
  std::uint16_t port = 0;
  std::string holder;
};

// Both take the lock of `folder` for as long as they run: a plan that holds it through Lock must not call them.
[[nodiscard]] Result<void> Run(const PortClaim &op);
[[nodiscard]] Result<void> Run(const PortRelease &op);

}  // namespace netmode::state

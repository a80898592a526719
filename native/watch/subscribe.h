// Subscribe: sockets on which the kernel tells of what happens.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netmode::watch {

// A socket in the calling thread's namespace that hears these multicast groups. `size`: bytes of SO_RCVBUF.
[[nodiscard]] Result<UniqueFd> Subscribe(int protocol, const std::vector<std::uint32_t> &groups, int size);
// Hears these as well.
[[nodiscard]] Result<void> Join(int fd, const std::vector<std::uint32_t> &groups);

}  // namespace netmode::watch

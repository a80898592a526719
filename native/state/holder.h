// Holder: finds which process has a port, to name it in an error. Costs milliseconds on a busy host (it looks through /proc),
// so it is asked only after a bind has failed.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace netmode::state {

// Inodes of the sockets of the calling thread's namespace that keep others from `address`: bound to it or to the wildcard (or
// to anything if it is the wildcard). For TCP only those that listen: a connection or its TIME_WAIT rest disturbs no one.
[[nodiscard]] Result<std::vector<std::uint32_t>> SocketsInTheWay(int ip_protocol, const sockaddr_storage &address);

// "process 1234 (nginx)" for the first of them that an fd in /proc leads to, else "a socket of the kernel or of a process out of
// sight" (another PID namespace, or no permission to look).
[[nodiscard]] std::string DescribeHolder(const std::vector<std::uint32_t> &inodes);

}  // namespace netmode::state

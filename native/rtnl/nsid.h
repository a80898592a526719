// Nsid: the numbers by which one namespace knows others (RTM_NEWNSID and its sibling).
//
// The kernel looks a namespace's number up by going through all of them from the lowest on: for each link that it tells of whose other end
// is there, and for each message from there to a socket that listens to all. So whoever comes and goes most should have the lowest. Left to
// itself the kernel gives the lowest that is free, and the youngest of 900 is the last to be found.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "netlink/batch.h"
#include "netlink/socket.h"

namespace netmode::rtnl {

// Numbers that we give count down from here.
constexpr std::uint32_t kHighestNumber = (1U << 24) - 1;
// Below it are those that the kernel gives.
constexpr std::uint32_t kLowestNumber = 1U << 16;

// The namespace of `fd` is known by `number` from here on. Refused where it has one or the number is taken, of which nobody hears: the
// kernel gives it another when it needs one.
void PutNumber(netlink::Batch &batch, int fd, std::uint32_t number);

// The lowest number that was given by us; nothing: none was.
[[nodiscard]] Result<std::optional<std::uint32_t>> LowestNumberGiven(netlink::Socket &socket);

// The number of an RTM_NEWNSID payload; nothing if it is malformed.
[[nodiscard]] std::optional<std::int32_t> ParseNumber(netlink::Bytes payload);

}  // namespace netmode::rtnl

// Traffic: a TCP server that lives on a thread of its own until the program ends, and clients that measure it.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace netmode::bench {

// What a client wants is said in its first byte.
enum class Wish : char { kSink = 's', kEcho = 'e' };

// Accepts clients on all IPv4 addresses: closes at once (`refuse`), else swallows or echoes, one client at a time.
[[nodiscard]] Result<void> Serve(std::uint16_t port, bool refuse);

// Nanoseconds for `count` new connections one after the other, each reset as soon as it is there.
[[nodiscard]] Result<std::int64_t> Connect(const std::string &address, std::uint16_t port, std::uint32_t count);
// Bytes a second that come through one connection within about that many milliseconds.
[[nodiscard]] Result<std::int64_t> Stream(const std::string &address, std::uint16_t port, std::uint32_t milliseconds);
// Nanoseconds of `count` round trips of one byte.
[[nodiscard]] Result<std::int64_t> RoundTrips(const std::string &address, std::uint16_t port, std::uint32_t count);

}  // namespace netmode::bench

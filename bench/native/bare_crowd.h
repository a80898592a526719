// BareCrowd: many bare attaches (bare.h) that live side by side, and the least that removing them asks of the kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "netlink/socket.h"
#include "sample.h"

namespace netmode::bench {

class BareCrowd {
 public:
  // In the host namespace.
  [[nodiscard]] static Result<BareCrowd> Open(const Ground &ground);

  // Names and addresses go on from the n-th: another program uses those before it.
  [[nodiscard]] Result<void> From(std::uint32_t n) {
    made_ = n;
    return {};
  }
  // Makes that many more, one after the other; answers the nanoseconds of making alone, without what is prepared beforehand.
  [[nodiscard]] Result<std::int64_t> Make(std::size_t count);
  // RTM_DELLINK for the last one and nothing else; then, beyond the time that is answered, its name goes too.
  [[nodiscard]] Result<std::int64_t> DeleteLast();
  // Removes all: `batch` links put into a group, the group deleted, their namespaces' names unmounted and unlinked, and so on.
  [[nodiscard]] Result<std::int64_t> RemoveAll(std::size_t batch);

 private:
  BareCrowd(Ground ground, netlink::Socket rtnl) : ground_(std::move(ground)), rtnl_(std::move(rtnl)) {}

  [[nodiscard]] Sample Next();
  [[nodiscard]] Result<void> Execute(netlink::Batch &batch);

  Ground ground_;
  netlink::Socket rtnl_;
  std::uint32_t made_ = 0;
  std::vector<Sample> living_;
};

// CLOCK_MONOTONIC, in nanoseconds.
[[nodiscard]] std::int64_t Now();

}  // namespace netmode::bench

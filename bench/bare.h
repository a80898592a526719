// Bare: the least that one attach asks of the kernel, in as few system calls as it can be asked. No rule, no state, no name
// looked up, no answer read that is not needed: no program that makes a namespace with a veth on a bridge can be faster.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/inet.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/batch.h"
#include "sample.h"

namespace netmode::bench {

class Bare {
 public:
  // In the host namespace.
  [[nodiscard]] static Result<Bare> Open(const Ground &ground);

  // Everything that can be known before the first system call: the messages, byte for byte. Not part of the measured time.
  [[nodiscard]] Result<void> Prepare(const Sample &sample);
  // The measured part.
  [[nodiscard]] Result<void> Make();
  // Takes samples away, all their links in one group: the kernel's wait is shared.
  [[nodiscard]] Result<void> Clear(std::span<const Sample> samples);

 private:
  Bare(const Ground &ground, UniqueFd rtnl) : ground_(ground), rtnl_(std::move(rtnl)) {}

  void PreparePair(const Sample &sample, const MacAddress &mac);
  void PrepareInside(const IpAddress &address, const IpAddress &broadcast, const IpAddress &gateway);

  Ground ground_;
  UniqueFd rtnl_;
  std::string path_;
  netlink::Batch pair_;        // the veth, from the host
  netlink::Batch inside_;      // what is set in the namespace
  std::size_t ns_offset_ = 0;  // in pair_: where the namespace's descriptor belongs
};

}  // namespace netmode::bench

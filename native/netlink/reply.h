// Reply: reading what the kernel answers, without any I/O, so that hostile bytes can be fed in tests.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "netlink/batch.h"
#include "netlink/socket.h"

namespace netmode::netlink {

// Calls `visit(header, message)` for each whole message of a datagram; stops at the first whose length can't be right.
template <class Visit>
void ForEachMessage(Bytes datagram, Visit visit) {
  while (datagram.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    std::memcpy(&header, datagram.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > datagram.size()) return;
    const Bytes payload = datagram.subspan(sizeof header, header.nlmsg_len - sizeof header);
    visit(header, Message{.type = header.nlmsg_type, .flags = header.nlmsg_flags, .payload = payload});
    datagram = datagram.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), datagram.size()));
  }
}

// The verdict of an NLMSG_ERROR message, or of the NLMSG_DONE that ends a dump: nothing if all went well, else the errno with
// the kernel's words (NLMSGERR_ATTR_MSG, _OFFS, _MISS_TYPE). A message too short to tell is EBADMSG.
[[nodiscard]] std::optional<Error> ParseVerdict(const Message &message);

// Gathers the answers to a run of requests with consecutive sequence numbers, of which the last one has to be answered and the others
// only where they are refused. Answers to other requests (an earlier one that was given up) and second answers are not heard.
class AckCollector {
 public:
  AckCollector(std::uint32_t first_sequence, std::span<const Batch::Entry> requests)
      : first_sequence_(first_sequence), requests_(requests), verdicts_(requests.size()) {}

  // One datagram as received. Payloads that are no verdict go to `on_reply`.
  void Feed(Bytes datagram, const OnReply &on_reply);
  [[nodiscard]] bool Done() const noexcept { return done_; }
  // What was refused, in the order of the requests.
  [[nodiscard]] std::vector<Failure> TakeFailures();

 private:
  struct Verdict {
    bool known = false;
    std::optional<Error> error;
  };

  std::uint32_t first_sequence_;
  std::span<const Batch::Entry> requests_;
  std::vector<Verdict> verdicts_;
  bool done_ = false;
};

// Follows one dump to its NLMSG_DONE. After a failing `on_message` the rest is still to be fed: the kernel runs one dump at a
// time for a socket.
class DumpCollector {
 public:
  explicit DumpCollector(std::uint32_t sequence) : sequence_(sequence) {}

  void Feed(Bytes datagram, const OnMessage &on_message);
  [[nodiscard]] bool Done() const noexcept { return done_; }
  // The kernel's tables changed meanwhile: what was collected may lack something.
  [[nodiscard]] bool Interrupted() const noexcept { return interrupted_; }
  // The first thing that went wrong.
  [[nodiscard]] const std::optional<Error> &Failed() const noexcept { return error_; }

 private:
  std::uint32_t sequence_;
  bool done_ = false;
  bool interrupted_ = false;
  std::optional<Error> error_;
};

}  // namespace netmode::netlink

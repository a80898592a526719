// Transaction: any number of verbs in one nf_tables batch, which the kernel takes as a whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "netlink/socket.h"
#include "nft/verb.h"

namespace netmode::nft {

class Transaction {
 public:
  // Encodes a verb behind those added so far. Fails with EINVAL or E2BIG for what can't be encoded; the transaction is unharmed.
  // Call Load() first.
  [[nodiscard]] Result<void> Add(const Verb &verb, std::size_t tag);

  [[nodiscard]] bool Empty() const noexcept { return messages_.empty(); }
  void Clear() noexcept;

  // Sends all in one batch on a NETLINK_NETFILTER socket. An empty answer means that it was committed; otherwise nothing was
  // changed and the answer holds each verb that the kernel refused, in order. A `missing_ok` delete that finds nothing is left
  // out for good and the rest is sent again. Fails itself when nothing is known about single verbs: the batch is too long for
  // the socket (EMSGSIZE), the commit as a whole was refused, or the socket failed.
  [[nodiscard]] Result<std::vector<netlink::Failure>> Commit(netlink::Socket &socket);
  // After a Commit() that failed itself: it was sent and not heard of again.
  [[nodiscard]] bool MayBeTaken() const noexcept { return may_be_taken_; }

 private:
  struct Message {
    std::size_t offset;
    std::size_t length;
    std::size_t tag;
    const char *name;  // "nft.element.add"
    bool missing_ok;
  };
  // A refused verb by its place in `messages_`.
  struct Refusal {
    std::size_t index;
    Error error;
  };

  [[nodiscard]] Result<std::vector<Refusal>> CommitOnce(netlink::Socket &socket);
  [[nodiscard]] Result<void> Send(int fd, std::uint32_t first);
  [[nodiscard]] Result<std::vector<Refusal>> Collect(int fd, std::uint32_t first);
  void LeaveOut(const std::vector<Refusal> &refusals);
  [[nodiscard]] std::span<std::byte> Room();

  std::vector<std::byte> buffer_;
  std::unique_ptr<std::byte[]> room_;  // kMessageRoom bytes, where a message is built before it is appended and answers are received
  std::vector<Message> messages_;
  std::uint32_t serial_ = 0;
  bool may_be_taken_ = false;
};

}  // namespace netmode::nft

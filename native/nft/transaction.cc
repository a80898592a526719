#include "nft/transaction.h"

#include <libnftnl/common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <string>

#include "netlink/reply.h"
#include "nft/message.h"

namespace netmode::nft {

namespace {

// What one refusal occupies in the receive buffer, as the kernel counts; and how much room refusals get at most.
constexpr std::size_t kRefusalCost = 1280;
constexpr std::size_t kMaxReceiveBuffer = 16 * 1024 * 1024;
// Default buffers of a socket take about this much without being grown.
constexpr std::size_t kPlentyMessages = 64;
constexpr std::size_t kPlentyBytes = 64 * 1024;

std::atomic<std::uint32_t> next_sequence{1};
// Whether this kernel acks END, as those from 6.10 on do.
std::atomic<bool> acks_end{false};

void Grow(int fd, int forced, int plain, std::size_t size) {
  const int wanted = static_cast<int>(size);
  int now = 0;
  socklen_t length = sizeof now;
  if (getsockopt(fd, SOL_SOCKET, plain, &now, &length) == 0 && now >= wanted) return;
  // Beyond net.core.wmem_max only with CAP_NET_ADMIN; what can't be had shows as EMSGSIZE or ENOBUFS later.
  if (setsockopt(fd, SOL_SOCKET, forced, &wanted, sizeof wanted) != 0) setsockopt(fd, SOL_SOCKET, plain, &wanted, sizeof wanted);
}

// The next datagram that the kernel has put there; 0 when there is none. The whole batch is worked off within sendmsg, so that
// all answers are there when it returns.
Result<std::size_t> Receive(int fd, std::span<std::byte> room, bool &overflowed) {
  for (;;) {
    sockaddr_nl sender{};
    iovec vector{.iov_base = room.data(), .iov_len = room.size()};
    msghdr message{};
    message.msg_name = &sender;
    message.msg_namelen = sizeof sender;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    const ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT);
    if (size < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return 0;
      if (errno != ENOBUFS) return FailErrno("recvmsg");
      overflowed = true;
      continue;
    }
    if (sender.nl_pid == 0 && size > 0) return static_cast<std::size_t>(size);
  }
}

Result<void> DropStale(int fd, std::span<std::byte> room) {
  for (;;) {
    bool overflowed = false;
    const auto size = Receive(fd, room, overflowed);
    if (!size) return std::unexpected(size.error());
    if (*size == 0) return {};
  }
}

}  // namespace

Result<void> Transaction::Add(const Verb &verb, std::size_t tag) {
  const std::span room = Room();
  const auto length = Encode(verb, ++serial_, room);
  if (!length) return std::unexpected(length.error());
  const auto *table = std::get_if<TableVerb>(&verb);
  const auto *element = std::get_if<ElementVerb>(&verb);
  const bool missing_ok = (table != nullptr && table->action == Action::kDelete && table->missing_ok) ||
                          (element != nullptr && element->action == Action::kDelete && element->missing_ok);
  const std::size_t padded = NLMSG_ALIGN(*length);
  std::ranges::fill(room.subspan(*length, padded - *length), std::byte{0});
  messages_.push_back({.offset = buffer_.size(), .length = padded, .tag = tag, .name = VerbName(verb), .missing_ok = missing_ok});
  buffer_.insert(buffer_.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(padded));
  return {};
}

// Most of it is never touched.
std::span<std::byte> Transaction::Room() {
  if (!room_) room_ = std::make_unique_for_overwrite<std::byte[]>(kMessageRoom);
  return {room_.get(), kMessageRoom};
}

void Transaction::Clear() noexcept {
  buffer_.clear();
  messages_.clear();
}

Result<std::vector<netlink::Failure>> Transaction::Commit(netlink::Socket &socket) {
  while (!messages_.empty()) {
    auto refusals = CommitOnce(socket);
    if (!refusals) return std::unexpected(std::move(refusals.error()));
    if (refusals->empty()) break;
    const auto harmless = [&](const Refusal &one) { return one.error.code == ENOENT && messages_[one.index].missing_ok; };
    if (!std::ranges::all_of(*refusals, harmless)) {
      std::vector<netlink::Failure> failures;
      for (Refusal &one : *refusals) {
        if (!harmless(one)) failures.push_back({.tag = messages_[one.index].tag, .error = std::move(one.error)});
      }
      return failures;
    }
    LeaveOut(*refusals);
  }
  return std::vector<netlink::Failure>{};
}

void Transaction::LeaveOut(const std::vector<Refusal> &refusals) {
  std::vector<std::byte> buffer;
  std::vector<Message> messages;
  auto refusal = refusals.begin();
  for (std::size_t index = 0; index < messages_.size(); ++index) {
    if (refusal != refusals.end() && refusal->index == index) {
      ++refusal;
      continue;
    }
    Message message = messages_[index];
    const auto from = buffer_.begin() + static_cast<std::ptrdiff_t>(message.offset);
    message.offset = buffer.size();
    buffer.insert(buffer.end(), from, from + static_cast<std::ptrdiff_t>(message.length));
    messages.push_back(message);
  }
  buffer_ = std::move(buffer);
  messages_ = std::move(messages);
}

Result<std::vector<Transaction::Refusal>> Transaction::CommitOnce(netlink::Socket &socket) {
  may_be_taken_ = false;
  const int fd = socket.Fd();
  if (buffer_.size() > kPlentyBytes) Grow(fd, SO_SNDBUFFORCE, SO_SNDBUF, buffer_.size() + kPlentyBytes);
  if (messages_.size() > kPlentyMessages) {
    Grow(fd, SO_RCVBUFFORCE, SO_RCVBUF, std::min(messages_.size() * kRefusalCost, kMaxReceiveBuffer));
  }
  if (auto dropped = DropStale(fd, Room()); !dropped) return std::unexpected(dropped.error());
  const auto span = static_cast<std::uint32_t>(messages_.size() + 2);
  const std::uint32_t first = next_sequence.fetch_add(span, std::memory_order_relaxed);
  if (auto sent = Send(fd, first); !sent) return std::unexpected(sent.error());
  may_be_taken_ = true;
  return Collect(fd, first);
}

// Numbers: BEGIN has `first`, the messages follow, END comes last. Only END asks for an ack, and the last message where END may get none:
// refusals are told in any case, and thousands of acks would overflow the socket.
Result<void> Transaction::Send(int fd, std::uint32_t first) {
  alignas(nlmsghdr) std::array<char, 64> begin_room{};
  alignas(nlmsghdr) std::array<char, 64> end_room{};
  nlmsghdr *begin = nftnl_batch_begin(begin_room.data(), first);
  for (std::size_t index = 0; index < messages_.size(); ++index) {
    auto *header = reinterpret_cast<nlmsghdr *>(buffer_.data() + messages_[index].offset);
    header->nlmsg_flags = static_cast<std::uint16_t>((header->nlmsg_flags | NLM_F_REQUEST) & ~NLM_F_ACK);
    header->nlmsg_seq = first + 1 + static_cast<std::uint32_t>(index);
    if (index + 1 == messages_.size() && !acks_end.load(std::memory_order_relaxed)) header->nlmsg_flags |= NLM_F_ACK;
  }
  nlmsghdr *end = nftnl_batch_end(end_room.data(), first + 1 + static_cast<std::uint32_t>(messages_.size()));
  end->nlmsg_flags |= NLM_F_ACK;

  std::array<iovec, 3> vectors{{{.iov_base = begin, .iov_len = NLMSG_ALIGN(begin->nlmsg_len)},
                                {.iov_base = buffer_.data(), .iov_len = buffer_.size()},
                                {.iov_base = end, .iov_len = NLMSG_ALIGN(end->nlmsg_len)}}};
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  msghdr message{};
  message.msg_name = &kernel;
  message.msg_namelen = sizeof kernel;
  message.msg_iov = vectors.data();
  message.msg_iovlen = vectors.size();
  // A signal can't interrupt it: netlink never waits here.
  if (sendmsg(fd, &message, 0) >= 0) return {};
  if (errno == EMSGSIZE) {
    return Fail(EMSGSIZE, "nft.commit",
                std::to_string(messages_.size()) + " changes take " + std::to_string(buffer_.size()) +
                    " bytes, more than one transaction may have: raise net.core.wmem_max or make fewer at a time");
  }
  return FailErrno("nft.commit");
}

Result<std::vector<Transaction::Refusal>> Transaction::Collect(int fd, std::uint32_t first) {
  const auto count = static_cast<std::uint32_t>(messages_.size());
  std::vector<Refusal> refusals;
  std::optional<Error> whole;
  bool overflowed = false;
  bool answered = false;
  bool ended = false;
  while (!ended) {
    const auto size = Receive(fd, Room(), overflowed);
    if (!size) return std::unexpected(size.error());
    if (*size == 0) break;
    netlink::ForEachMessage(netlink::Bytes(Room()).first(*size), [&](const nlmsghdr &header, const netlink::Message &message) {
      const std::uint32_t place = header.nlmsg_seq - first;
      if (header.nlmsg_type != NLMSG_ERROR || place > count + 1) return;
      auto error = netlink::ParseVerdict(message);
      if (!error) {
        answered = answered || place >= count;
        ended = ended || place > count;  // END's is the last; where there is none, it is over when nothing is left
        if (ended) acks_end.store(true, std::memory_order_relaxed);
      } else if (place == 0 || place == count + 1) {
        // The commit itself, or the right to try, was refused: told with BEGIN's number.
        whole = std::move(error);
      } else {
        error->syscall = messages_[place - 1].name;
        refusals.push_back({.index = place - 1, .error = std::move(*error)});
      }
    });
  }
  if (!refusals.empty()) {
    // One message can be refused twice (a set element, then the set's check at commit): its first word counts.
    std::ranges::stable_sort(refusals, {}, &Refusal::index);
    const auto twice = std::ranges::unique(refusals, {}, &Refusal::index);
    refusals.erase(twice.begin(), twice.end());
    return refusals;
  }
  if (whole) {
    may_be_taken_ = false;
    whole->syscall = "nft.commit";
    if (whole->code == EOPNOTSUPP && whole->detail.empty()) whole->detail = "this kernel has no nf_tables";
    return std::unexpected(std::move(*whole));
  }
  if (overflowed) return Fail(ENOBUFS, "nft.commit", "the kernel's answer was lost: whether the change was made is unknown");
  if (!answered) return Fail(EPROTO, "nft.commit", "the kernel didn't answer");
  return refusals;
}

}  // namespace netmode::nft

#include "netlink/socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "netlink/reply.h"

namespace netmode::netlink {

namespace {

constexpr int kBufferSize = 1 << 20;              // bytes asked for at opening; the kernel doubles it for its bookkeeping
constexpr std::size_t kFirstReceive = 32 << 10;   // bytes; the kernel makes no dump chunk larger unless one object needs it
constexpr std::size_t kLargestReceive = 1 << 20;  // bytes
constexpr std::size_t kSendOverhead = 32;         // bytes that af_netlink keeps off SO_SNDBUF
// A batch of no more bytes and messages fits what a socket is born with (net.core.rmem_default).
constexpr std::size_t kSmallBytes = 2 << 10;
constexpr std::size_t kSmallCount = 8;
constexpr std::size_t kAckCost = 1280;       // bytes of SO_RCVBUF that an ack takes (its skb, not its text)
constexpr std::size_t kReplyCost = 8 << 10;  // the same for an echo or a GET reply with its ack
constexpr int kAnswerTimeout = 10'000;       // milliseconds; the answer is there when sendmsg returns, so this is for the worst
constexpr int kDumpAttempts = 16;
constexpr std::chrono::milliseconds kDumpTime{500};

int GetOption(int fd, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : 0;
}

// With CAP_NET_ADMIN over the machine the limits of /proc/sys/net/core don't hold; without, they do and batches are cut smaller.
void SetBuffer(int fd, int force, int polite, int size) {
  if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof size) < 0) {
    static_cast<void>(setsockopt(fd, SOL_SOCKET, polite, &size, sizeof size));
  }
}

std::size_t AnswerCost(const nlmsghdr &header, bool replies_wanted) {
  const bool replies = (header.nlmsg_flags & NLM_F_ECHO) != 0 || (header.nlmsg_flags & NLM_F_CREATE) == 0;
  return replies && replies_wanted ? kReplyCost : kAckCost;
}

std::size_t EndOffset(Batch &batch, std::size_t last) {
  return last < batch.Entries().size() ? batch.Entries()[last].offset : batch.Buffer().size();
}

}  // namespace

Result<Socket> Socket::Open(int protocol) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!fd.Valid()) return FailErrno("socket");
  const int on = 1;
  // Kernels without one of these only tell less: what they dump is filtered again here, what they lack is an empty detail.
  for (const int option : {NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK}) {
    if (setsockopt(fd.Get(), SOL_NETLINK, option, &on, sizeof on) < 0 && errno != ENOPROTOOPT) return FailErrno("setsockopt");
  }
  Socket opened(std::move(fd), protocol);
  opened.GrowReceive(kFirstReceive);
  return opened;
}

// Makes room, and finds out how much there is. Not at once: many a socket never has more to do than one small batch.
void Socket::Widen() {
  if (receive_limit_ != 0) return;
  SetBuffer(Fd(), SO_RCVBUFFORCE, SO_RCVBUF, kBufferSize);
  receive_limit_ = static_cast<std::size_t>(GetOption(Fd(), SO_RCVBUF));
  send_limit_ = static_cast<std::size_t>(GetOption(Fd(), SO_SNDBUF));
}

Result<std::vector<Failure>> Socket::Execute(Batch &batch, const OnReply &on_reply) {
  std::vector<Failure> failures;
  if (batch.Overflowed()) return Fail(EMSGSIZE, "sendmsg", "a value is longer than an attribute can be");
  const std::size_t count = batch.Entries().size();
  std::size_t first = 0;
  while (first < count) {
    const std::size_t last = ChunkEnd(batch, first, static_cast<bool>(on_reply));
    if (Result<void> sent = SendAndCollect(batch, first, last, on_reply, failures); !sent) return std::unexpected(std::move(sent.error()));
    first = last;
  }
  return failures;
}

// Where the run that begins at `first` has to end for its bytes to fit the send buffer and its answers the receive buffer.
std::size_t Socket::ChunkEnd(Batch &batch, std::size_t first, bool replies_wanted) {
  const std::vector<Batch::Entry> &entries = batch.Entries();
  if (batch.Buffer().size() <= kSmallBytes && entries.size() <= kSmallCount) return entries.size();
  Widen();
  const bool transaction = protocol_ == NETLINK_NETFILTER;
  std::size_t cut = first;  // the last place where the tag changes: messages of one op stay in one sendmsg
  std::size_t answers = 0;
  for (std::size_t position = first; position < entries.size(); ++position) {
    if (position > first && entries[position].tag != entries[position - 1].tag) cut = position;
    answers += AnswerCost(*batch.Header(entries[position]), replies_wanted);
    const std::size_t bytes = EndOffset(batch, position + 1) - entries[first].offset + kSendOverhead;
    const bool fits = bytes <= send_limit_ && answers <= receive_limit_;
    if (!fits && !transaction && position > first) return cut > first ? cut : position;
  }
  if (transaction) GrowBuffers(batch.Buffer().size() + kSendOverhead, answers);
  return entries.size();
}

void Socket::GrowBuffers(std::size_t send, std::size_t receive) {
  // The kernel doubles what it is given, so the size asked for has room to spare.
  if (send > send_limit_) {
    SetBuffer(Fd(), SO_SNDBUFFORCE, SO_SNDBUF, static_cast<int>(std::min<std::size_t>(send, 1 << 30)));
    send_limit_ = static_cast<std::size_t>(GetOption(Fd(), SO_SNDBUF));
  }
  if (receive > receive_limit_) {
    SetBuffer(Fd(), SO_RCVBUFFORCE, SO_RCVBUF, static_cast<int>(std::min<std::size_t>(receive, 1 << 30)));
    receive_limit_ = static_cast<std::size_t>(GetOption(Fd(), SO_RCVBUF));
  }
}

Result<void> Socket::SendAndCollect(Batch &batch, std::size_t first, std::size_t last, const OnReply &on_reply,
                                    std::vector<Failure> &failures) {
  const std::span<const Batch::Entry> entries = std::span(batch.Entries()).subspan(first, last - first);
  const std::uint32_t first_sequence = sequence_ + 1;
  for (const Batch::Entry &entry : entries) {
    nlmsghdr *header = batch.Header(entry);
    header->nlmsg_seq = ++sequence_;
    header->nlmsg_flags = static_cast<std::uint16_t>(header->nlmsg_flags & ~NLM_F_ACK);
  }
  // The kernel works in order and answers every refusal anyhow: once the last message has its answer, silence about another was consent.
  batch.Header(entries.back())->nlmsg_flags |= NLM_F_ACK;
  const std::size_t start = entries.front().offset;
  if (Result<void> sent = Send(batch.Buffer().subspan(start, EndOffset(batch, last) - start)); !sent) return sent;

  AckCollector collector(first_sequence, entries);
  while (!collector.Done()) {
    const Result<Bytes> datagram = Receive(Expecting::kAnswer);
    if (!datagram) return std::unexpected(datagram.error());
    if (datagram->empty()) break;
    collector.Feed(*datagram, on_reply);
  }
  std::ranges::move(collector.TakeFailures(), std::back_inserter(failures));
  return {};
}

Result<void> Socket::Dump(Batch &request, const OnMessage &on_message, const std::function<void()> &restart, WhenDisturbed when) {
  if (request.Entries().size() != 1) return Fail(EINVAL, "netlink.dump", "a dump is one message");
  Widen();
  // A number of attempts is no measure: a short list is interrupted seldom, and a long one takes a moment between two changes.
  const auto deadline = std::chrono::steady_clock::now() + kDumpTime;
  for (int attempt = 1;; ++attempt) {
    const Result<Course> course = DumpOnce(request, on_message);
    if (!course) return std::unexpected(course.error());
    const bool last = when == WhenDisturbed::kTakeLast && attempt >= kDumpAttempts;
    if (*course == Course::kWhole || (last && *course == Course::kDisturbed)) return {};
    if (restart) restart();
    if (attempt >= kDumpAttempts && std::chrono::steady_clock::now() >= deadline) break;
  }
  return Fail(EINTR, "netlink.dump", "the kernel's tables kept changing");
}

Result<Socket::Course> Socket::DumpOnce(Batch &request, const OnMessage &on_message) {
  nlmsghdr *header = request.Header(request.Entries().front());
  header->nlmsg_flags = static_cast<std::uint16_t>((header->nlmsg_flags & ~NLM_F_ACK) | NLM_F_DUMP);
  header->nlmsg_seq = ++sequence_;
  if (Result<void> sent = Send(request.Buffer()); !sent) return std::unexpected(std::move(sent.error()));
  DumpCollector collector(sequence_);
  while (!collector.Done()) {
    const Result<Bytes> datagram = Receive(Expecting::kDump);
    if (!datagram) return std::unexpected(datagram.error());
    if (datagram->empty()) {
      // Its end is lost, and with it maybe the end of the dump. The kernel makes the rest as it is received: where nothing is left, it is
      // over.
      while (recv(Fd(), receive_.get(), 0, MSG_TRUNC | MSG_DONTWAIT) >= 0 || errno == EINTR) {
      }
      return Course::kTorn;
    }
    collector.Feed(*datagram, on_message);
  }
  if (const std::optional<Error> &failed = collector.Failed()) return std::unexpected(*failed);
  return collector.Interrupted() ? Course::kDisturbed : Course::kWhole;
}

// Left as it is found: of a namespace's own socket only a few bytes are ever used.
void Socket::GrowReceive(std::size_t size) {
  receive_ = std::make_unique_for_overwrite<std::byte[]>(size);
  receive_size_ = size;
}

Result<void> Socket::Send(Bytes bytes) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  iovec vector{.iov_base = const_cast<std::byte *>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_name = &kernel;
  message.msg_namelen = sizeof kernel;
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  for (;;) {
    if (sendmsg(Fd(), &message, 0) >= 0) return {};
    if (errno != EINTR) return FailErrno("sendmsg");
  }
}

Result<Bytes> Socket::Receive(Expecting what) {
  for (;;) {
    sockaddr_nl sender{};
    iovec vector{.iov_base = receive_.get(), .iov_len = receive_size_};
    msghdr message{};
    message.msg_name = &sender;
    message.msg_namelen = sizeof sender;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    const ssize_t received = recvmsg(Fd(), &message, MSG_DONTWAIT | MSG_TRUNC);
    if (received >= 0) {
      if (sender.nl_family != AF_NETLINK || sender.nl_pid != 0) continue;  // another process may write to any netlink socket
      const auto size = static_cast<std::size_t>(received);
      if (size <= receive_size_) return Bytes(receive_.get(), size);
      const std::size_t largest = what == Expecting::kDump ? kLargestReceive : kFirstReceive;
      if (size > largest) return Fail(EMSGSIZE, "recvmsg", "an answer of more than " + std::to_string(largest >> 10) + " KiB");
      GrowReceive(size);
      return Bytes{};
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return FailErrno("recvmsg");
    if (what == Expecting::kAnswer && protocol_ == NETLINK_NETFILTER) return Bytes{};
    pollfd readable{.fd = Fd(), .events = POLLIN, .revents = 0};
    const int ready = poll(&readable, 1, kAnswerTimeout);
    if (ready == 0) return Fail(ETIMEDOUT, "recvmsg", "no answer from the kernel");
    if (ready < 0 && errno != EINTR) return FailErrno("poll");
  }
}

}  // namespace netmode::netlink

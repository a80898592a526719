// Socket: one netlink connection with the kernel of the namespace it was opened in. Requests go out in batches, answers
// are matched by sequence number; whoever is not the kernel is not heard.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/attributes.h"
#include "netlink/batch.h"

namespace netmode::netlink {

// An answer as received: header, then payload within bounds.
struct Message {
  std::uint16_t type;
  std::uint16_t flags;
  Bytes payload;
};
using OnMessage = std::function<Result<void>(const Message &message)>;
// As above with the tag of the request that it answers.
using OnReply = std::function<void(std::size_t tag, const Message &message)>;

// What became of one message of a batch.
struct Failure {
  std::size_t tag;
  Error error;  // code, detail (extended ack), offset; syscall is left to the caller
};

// What becomes of a dump that the kernel called interrupted each time.
enum class WhenDisturbed { kFail, kTakeLast };

class Socket {
 public:
  // Opens in the namespace of the calling thread, with CAP_ACK, EXT_ACK and strict checking on.
  [[nodiscard]] static Result<Socket> Open(int protocol);

  // Sends the whole batch in one sendmsg and waits for the answer to its last message. The messages that the kernel refused come
  // back in order; an empty vector means that all were applied. NLM_F_ECHO and GET replies go to `on_reply`.
  // Fails itself only when the socket does (then nothing is known).
  // A batch beyond the socket's buffers goes in several sendmsg, cut where the tag changes; never so on NETLINK_NETFILTER,
  // where one sendmsg is one transaction (EMSGSIZE instead, once the buffers can't grow). Kernels before 6.10 don't ack the
  // BEGIN and END of such a transaction: there, no answer means no error.
  [[nodiscard]] Result<std::vector<Failure>> Execute(Batch &batch, const OnReply &on_reply = {});

  // Runs one dump request (a batch of one message; NLM_F_DUMP is set here, NLM_F_ACK taken off). Starts over when the kernel says that it
  // was interrupted (NLM_F_DUMP_INTR); `restart` lets the caller drop what it collected. EINTR after half a second of that, or, with
  // kTakeLast and after a few times, what the last one had.
  [[nodiscard]] Result<void> Dump(Batch &request, const OnMessage &on_message, const std::function<void()> &restart,
                                  WhenDisturbed when = WhenDisturbed::kFail);

  [[nodiscard]] int Fd() const noexcept { return fd_.Get(); }

 private:
  Socket(UniqueFd fd, int protocol) : fd_(std::move(fd)), protocol_(protocol) {}

  [[nodiscard]] Result<void> SendAndCollect(Batch &batch, std::size_t first, std::size_t last, const OnReply &on_reply,
                                            std::vector<Failure> &failures);
  // How a dump went: its tables changed meanwhile, or a part of it was lost.
  enum class Course { kWhole, kDisturbed, kTorn };
  [[nodiscard]] Result<Course> DumpOnce(Batch &request, const OnMessage &on_message);
  [[nodiscard]] std::size_t ChunkEnd(Batch &batch, std::size_t first, bool replies_wanted);
  void Widen();
  void GrowBuffers(std::size_t send, std::size_t receive);
  void GrowReceive(std::size_t size);
  [[nodiscard]] Result<void> Send(Bytes bytes);
  enum class Expecting { kAnswer, kDump };
  // The next datagram of the kernel's, valid until the next call; empty where NETLINK_NETFILTER has not answered, and where one of a dump
  // was too large, for which there is room from here on.
  [[nodiscard]] Result<Bytes> Receive(Expecting what);

  UniqueFd fd_;
  int protocol_;
  std::uint32_t sequence_ = 0;
  std::size_t send_limit_ = 0;     // SO_SNDBUF, bytes; 0: not asked for yet
  std::size_t receive_limit_ = 0;  // SO_RCVBUF, likewise
  std::unique_ptr<std::byte[]> receive_;
  std::size_t receive_size_ = 0;
};

}  // namespace netmode::netlink

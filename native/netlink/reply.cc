#include "netlink/reply.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "netlink/attributes.h"

namespace netmode::netlink {

namespace {

// The attributes behind an extended ack's fixed part.
void ReadExtendedAck(Bytes attributes, Error &error) {
  std::optional<std::uint32_t> missing;
  const bool whole = ForEachAttribute(attributes, [&](const Attribute &attribute) {
    switch (attribute.type) {
      case NLMSGERR_ATTR_MSG:
        error.detail = attribute.Text();
        break;
      case NLMSGERR_ATTR_OFFS:
        error.offset = attribute.As<std::uint32_t>().value_or(0);
        break;
      case NLMSGERR_ATTR_MISS_TYPE:
        missing = attribute.As<std::uint32_t>();
        break;
      default:
        break;
    }
  });
  static_cast<void>(whole);  // what could be read is worth telling even if the rest is not
  if (!missing) return;
  if (!error.detail.empty()) error.detail += ": ";
  error.detail += "attribute " + std::to_string(*missing) + " is missing";
}

// Where the attributes of an NLMSG_ERROR begin: behind the request that it quotes, the whole of it unless NLM_F_CAPPED.
std::size_t ExtendedAckOffset(const Message &message) {
  if (message.type == NLMSG_DONE) return sizeof(std::int32_t);
  if ((message.flags & NLM_F_CAPPED) != 0) return sizeof(nlmsgerr);
  nlmsgerr quoted;
  std::memcpy(&quoted, message.payload.data(), sizeof quoted);
  const std::size_t length = std::max<std::size_t>(quoted.msg.nlmsg_len, sizeof(nlmsghdr));
  return offsetof(nlmsgerr, msg) + NLMSG_ALIGN(length);
}

}  // namespace

std::optional<Error> ParseVerdict(const Message &message) {
  std::int32_t code = 0;
  const std::size_t fixed = message.type == NLMSG_DONE ? 0 : sizeof(nlmsgerr);
  if (message.type == NLMSG_DONE && message.payload.empty()) return std::nullopt;
  if (message.payload.size() < std::max(fixed, sizeof code)) {
    return Error{.code = EBADMSG, .syscall = {}, .detail = "the kernel's answer is too short", .holder = {}, .offset = 0};
  }
  std::memcpy(&code, message.payload.data(), sizeof code);
  if (code == 0) return std::nullopt;
  // A positive number is nobody's errno; negating the lowest integer would overflow.
  Error error{.code = code > -4096 && code < 0 ? -code : EBADMSG, .syscall = {}, .detail = {}, .holder = {}, .offset = 0};
  const std::size_t offset = ExtendedAckOffset(message);
  if ((message.flags & NLM_F_ACK_TLVS) != 0 && offset < message.payload.size()) ReadExtendedAck(message.payload.subspan(offset), error);
  return error;
}

void AckCollector::Feed(Bytes datagram, const OnReply &on_reply) {
  ForEachMessage(datagram, [&](const nlmsghdr &header, const Message &message) {
    const std::uint32_t position = header.nlmsg_seq - first_sequence_;  // wraps with the sequence itself
    if (position >= requests_.size() || verdicts_[position].known || done_) return;
    switch (header.nlmsg_type) {
      case NLMSG_NOOP:
      case NLMSG_DONE:
      case NLMSG_OVERRUN:
        return;
      case NLMSG_ERROR:
        verdicts_[position] = {.known = true, .error = ParseVerdict(message)};
        done_ = position + 1 == requests_.size();
        return;
      default:
        if (on_reply) on_reply(requests_[position].tag, message);
    }
  });
}

std::vector<Failure> AckCollector::TakeFailures() {
  std::vector<Failure> failures;
  for (std::size_t position = 0; position < verdicts_.size(); ++position) {
    std::optional<Error> &error = verdicts_[position].error;
    if (error && requests_[position].tag != kNobodys) failures.push_back({.tag = requests_[position].tag, .error = std::move(*error)});
  }
  return failures;
}

void DumpCollector::Feed(Bytes datagram, const OnMessage &on_message) {
  ForEachMessage(datagram, [&](const nlmsghdr &header, const Message &message) {
    if (header.nlmsg_seq != sequence_ || done_) return;
    if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted_ = true;
    if (header.nlmsg_type == NLMSG_NOOP || header.nlmsg_type == NLMSG_OVERRUN) return;
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) {
      done_ = true;
      std::optional<Error> error = ParseVerdict(message);
      if (error && !error_) error_ = std::move(error);
      return;
    }
    if (error_) return;
    if (Result<void> taken = on_message(message); !taken) error_ = std::move(taken.error());
  });
}

}  // namespace netmode::netlink

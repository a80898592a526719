#include "netlink/batch.h"

#include <limits>

namespace netmode::netlink {

namespace {

constexpr std::size_t kMaxAttribute = std::numeric_limits<std::uint16_t>::max();

}  // namespace

void Batch::Append(const void *bytes, std::size_t size) {
  const std::size_t start = buffer_.size();
  buffer_.resize(start + NLMSG_ALIGN(size));  // resize fills the padding with zeros: no stale memory goes to the kernel
  if (size > 0) std::memcpy(buffer_.data() + start, bytes, size);
}

void Batch::BeginRaw(std::uint16_t type, std::uint16_t flags, Bytes header, std::size_t tag) {
  entries_.push_back({.offset = buffer_.size(), .tag = tag});
  const nlmsghdr message{
      .nlmsg_len = 0,
      .nlmsg_type = type,
      .nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags),
      .nlmsg_seq = 0,
      .nlmsg_pid = 0,
  };
  Append(&message, sizeof message);
  Append(header.data(), header.size());
}

void Batch::End() {
  const Entry &entry = entries_.back();
  Header(entry)->nlmsg_len = static_cast<std::uint32_t>(buffer_.size() - entry.offset);
}

void Batch::Put(std::uint16_t type, Bytes value) {
  const std::size_t length = sizeof(nlattr) + value.size();
  if (length > kMaxAttribute) {
    overflowed_ = true;
    return;
  }
  const nlattr header{.nla_len = static_cast<std::uint16_t>(length), .nla_type = type};
  Append(&header, sizeof header);
  Append(value.data(), value.size());
}

void Batch::PutString(std::uint16_t type, std::string_view value) {
  const std::size_t length = sizeof(nlattr) + value.size() + 1;
  if (length > kMaxAttribute) {
    overflowed_ = true;
    return;
  }
  const nlattr header{.nla_len = static_cast<std::uint16_t>(length), .nla_type = type};
  Append(&header, sizeof header);
  const std::size_t start = buffer_.size();
  buffer_.resize(start + NLMSG_ALIGN(value.size() + 1));  // the NUL is among the zeros
  if (!value.empty()) std::memcpy(buffer_.data() + start, value.data(), value.size());
}

std::size_t Batch::BeginNest(std::uint16_t type) {
  const std::size_t nest = buffer_.size();
  const nlattr header{.nla_len = 0, .nla_type = static_cast<std::uint16_t>(type | NLA_F_NESTED)};
  Append(&header, sizeof header);
  return nest;
}

void Batch::EndNest(std::size_t nest) {
  const std::size_t length = buffer_.size() - nest;
  if (length > kMaxAttribute) {
    overflowed_ = true;
    return;
  }
  const auto short_length = static_cast<std::uint16_t>(length);
  std::memcpy(buffer_.data() + nest + offsetof(nlattr, nla_len), &short_length, sizeof short_length);
}

void Batch::PutRaw(Bytes value) { Append(value.data(), value.size()); }

}  // namespace netmode::netlink

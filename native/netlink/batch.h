// Batch: netlink messages laid one behind the other, ready for one sendmsg. Each carries a tag by which the caller
// finds, from an ack, what the message was for.
#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace netmode::netlink {

using Bytes = std::span<const std::byte>;

// The tag of a message of whose refusal nobody hears.
constexpr std::size_t kNobodys = std::numeric_limits<std::size_t>::max();

class Batch {
 public:
  // Starts a message; NLM_F_REQUEST and NLM_F_ACK are added. The sequence number is given when it is sent.
  template <class Header>
  void Begin(std::uint16_t type, std::uint16_t flags, const Header &header, std::size_t tag) {
    static_assert(std::is_trivially_copyable_v<Header>);
    BeginRaw(type, flags, Bytes(reinterpret_cast<const std::byte *>(&header), sizeof header), tag);
  }
  // Ends the message begun last: its length is set.
  void End();

  void Put(std::uint16_t type, Bytes value);
  void PutFlag(std::uint16_t type) { Put(type, {}); }
  // A string with its terminating NUL.
  void PutString(std::uint16_t type, std::string_view value);
  // Integers go in host order; use htons/htonl for what the protocol wants in network order.
  template <class Integer>
  void PutInteger(std::uint16_t type, Integer value) {
    static_assert(std::is_trivially_copyable_v<Integer>);
    Put(type, Bytes(reinterpret_cast<const std::byte *>(&value), sizeof value));
  }
  // Opens a nested attribute; give the answer to EndNest.
  [[nodiscard]] std::size_t BeginNest(std::uint16_t type);
  void EndNest(std::size_t nest);
  // Raw bytes inside a nest (the ifinfomsg in VETH_INFO_PEER), padded to 4.
  void PutRaw(Bytes value);

  struct Entry {
    std::size_t offset;
    std::size_t tag;
  };
  [[nodiscard]] bool Empty() const noexcept { return entries_.empty(); }
  [[nodiscard]] const std::vector<Entry> &Entries() const noexcept { return entries_; }
  [[nodiscard]] std::span<std::byte> Buffer() noexcept { return buffer_; }
  [[nodiscard]] nlmsghdr *Header(const Entry &entry) noexcept { return reinterpret_cast<nlmsghdr *>(buffer_.data() + entry.offset); }
  // Whether a value did not fit the 16 bits of an attribute's length; such a batch is not sent (EMSGSIZE).
  [[nodiscard]] bool Overflowed() const noexcept { return overflowed_; }
  void Clear() noexcept {
    buffer_.clear();
    entries_.clear();
    overflowed_ = false;
  }

 private:
  void BeginRaw(std::uint16_t type, std::uint16_t flags, Bytes header, std::size_t tag);
  void Append(const void *bytes, std::size_t size);

  std::vector<std::byte> buffer_;
  std::vector<Entry> entries_;
  bool overflowed_ = false;
};

}  // namespace netmode::netlink

// UserData: the bytes that nft keeps beside tables, sets, rules and elements: comments, and what it needs to print a set as it was
// typed. A run of (type, length, value) triples of one byte each for type and length, as libnftnl's udata.h numbers them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "nft/verb.h"

namespace netmode::nft {

// Longest comment in bytes: what fits one value with its NUL.
inline constexpr std::size_t kMaxComment = 254;

class UserData {
 public:
  // What belongs to a set, in nft's order.
  [[nodiscard]] static UserData ForSet(const SetAdd &set);

  void PutInteger(std::uint8_t type, std::uint32_t value);
  void PutText(std::uint8_t type, std::string_view text);
  void Put(std::uint8_t type, std::span<const std::byte> value);

  [[nodiscard]] bool Empty() const noexcept { return size_ == 0; }
  // Nothing was left out for want of room (the kernel takes 256 bytes).
  [[nodiscard]] bool Whole() const noexcept { return !overflowed_; }
  [[nodiscard]] std::span<const std::byte> Bytes() const noexcept { return {bytes_.data(), size_}; }

 private:
  std::array<std::byte, 256> bytes_{};
  std::size_t size_ = 0;
  bool overflowed_ = false;
};

// The text of that type among received user data, which may be anything.
[[nodiscard]] std::optional<std::string> FindText(std::span<const std::byte> user_data, std::uint8_t type);

}  // namespace netmode::nft

// Datum, Tuple: the values in set keys and map data, as the kernel's registers hold them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace netmode::nft {

// Numbers are nft's own ids: they travel in NFTA_SET_KEY_TYPE, where `nft list` reads them.
enum class DataType : std::uint8_t {
  // What neighbour discovery asks for or announces: 128 bits behind 64 of the ICMPv6 header. To nft before 1.0.7, which has no
  // word for it, an integer.
  kNdTarget = 4,
  kIpv4Address = 7,
  kIpv6Address = 8,
  kEtherAddress = 9,
  kInetProtocol = 12,
  kInetService = 13,
  kMark = 19,
  kInterfaceName = 41,
};

// "ipv4_addr" and the like; nothing for a name that is none of them.
[[nodiscard]] std::optional<DataType> DataTypeByName(std::string_view name);
// Bytes of one value.
[[nodiscard]] std::uint32_t DataSize(DataType type);
// The `type` number of a key or of data made of these fields, as nft puts it together: six bits each.
[[nodiscard]] std::uint32_t ConcatenatedType(std::span<const DataType> types);
// Bytes of a key or of data: a lone field has its own size, fields of a concatenation fill whole 32-bit registers.
[[nodiscard]] std::uint32_t ConcatenatedSize(std::span<const DataType> types);

// One key, or one value of a map: the fields laid one behind the other.
class Tuple {
 public:
  static constexpr std::size_t kCapacity = 64;  // NFT_DATA_VALUE_MAXLEN

  // Each appends one field and answers whether it was valid and had room.
  [[nodiscard]] bool AppendIp4(std::string_view address);
  [[nodiscard]] bool AppendIp6(std::string_view address);
  [[nodiscard]] bool AppendMac(std::string_view address);
  [[nodiscard]] bool AppendProtocol(std::string_view name);
  [[nodiscard]] bool AppendPort(std::uint32_t port);
  [[nodiscard]] bool AppendInterface(std::string_view name);
  [[nodiscard]] bool AppendMark(std::uint32_t mark);

  // The next value in network order; false when it wraps around, which leaves zeros.
  [[nodiscard]] bool Increment();

  [[nodiscard]] bool Empty() const noexcept { return fields_ == 0; }
  [[nodiscard]] std::size_t Fields() const noexcept { return fields_; }
  [[nodiscard]] std::span<const std::byte> Bytes() const noexcept { return {bytes_.data(), size_}; }

 private:
  [[nodiscard]] bool Append(std::span<const std::byte> value);

  std::array<std::byte, kCapacity> bytes_{};
  std::uint8_t size_ = 0;
  std::uint8_t fields_ = 0;
};

// One field read back from a dump: the same words and forms as the op's `Datum`.
struct Field {
  DataType type;
  std::string text{};        // ip4, ip6, ndTarget, mac, protocol, ifname
  std::uint32_t number = 0;  // port, mark
};

// Takes a key apart. Nothing if `type` holds a field that netmode doesn't know, or the bytes are too few.
[[nodiscard]] std::optional<std::vector<Field>> Split(std::uint32_t type, std::span<const std::byte> bytes);

}  // namespace netmode::nft

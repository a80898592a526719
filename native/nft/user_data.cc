#include "nft/user_data.h"

#include <libnftnl/udata.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <cstring>

namespace netmode::nft {

namespace {

// nft's enum byteorder. A concatenation has none.
enum class ByteOrder : std::uint32_t { kNone = 0, kHost = 1, kNetwork = 2 };

// nft's number for "concatenation" among its expressions.
constexpr std::uint32_t kConcatenation = 13;

ByteOrder OrderOf(std::span<const DataType> types) {
  if (types.size() != 1) return ByteOrder::kNone;
  switch (types.front()) {
    case DataType::kMark:
    case DataType::kInterfaceName:
      return ByteOrder::kHost;
    default:
      return ByteOrder::kNetwork;
  }
}

// `typeof` of a concatenation of plain types: its kind, and nothing more.
std::array<std::byte, 8> TypeOfConcatenation() {
  std::array<std::byte, 8> nest{std::byte{NFTNL_UDATA_SET_TYPEOF_EXPR}, std::byte{sizeof kConcatenation}};
  std::memcpy(nest.data() + 2, &kConcatenation, sizeof kConcatenation);
  nest[6] = std::byte{NFTNL_UDATA_SET_TYPEOF_DATA};
  return nest;
}

// nft's numbers for what a field of a set may be read from.
constexpr std::uint32_t kPayload = 7;
constexpr std::uint32_t kMeta = 9;
constexpr std::uint32_t kEthernet = 17;       // of its protocols
constexpr std::uint32_t kEthernetSource = 2;  // of Ethernet's fields
constexpr std::uint32_t kTransport = 3;       // of the headers

// `iifname`, `ether saddr` and `@th,64,128`, which are the only fields of a set with a value that no plain type stands for.
UserData TypeOfField(DataType type) {
  UserData what;
  UserData field;
  if (type == DataType::kInterfaceName) {
    what.PutInteger(0, NFT_META_IIFNAME);
  } else if (type == DataType::kEtherAddress) {
    what.PutInteger(0, kEthernet);
    what.PutInteger(1, kEthernetSource);
  } else {
    const std::uint32_t raw[] = {0, 0, kTransport, 64, 128};
    for (std::uint8_t place = 0; const std::uint32_t number : raw) what.PutInteger(place++, number);
  }
  field.PutInteger(NFTNL_UDATA_SET_TYPEOF_EXPR, type == DataType::kInterfaceName ? kMeta : kPayload);
  field.Put(NFTNL_UDATA_SET_TYPEOF_DATA, what.Bytes());
  return field;
}

// `typeof iifname . ether saddr . @th,64,128`
UserData TypeOfFields(std::span<const DataType> types) {
  UserData fields;
  for (std::uint8_t place = 0; const DataType type : types) fields.Put(place++, TypeOfField(type).Bytes());
  UserData concatenation;
  concatenation.PutInteger(NFTNL_UDATA_SET_TYPEOF_EXPR, kConcatenation);
  concatenation.Put(NFTNL_UDATA_SET_TYPEOF_DATA, fields.Bytes());
  return concatenation;
}

}  // namespace

UserData UserData::ForSet(const SetAdd &set) {
  UserData data;
  data.PutInteger(NFTNL_UDATA_SET_KEYBYTEORDER, static_cast<std::uint32_t>(OrderOf(set.key)));
  if (!set.data.empty()) data.PutInteger(NFTNL_UDATA_SET_DATABYTEORDER, static_cast<std::uint32_t>(OrderOf(set.data)));
  if (std::ranges::find(set.key, DataType::kNdTarget) != set.key.end()) {
    data.Put(NFTNL_UDATA_SET_KEY_TYPEOF, TypeOfFields(set.key).Bytes());
  } else if (set.key.size() > 1) {
    data.Put(NFTNL_UDATA_SET_KEY_TYPEOF, TypeOfConcatenation());
  }
  if (set.data.size() > 1) data.Put(NFTNL_UDATA_SET_DATA_TYPEOF, TypeOfConcatenation());
  if (!set.data.empty()) data.PutInteger(NFTNL_UDATA_SET_DATA_INTERVAL, 0);
  if (set.comment) data.PutText(NFTNL_UDATA_SET_COMMENT, *set.comment);
  return data;
}

void UserData::Put(std::uint8_t type, std::span<const std::byte> value) {
  if (value.size() > 255 || size_ + 2 + value.size() > bytes_.size()) {
    overflowed_ = true;
    return;
  }
  bytes_[size_] = std::byte{type};
  bytes_[size_ + 1] = static_cast<std::byte>(value.size());
  std::ranges::copy(value, bytes_.begin() + static_cast<std::ptrdiff_t>(size_ + 2));
  size_ += 2 + value.size();
}

void UserData::PutInteger(std::uint8_t type, std::uint32_t value) { Put(type, std::as_bytes(std::span(&value, 1))); }

void UserData::PutText(std::uint8_t type, std::string_view text) {
  std::array<std::byte, kMaxComment + 1> terminated{};
  if (text.size() > kMaxComment) {
    overflowed_ = true;
    return;
  }
  std::ranges::copy(std::as_bytes(std::span(text)), terminated.begin());
  Put(type, std::span(terminated).first(text.size() + 1));
}

std::optional<std::string> FindText(std::span<const std::byte> user_data, std::uint8_t type) {
  while (user_data.size() >= 2) {
    const auto length = static_cast<std::size_t>(user_data[1]);
    if (user_data.size() < 2 + length) return std::nullopt;
    if (static_cast<std::uint8_t>(user_data[0]) == type) {
      const auto *text = reinterpret_cast<const char *>(user_data.data() + 2);
      return std::string(text, strnlen(text, length));
    }
    user_data = user_data.subspan(2 + length);
  }
  return std::nullopt;
}

}  // namespace netmode::nft

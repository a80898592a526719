#include "nft/datum.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "base/inet.h"

namespace netmode::nft {

namespace {

constexpr std::uint32_t kTypeBits = 6;
constexpr std::size_t kRegister = 4;  // bytes of the smallest register

struct TypeInfo {
  DataType type;
  std::string_view name;
  std::uint32_t size;
};
constexpr TypeInfo kTypes[] = {
    {DataType::kIpv4Address, "ipv4_addr", 4},   {DataType::kIpv6Address, "ipv6_addr", 16},   {DataType::kEtherAddress, "ether_addr", 6},
    {DataType::kInetProtocol, "inet_proto", 1}, {DataType::kInetService, "inet_service", 2}, {DataType::kMark, "mark", 4},
    {DataType::kInterfaceName, "ifname", 16},   {DataType::kNdTarget, "nd_target", 16},
};

struct ProtocolInfo {
  std::string_view name;
  std::uint8_t number;
};
constexpr ProtocolInfo kProtocols[] = {
    {"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"sctp", IPPROTO_SCTP}, {"icmp", IPPROTO_ICMP}, {"icmpv6", IPPROTO_ICMPV6},
};

constexpr std::size_t RoundUp(std::size_t size) { return (size + kRegister - 1) / kRegister * kRegister; }

const TypeInfo *Find(std::uint32_t number) {
  const auto *found = std::ranges::find_if(kTypes, [&](const TypeInfo &one) { return static_cast<std::uint32_t>(one.type) == number; });
  return found == std::end(kTypes) ? nullptr : found;
}

template <class Integer>
Integer Read(std::span<const std::byte> bytes) {
  Integer integer;
  std::memcpy(&integer, bytes.data(), sizeof integer);
  return integer;
}

std::string ProtocolName(std::uint8_t number) {
  const auto *found = std::ranges::find_if(kProtocols, [&](const ProtocolInfo &one) { return one.number == number; });
  return found == std::end(kProtocols) ? std::to_string(number) : std::string(found->name);
}

Field Present(DataType type, std::span<const std::byte> bytes) {
  switch (type) {
    case DataType::kIpv4Address:
    case DataType::kIpv6Address:
    case DataType::kNdTarget:
      return {.type = type, .text = Format(IpFromBytes(bytes))};
    case DataType::kEtherAddress:
      return {.type = type, .text = FormatMac(bytes)};
    case DataType::kInetProtocol:
      return {.type = type, .text = ProtocolName(static_cast<std::uint8_t>(bytes[0]))};
    case DataType::kInetService:
      return {.type = type, .text = {}, .number = ntohs(Read<std::uint16_t>(bytes))};
    case DataType::kMark:
      return {.type = type, .text = {}, .number = Read<std::uint32_t>(bytes)};
    case DataType::kInterfaceName: {
      const auto *text = reinterpret_cast<const char *>(bytes.data());
      return {.type = type, .text = std::string(text, strnlen(text, bytes.size()))};
    }
  }
  return {.type = type, .text = {}};
}

}  // namespace

std::optional<DataType> DataTypeByName(std::string_view name) {
  const auto *found = std::ranges::find_if(kTypes, [&](const TypeInfo &one) { return one.name == name; });
  if (found == std::end(kTypes)) return std::nullopt;
  return found->type;
}

std::uint32_t DataSize(DataType type) {
  const TypeInfo *info = Find(static_cast<std::uint32_t>(type));
  return info == nullptr ? 0 : info->size;
}

std::uint32_t ConcatenatedType(std::span<const DataType> types) {
  std::uint32_t number = 0;
  for (const DataType type : types) number = number << kTypeBits | static_cast<std::uint32_t>(type);
  return number;
}

std::uint32_t ConcatenatedSize(std::span<const DataType> types) {
  if (types.size() == 1) return DataSize(types.front());
  std::size_t size = 0;
  for (const DataType type : types) size += RoundUp(DataSize(type));
  return static_cast<std::uint32_t>(size);
}

bool Tuple::Append(std::span<const std::byte> value) {
  const std::size_t start = RoundUp(size_);
  const std::size_t end = start + (fields_ == 0 ? value.size() : RoundUp(value.size()));
  if (end > kCapacity) return false;
  std::ranges::copy(value, bytes_.begin() + static_cast<std::ptrdiff_t>(start));
  size_ = static_cast<std::uint8_t>(end);
  ++fields_;
  return true;
}

bool Tuple::AppendIp4(std::string_view address) {
  const auto ip = ParseIp(address);
  return ip && ip->family == AF_INET && Append(ip->Bytes());
}

bool Tuple::AppendIp6(std::string_view address) {
  const auto ip = ParseIp(address);
  return ip && ip->family == AF_INET6 && Append(ip->Bytes());
}

bool Tuple::AppendMac(std::string_view address) {
  const auto mac = ParseMac(address);
  return mac && Append(*mac);
}

bool Tuple::AppendProtocol(std::string_view name) {
  const auto *found = std::ranges::find_if(kProtocols, [&](const ProtocolInfo &one) { return one.name == name; });
  return found != std::end(kProtocols) && Append(std::as_bytes(std::span(&found->number, 1)));
}

bool Tuple::AppendPort(std::uint32_t port) {
  if (port > 0xffff) return false;
  const std::uint16_t number = htons(static_cast<std::uint16_t>(port));
  return Append(std::as_bytes(std::span(&number, 1)));
}

bool Tuple::AppendInterface(std::string_view name) {
  std::array<std::byte, 16> padded{};
  if (name.empty() || name.size() >= padded.size()) return false;
  std::ranges::copy(std::as_bytes(std::span(name)), padded.begin());
  return Append(padded);
}

bool Tuple::AppendMark(std::uint32_t mark) { return Append(std::as_bytes(std::span(&mark, 1))); }

bool Tuple::Increment() {
  for (std::size_t place = size_; place-- > 0;) {
    bytes_[place] = static_cast<std::byte>(static_cast<unsigned>(bytes_[place]) + 1);
    if (bytes_[place] != std::byte{0}) return true;
  }
  return false;
}

std::optional<std::vector<Field>> Split(std::uint32_t type, std::span<const std::byte> bytes) {
  std::vector<DataType> types;
  for (std::uint32_t rest = type; rest != 0; rest >>= kTypeBits) {
    const TypeInfo *info = Find(rest & ((1U << kTypeBits) - 1));
    if (info == nullptr) return std::nullopt;
    types.insert(types.begin(), info->type);
  }
  if (types.empty() || bytes.size() < ConcatenatedSize(types)) return std::nullopt;
  std::vector<Field> fields;
  std::size_t offset = 0;
  for (const DataType one : types) {
    fields.push_back(Present(one, bytes.subspan(offset, DataSize(one))));
    offset += RoundUp(DataSize(one));
  }
  return fields;
}

}  // namespace netmode::nft

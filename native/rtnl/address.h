// Address: addresses of links (RTM_NEWADDR). IFA_TARGET_NETNSID is not used: the kernel ignores it when adding, so the socket
// has to be one of the link's own namespace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/inet.h"
#include "netlink/batch.h"
#include "netlink/socket.h"
#include "rtnl/names.h"
#include "rtnl/verb.h"

namespace netmode::rtnl {

struct AddressVerb {
  Verb verb = Verb::kAdd;
  std::string ns;
  LinkRef link;
  std::string address;
  std::uint32_t prefix = 0;  // bits
  std::optional<std::string> broadcast;
  bool no_dad = false;
  bool no_prefix_route = false;
  std::optional<Scope> scope;  // absent: host for 127.0.0.0/8, else global
  bool missing_ok = false;
};

struct AddressList {
  std::string ns;
  std::optional<LinkRef> link;
};

struct Address {
  std::uint32_t link = 0;  // index
  IpAddress address;
  std::uint8_t prefix = 0;
  std::optional<IpAddress> peer;  // the other end, where it is not the address itself
  std::optional<IpAddress> broadcast;
  std::uint8_t scope = 0;   // RT_SCOPE_*
  std::uint32_t flags = 0;  // IFA_F_*
  std::string label;
};

[[nodiscard]] Result<void> Encode(netlink::Batch &batch, const AddressVerb &op, Names &names, std::size_t tag);
// Both families.
[[nodiscard]] Result<std::vector<Address>> List(netlink::Socket &socket, const AddressList &op, Names &names);
[[nodiscard]] std::optional<Address> ParseAddress(netlink::Bytes payload);

}  // namespace netmode::rtnl

#include "program/fresh.h"

#include <linux/netlink.h>

#include <utility>

namespace netmode::program {

namespace {

[[nodiscard]] Result<void> Write(const std::vector<netns::Setting> &settings, netns::SysctlView &sysctls) {
  for (const auto &[key, value] : settings) {
    auto written = sysctls.Write(key, value);
    if (!written && written.error().code != ENOENT) return std::unexpected(std::move(written.error()));
  }
  return {};
}

}  // namespace

Result<Fresh> MakeFresh(const netns::NetnsCreate &op, int home, netns::SysctlView &sysctls) {
  Result<netlink::Socket> socket = std::unexpected(Error{});
  auto made = netns::Make(home, [&]() -> Result<UniqueFd> {
    socket = netlink::Socket::Open(NETLINK_ROUTE);
    if (!socket) return std::unexpected(socket.error());
    if (auto written = Write(op.settings, sysctls); !written) return std::unexpected(std::move(written.error()));
    return netns::OfSocket(socket->Fd());  // which costs less than a look into /proc
  });
  if (!made) return std::unexpected(std::move(made.error()));
  auto identity = netns::Describe(made->Get(), socket->Fd());
  if (!identity) return std::unexpected(std::move(identity.error()));
  return Fresh{.ns = std::move(*made), .rtnl = std::move(*socket), .identity = *identity};
}

}  // namespace netmode::program

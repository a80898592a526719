#include "program/fresh.h"

#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <utility>

namespace netmode::program {

namespace {

constexpr int kLoopback = 1;  // its index in every namespace

[[nodiscard]] Result<void> RaiseLoopback(netlink::Socket &socket) {
  ifinfomsg header{};
  header.ifi_index = kLoopback;
  header.ifi_flags = header.ifi_change = IFF_UP;
  netlink::Batch batch;
  batch.Begin(RTM_NEWLINK, 0, header, 0);
  batch.End();
  auto failures = socket.Execute(batch);
  if (!failures) return std::unexpected(std::move(failures.error()));
  if (!failures->empty()) return std::unexpected(std::move(failures->front().error));
  return {};
}

[[nodiscard]] Result<void> Write(const std::vector<netns::Setting> &settings) {
  for (const auto &[key, value] : settings) {
    auto written = netns::WriteSysctl(key, value);
    if (!written && written.error().code != ENOENT) return std::unexpected(std::move(written.error()));
  }
  return {};
}

}  // namespace

Result<Fresh> MakeFresh(const netns::NetnsCreate &op, int home) {
  Result<netlink::Socket> socket = std::unexpected(Error{});
  auto made = netns::Make(home, [&]() -> Result<void> {
    socket = netlink::Socket::Open(NETLINK_ROUTE);
    if (!socket) return std::unexpected(socket.error());
    if (op.loopback) {
      if (auto raised = RaiseLoopback(*socket); !raised) return raised;
    }
    return Write(op.settings);
  });
  if (!made) return std::unexpected(std::move(made.error()));
  auto identity = netns::Describe(made->Get(), socket->Fd());
  if (!identity) return std::unexpected(std::move(identity.error()));
  return Fresh{.ns = std::move(*made), .rtnl = std::move(*socket), .identity = *identity};
}

}  // namespace netmode::program

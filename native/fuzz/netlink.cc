// What rtnetlink answers and tells: every reader of messages, attributes and verdicts.
#include <linux/rtnetlink.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "netlink/reply.h"
#include "rtnl/address.h"
#include "rtnl/link.h"
#include "rtnl/neighbor.h"
#include "rtnl/neighbor_table.h"
#include "rtnl/nsid.h"
#include "rtnl/route.h"
#include "rtnl/rule.h"
#include "watch/event.h"
#include "watch/loss.h"

using namespace netmode;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  const netlink::Bytes datagram = std::as_bytes(std::span(data, size));
  netlink::ForEachMessage(datagram, [](const nlmsghdr &, const netlink::Message &message) {
    static_cast<void>(watch::ParseRoute(message));
    static_cast<void>(watch::ParseRuleset(message));
    static_cast<void>(watch::ParseLoss(message));
    static_cast<void>(rtnl::ParseCreated(message));
    static_cast<void>(rtnl::ParseRule(message.payload));
    static_cast<void>(rtnl::ParseLink(message.payload));
    static_cast<void>(rtnl::ParseAddress(message.payload));
    static_cast<void>(rtnl::ParseRoute(message.payload));
    static_cast<void>(rtnl::ParseNeighbor(message.payload));
    static_cast<void>(rtnl::ParseNeighborTable(message.payload));
    static_cast<void>(rtnl::ParseNumber(message.payload));
    static_cast<void>(netlink::ParseVerdict(message));
  });
  netlink::Batch requests;
  for (int i = 0; i < 3; ++i) {
    requests.Begin(RTM_NEWLINK, NLM_F_ACK, ifinfomsg{}, 0);
    requests.End();
  }
  netlink::AckCollector acks(1, requests.Entries());
  acks.Feed(datagram, [](std::size_t, const netlink::Message &) {});
  static_cast<void>(acks.TakeFailures());
  netlink::DumpCollector dump(1);
  dump.Feed(datagram, [](const netlink::Message &) -> Result<void> { return {}; });
  static_cast<void>(dump.Failed());
  return 0;
}

// Codec: encodes or parses the same messages again and again, for callgrind to count. No system call is made meanwhile.
//
//   codec encode-link|encode-address|encode-element|parse-ack|parse-link COUNT
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "netlink/batch.h"
#include "netlink/reply.h"
#include "nft/library.h"
#include "nft/transaction.h"
#include "rtnl/address.h"
#include "rtnl/link.h"

namespace {

using namespace netmode;

// Descriptors and indexes as a plan has them at hand.
class KnownNames final : public rtnl::Names {
 public:
  [[nodiscard]] Result<int> NamespaceFd(const std::string & /*slot*/) override { return 7; }
  [[nodiscard]] Result<std::uint32_t> LinkIndex(const std::string & /*slot*/, const rtnl::LinkRef &link) override {
    return link.index.value_or(2);
  }
};

// The veth pair of an attach.
bool EncodeLink() {
  static KnownNames names;
  netlink::Batch batch;
  rtnl::LinkAdd add;
  add.name = "veth0123456";
  add.mtu = 1500;
  add.master = rtnl::LinkRef{.name = "br-0123456789ab", .index = 3};
  add.up = true;
  add.group = 0x6e6d;
  add.queues = 1;
  add.peer = rtnl::VethPeer{.ns = "sandbox", .name = "eth0", .mac = "02:42:0a:63:00:02", .mtu = 1500};
  return rtnl::Encode(batch, add, names, 0).has_value() && batch.Buffer().size() > 100;
}

bool EncodeAddress() {
  static KnownNames names;
  netlink::Batch batch;
  rtnl::AddressVerb add;
  add.ns = "sandbox";
  add.link = {.name = "eth0", .index = 2};
  add.address = "10.99.0.2";
  add.prefix = 16;
  add.broadcast = "10.99.255.255";
  return rtnl::Encode(batch, add, names, 0).has_value() && !batch.Buffer().empty();
}

// A published port.
bool EncodeElement() {
  nft::Transaction transaction;
  nft::ElementVerb add;
  add.table = "netmode";
  add.set = "publish4_any";
  add.comment = "web";
  const bool whole =
      add.key.AppendProtocol("tcp") && add.key.AppendPort(8080) && add.data.AppendIp4("10.99.0.2") && add.data.AppendPort(80);
  return whole && transaction.Add(nft::Verb{std::move(add)}, 0).has_value();
}

// Five acks in one datagram: what the batch in a sandbox is answered with.
bool ParseAck() {
  constexpr std::size_t kAcks = 5;
  constexpr std::size_t kSize = NLMSG_LENGTH(sizeof(nlmsgerr));
  std::array<std::byte, kAcks * kSize> datagram{};
  std::array<netlink::Batch::Entry, kAcks> entries{};
  for (std::size_t i = 0; i < kAcks; ++i) {
    const nlmsghdr header{.nlmsg_len = kSize,
                          .nlmsg_type = NLMSG_ERROR,
                          .nlmsg_flags = NLM_F_CAPPED,
                          .nlmsg_seq = static_cast<std::uint32_t>(100 + i),
                          .nlmsg_pid = 1};
    std::memcpy(datagram.data() + i * kSize, &header, sizeof header);
    entries[i] = {.offset = 0, .tag = i};
  }
  netlink::AckCollector acks(100, entries);
  acks.Feed(datagram, {});
  return acks.Done() && acks.TakeFailures().empty();
}

// A veth's answer to `ip -d link`, as far as netmode reads it.
const netlink::Batch &LinkAnswer() {
  static const netlink::Batch answer = [] {
    netlink::Batch batch;
    ifinfomsg header{};
    header.ifi_index = 5;
    header.ifi_flags = IFF_UP;
    batch.Begin(RTM_NEWLINK, 0, header, 0);
    batch.PutString(IFLA_IFNAME, "veth0123456");
    batch.PutInteger<std::uint32_t>(IFLA_MTU, 1500);
    batch.PutInteger<std::uint8_t>(IFLA_OPERSTATE, 6);
    batch.PutInteger<std::uint32_t>(IFLA_MASTER, 3);
    batch.PutInteger<std::uint32_t>(IFLA_GROUP, 0x6e6d);
    batch.PutInteger<std::uint32_t>(IFLA_NUM_TX_QUEUES, 1);
    batch.PutInteger<std::uint32_t>(IFLA_NUM_RX_QUEUES, 1);
    batch.PutInteger<std::uint32_t>(IFLA_LINK, 2);
    batch.PutInteger<std::int32_t>(IFLA_LINK_NETNSID, 0);
    batch.PutString(IFLA_IFALIAS, "netmode:web/bridge");
    batch.Put(IFLA_ADDRESS, std::array<std::byte, 6>{std::byte{2}, std::byte{0x42}});
    batch.Put(IFLA_STATS64, std::array<std::byte, sizeof(rtnl_link_stats64)>{});
    const std::size_t info = batch.BeginNest(IFLA_LINKINFO);
    batch.PutString(IFLA_INFO_KIND, "veth");
    batch.EndNest(info);
    batch.End();
    return batch;
  }();
  return answer;
}

bool ParseLink() {
  static netlink::Batch answer = LinkAnswer();
  const auto link = rtnl::ParseLink(answer.Buffer().subspan(NLMSG_HDRLEN));
  return link && link->name == "veth0123456";
}

struct Task {
  std::string_view name;
  bool (*run)();
};
constexpr std::array kTasks = {Task{"encode-link", EncodeLink}, Task{"encode-address", EncodeAddress},
                               Task{"encode-element", EncodeElement}, Task{"parse-ack", ParseAck}, Task{"parse-link", ParseLink}};

}  // namespace

int main(int argc, char **argv) {
  const std::vector<std::string_view> arguments(argv, argv + argc);
  if (arguments.size() != 3) return 2;
  if (!nft::Load()) return 3;
  for (const Task &task : kTasks) {
    if (task.name != arguments[1]) continue;
    for (long i = std::strtol(argv[2], nullptr, 10); i > 0; --i) {
      if (!task.run()) {
        std::fprintf(stderr, "%s failed\n", argv[1]);
        return 1;
      }
    }
    return 0;
  }
  return 2;
}

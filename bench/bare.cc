#include "bare.h"

#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cstring>
#include <span>
#include <utility>

namespace netmode::bench {

namespace {

constexpr char kOwn[] = "/proc/thread-self/ns/net";
constexpr char kFolder[] = "/run/netns/";
constexpr int kLoopback = 1;
// The group of links that are to be deleted together.
constexpr std::uint32_t kDoomed = 0x62656e63;
// The peer's index in its namespace is chosen, so that no answer has to be read to learn it.
constexpr int kInside = 2;

// Sends a batch and waits for its last message's ack. Only that one asks for one: the kernel works in order and answers each
// refusal anyhow, so that whatever is read first tells all.
[[nodiscard]] Result<void> Ask(int fd, netlink::Batch &batch) {
  const auto &entries = batch.Entries();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    nlmsghdr *header = batch.Header(entries[i]);
    header->nlmsg_seq = static_cast<std::uint32_t>(i);
    if (i + 1 < entries.size()) header->nlmsg_flags &= static_cast<std::uint16_t>(~NLM_F_ACK);
  }
  if (send(fd, batch.Buffer().data(), batch.Buffer().size(), 0) < 0) return FailErrno("send");
  alignas(nlmsghdr) std::array<std::byte, 1024> answer;
  if (recv(fd, answer.data(), answer.size(), 0) < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(nlmsgerr)))) return FailErrno("recv");
  nlmsghdr header;
  nlmsgerr verdict;
  std::memcpy(&header, answer.data(), sizeof header);
  std::memcpy(&verdict, answer.data() + NLMSG_HDRLEN, sizeof verdict);
  if (verdict.error != 0) return Fail(-verdict.error, "rtnetlink", "message " + std::to_string(verdict.msg.nlmsg_seq));
  return {};
}

[[nodiscard]] Result<UniqueFd> OpenRtnl() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd.Valid()) return FailErrno("socket");
  return fd;
}

}  // namespace

Result<Bare> Bare::Open(const Ground &ground) {
  auto rtnl = OpenRtnl();
  if (!rtnl) return std::unexpected(rtnl.error());
  return Bare(ground, std::move(*rtnl));
}

Result<void> Bare::Prepare(const Sample &sample) {
  const auto mac = ParseMac(sample.mac);
  const auto address = ParseIp(sample.address);
  const auto broadcast = ParseIp(ground_.broadcast);
  const auto gateway = ParseIp(ground_.gateway);
  if (!mac || !address || !broadcast || !gateway) return Fail(EINVAL, "prepare", sample.mac + " " + sample.address);
  path_ = kFolder + sample.name;
  PreparePair(sample, *mac);
  PrepareInside(*address, *broadcast, *gateway);
  return {};
}

void Bare::PreparePair(const Sample &sample, const MacAddress &mac) {
  pair_.Clear();
  ifinfomsg host{};
  host.ifi_flags = host.ifi_change = IFF_UP;
  pair_.Begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, host, 0);
  pair_.PutString(IFLA_IFNAME, sample.host_ifname);
  pair_.PutInteger(IFLA_MTU, ground_.mtu);
  pair_.PutInteger(IFLA_MASTER, ground_.bridge);
  pair_.PutInteger<std::uint32_t>(IFLA_NUM_TX_QUEUES, 1);
  pair_.PutInteger<std::uint32_t>(IFLA_NUM_RX_QUEUES, 1);
  const std::size_t info = pair_.BeginNest(IFLA_LINKINFO);
  pair_.PutString(IFLA_INFO_KIND, "veth");
  const std::size_t data = pair_.BeginNest(IFLA_INFO_DATA);
  const std::size_t peer = pair_.BeginNest(VETH_INFO_PEER);
  ifinfomsg inside{};
  inside.ifi_index = kInside;
  pair_.PutRaw(std::as_bytes(std::span(&inside, 1)));
  pair_.PutString(IFLA_IFNAME, kIfname);
  pair_.Put(IFLA_ADDRESS, mac);
  pair_.PutInteger(IFLA_MTU, ground_.mtu);
  pair_.PutInteger<std::uint32_t>(IFLA_NUM_TX_QUEUES, 1);
  pair_.PutInteger<std::uint32_t>(IFLA_NUM_RX_QUEUES, 1);
  ns_offset_ = pair_.Buffer().size() + sizeof(nlattr);
  pair_.PutInteger<std::int32_t>(IFLA_NET_NS_FD, -1);
  pair_.EndNest(peer);
  pair_.EndNest(data);
  pair_.EndNest(info);
  pair_.End();
}

void Bare::PrepareInside(const IpAddress &address, const IpAddress &broadcast, const IpAddress &gateway) {
  inside_.Clear();
  ifinfomsg link{};
  link.ifi_flags = link.ifi_change = IFF_UP;
  link.ifi_index = kLoopback;
  inside_.Begin(RTM_NEWLINK, 0, link, 0);
  inside_.End();

  ifaddrmsg assigned{};
  assigned.ifa_family = address.family;
  assigned.ifa_prefixlen = static_cast<std::uint8_t>(ground_.prefix);
  assigned.ifa_index = kInside;
  inside_.Begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, assigned, 0);
  inside_.Put(IFA_LOCAL, address.Bytes());
  inside_.Put(IFA_ADDRESS, address.Bytes());
  inside_.Put(IFA_BROADCAST, broadcast.Bytes());
  inside_.End();

  link.ifi_index = kInside;
  inside_.Begin(RTM_NEWLINK, 0, link, 0);
  inside_.End();

  rtmsg route{};
  route.rtm_family = gateway.family;
  route.rtm_table = RT_TABLE_MAIN;
  route.rtm_protocol = RTPROT_BOOT;
  route.rtm_scope = RT_SCOPE_UNIVERSE;
  route.rtm_type = RTN_UNICAST;
  inside_.Begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route, 0);
  inside_.Put(RTA_GATEWAY, gateway.Bytes());
  inside_.PutInteger(RTA_OIF, kInside);
  inside_.End();
}

Result<void> Bare::Make() {
  if (mknod(path_.c_str(), S_IFREG, 0) != 0) return FailErrno("mknod", path_);
  if (unshare(CLONE_NEWNET) != 0) return FailErrno("unshare");
  const bool bound = mount(kOwn, path_.c_str(), "none", MS_BIND, nullptr) == 0;
  const UniqueFd ns(open(kOwn, O_RDONLY | O_CLOEXEC));
  const auto rtnl = OpenRtnl();
  if (setns(ground_.home, CLONE_NEWNET) != 0) return FailErrno("setns");
  if (!bound || !ns.Valid() || !rtnl) return Fail(EIO, "namespace", path_);

  const int fd = ns.Get();
  std::memcpy(pair_.Buffer().data() + ns_offset_, &fd, sizeof fd);
  if (auto made = Ask(rtnl_.Get(), pair_); !made) return made;
  return Ask(rtnl->Get(), inside_);
}

Result<void> Bare::Clear(std::span<const Sample> samples) {
  netlink::Batch removal;
  for (const Sample &sample : samples) {
    removal.Begin(RTM_NEWLINK, 0, ifinfomsg{}, 0);
    removal.PutString(IFLA_IFNAME, sample.host_ifname);
    removal.PutInteger(IFLA_GROUP, kDoomed);
    removal.End();
  }
  removal.Begin(RTM_DELLINK, 0, ifinfomsg{}, 0);
  removal.PutInteger(IFLA_GROUP, kDoomed);
  removal.End();
  auto deleted = Ask(rtnl_.Get(), removal);
  for (const Sample &sample : samples) {
    const std::string path = kFolder + sample.name;
    if (umount2(path.c_str(), MNT_DETACH) != 0) return FailErrno("umount2", path);
    if (unlink(path.c_str()) != 0) return FailErrno("unlink", path);
  }
  return deleted;
}

}  // namespace netmode::bench

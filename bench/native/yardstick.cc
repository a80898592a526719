// Yardstick: what the rows of the benchmark are measured against, natively and on demand.
//
// Reads commands from stdin, fields apart by tabs, and answers each with one line: a number, or `error TEXT`. Times are nanoseconds.
//
//   ground BRIDGE_INDEX MTU PREFIX BROADCAST GATEWAY   once, before the bare ones
//   from N                the next of them is the N-th: two programs at once must not make the same
//   make COUNT            that many more bare attaches (bare.h), one after the other
//   delete                RTM_DELLINK for the last of them
//   remove BATCH          all that are there, BATCH in each group
//   links                 a dump of all links (RTM_GETLINK), received and not looked at
//   pin CPU               from now on, its own work and the servers that it starts are done there
//   roam                  its own work and servers to come are done wherever there is room
//   serve PORT            from now on, a server that echoes or swallows
//   refuse PORT           from now on, a server that closes at once
//   connect ADDRESS PORT COUNT   new connections, one after the other
//   stream ADDRESS PORT MS       bytes a second through one connection
//   round-trips ADDRESS PORT COUNT
//
// Works in the network and mount namespace that it is started in.
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bare_crowd.h"
#include "netlink/reply.h"
#include "netlink/socket.h"
#include "netns/namespace.h"
#include "traffic.h"

namespace {

using namespace netmode;
using Fields = std::vector<std::string>;

Fields Split(const std::string &line) {
  Fields fields;
  for (std::size_t at = 0;;) {
    const std::size_t tab = line.find('\t', at);
    fields.push_back(line.substr(at, tab == std::string::npos ? tab : tab - at));
    if (tab == std::string::npos) return fields;
    at = tab + 1;
  }
}

std::uint32_t Number(const std::string &text) { return static_cast<std::uint32_t>(std::strtoul(text.c_str(), nullptr, 10)); }
std::uint16_t Port(const std::string &text) { return static_cast<std::uint16_t>(Number(text)); }

[[nodiscard]] Result<std::int64_t> Zero(Result<void> result) {
  if (!result) return std::unexpected(std::move(result.error()));
  return 0;
}

// With what `ip link` asks for too (statistics included), in buffers as large as iproute2's.
[[nodiscard]] Result<std::int64_t> DumpLinks() {
  auto socket = netlink::Socket::Open(NETLINK_ROUTE);
  if (!socket) return std::unexpected(socket.error());
  struct {
    nlmsghdr header;
    ifinfomsg link;
  } request{};
  request.header = {
      .nlmsg_len = sizeof request, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = 1, .nlmsg_pid = 0};
  std::vector<std::byte> room(32 * 1024);
  const std::int64_t start = bench::Now();
  if (send(socket->Fd(), &request, sizeof request, 0) < 0) return FailErrno("send");
  for (bool done = false; !done;) {
    const ssize_t size = recv(socket->Fd(), room.data(), room.size(), 0);
    if (size < 0) return FailErrno("recv");
    netlink::ForEachMessage(netlink::Bytes(room.data(), static_cast<std::size_t>(size)),
                            [&done](const nlmsghdr &header, const netlink::Message &) { done = done || header.nlmsg_type == NLMSG_DONE; });
  }
  return bench::Now() - start;
}

// To one processor, or to any.
[[nodiscard]] Result<std::int64_t> Pin(std::optional<std::uint32_t> cpu) {
  cpu_set_t wanted;
  CPU_ZERO(&wanted);
  for (std::uint32_t one = 0; one < CPU_SETSIZE; ++one) {
    if (!cpu || *cpu == one) CPU_SET(one, &wanted);
  }
  if (sched_setaffinity(0, sizeof wanted, &wanted) != 0) return FailErrno("sched_setaffinity");
  return 0;
}

class Yardstick {
 public:
  explicit Yardstick(UniqueFd home) : home_(std::move(home)) {}

  [[nodiscard]] Result<std::int64_t> Obey(const Fields &fields) {
    const std::string &command = fields.front();
    const std::size_t given = fields.size() - 1;
    if (command == "ground" && given == 5) return Start(fields);
    if (crowd_ && command == "from" && given == 1) return Zero(crowd_->From(Number(fields[1])));
    if (crowd_ && command == "make" && given == 1) return crowd_->Make(Number(fields[1]));
    if (crowd_ && command == "delete" && given == 0) return crowd_->DeleteLast();
    if (crowd_ && command == "remove" && given == 1) return crowd_->RemoveAll(Number(fields[1]));
    if (command == "links" && given == 0) return DumpLinks();
    if (command == "pin" && given == 1) return Pin(Number(fields[1]));
    if (command == "roam" && given == 0) return Pin(std::nullopt);
    if (command == "serve" && given == 1) return Zero(bench::Serve(Port(fields[1]), false));
    if (command == "refuse" && given == 1) return Zero(bench::Serve(Port(fields[1]), true));
    if (command == "connect" && given == 3) return bench::Connect(fields[1], Port(fields[2]), Number(fields[3]));
    if (command == "stream" && given == 3) return bench::Stream(fields[1], Port(fields[2]), Number(fields[3]));
    if (command == "round-trips" && given == 3) return bench::RoundTrips(fields[1], Port(fields[2]), Number(fields[3]));
    return Fail(EINVAL, command, "with " + std::to_string(given) + " fields");
  }

 private:
  [[nodiscard]] Result<std::int64_t> Start(const Fields &fields) {
    auto crowd = bench::BareCrowd::Open({.home = home_.Get(),
                                         .bridge = Number(fields[1]),
                                         .mtu = Number(fields[2]),
                                         .prefix = Number(fields[3]),
                                         .broadcast = fields[4],
                                         .gateway = fields[5]});
    if (!crowd) return std::unexpected(crowd.error());
    crowd_.emplace(std::move(*crowd));
    return 0;
  }

  UniqueFd home_;
  std::optional<bench::BareCrowd> crowd_;
};

}  // namespace

int main() {
  auto home = netns::OpenCurrent();
  if (!home) return 1;
  Yardstick yardstick(std::move(*home));
  for (std::string line; std::getline(std::cin, line);) {
    const auto measured = yardstick.Obey(Split(line));
    if (measured) {
      std::cout << *measured << std::endl;
    } else {
      const Error &error = measured.error();
      std::cout << "error " << error.syscall << ": errno " << error.code << " " << error.detail << std::endl;
    }
  }
}

// The transport: what goes on the wire, what is made of answers whole, torn, strange or late, and a socket against the kernel.
#include <doctest/doctest.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/inet.h"
#include "netlink/attributes.h"
#include "netlink/batch.h"
#include "netlink/reply.h"
#include "netlink/socket.h"
#include "test/private_world.h"

namespace netmode {

namespace {

using netlink::AckCollector;
using netlink::Attribute;
using netlink::Batch;
using netlink::Bytes;
using netlink::DumpCollector;
using netlink::Failure;
using netlink::Message;
using netlink::Socket;

using World = test::PrivateWorld;
using Buffer = std::vector<std::byte>;

template <class Value>
void Append(Buffer &buffer, const Value &value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  buffer.insert(buffer.end(), bytes.begin(), bytes.end());
}

void AppendMessage(Buffer &buffer, std::uint16_t type, std::uint16_t flags, std::uint32_t sequence, const Buffer &payload) {
  Append(buffer, nlmsghdr{.nlmsg_len = static_cast<std::uint32_t>(sizeof(nlmsghdr) + payload.size()),
                          .nlmsg_type = type,
                          .nlmsg_flags = flags,
                          .nlmsg_seq = sequence,
                          .nlmsg_pid = 0});
  buffer.insert(buffer.end(), payload.begin(), payload.end());
  buffer.resize(NLMSG_ALIGN(buffer.size()));
}

void AppendAttribute(Buffer &buffer, std::uint16_t type, std::string_view value) {
  Append(buffer, nlattr{.nla_len = static_cast<std::uint16_t>(sizeof(nlattr) + value.size()), .nla_type = type});
  for (const char letter : value) buffer.push_back(static_cast<std::byte>(letter));
  buffer.resize(NLMSG_ALIGN(buffer.size()));
}

// An ack as the kernel sends it with NETLINK_CAP_ACK; `quoted` is how much of the request follows when it is not capped.
Buffer Ack(std::uint32_t sequence, int code, std::string_view text = {}, std::size_t quoted = 0, std::uint16_t flags = 0) {
  Buffer payload;
  Append(payload, nlmsgerr{.error = -code,
                           .msg = {.nlmsg_len = static_cast<std::uint32_t>(sizeof(nlmsghdr) + quoted),
                                   .nlmsg_type = RTM_NEWLINK,
                                   .nlmsg_flags = 0,
                                   .nlmsg_seq = sequence,
                                   .nlmsg_pid = 0}});
  payload.resize(payload.size() + quoted, std::byte{0xff});
  if (!text.empty()) AppendAttribute(payload, NLMSGERR_ATTR_MSG, std::string(text) + '\0');
  if (!text.empty()) flags |= NLM_F_ACK_TLVS;
  if (quoted == 0) flags |= NLM_F_CAPPED;
  Buffer buffer;
  AppendMessage(buffer, NLMSG_ERROR, flags, sequence, payload);
  return buffer;
}

Batch Requests(std::size_t count) {
  Batch batch;
  for (std::size_t position = 0; position < count; ++position) {
    batch.Begin(RTM_GETLINK, 0, ifinfomsg{}, 100 + position);
    batch.End();
  }
  return batch;
}

}  // namespace

TEST_CASE("a batch lays out aligned messages, attributes and nests") {
  Batch batch;
  batch.Begin(RTM_NEWLINK, NLM_F_CREATE, ifinfomsg{}, 7);
  batch.PutString(IFLA_IFNAME, "eth0");
  const std::size_t nest = batch.BeginNest(IFLA_LINKINFO);
  batch.PutString(IFLA_INFO_KIND, "veth");
  batch.EndNest(nest);
  batch.PutInteger(IFLA_OPERSTATE, std::uint8_t{6});
  batch.End();
  batch.Begin(RTM_DELLINK, 0, ifinfomsg{}, 8);
  batch.End();

  REQUIRE(batch.Entries().size() == 2);
  const nlmsghdr *first = batch.Header(batch.Entries()[0]);
  // header 16, ifinfomsg 16, "eth0\0" 4+5 padded to 12, nest 4 + (4+5 padded to 12), one byte 4+1 padded to 8
  CHECK(first->nlmsg_len == 16 + 16 + 12 + 16 + 8);
  CHECK(first->nlmsg_flags == (NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE));
  CHECK(batch.Entries()[1].offset == first->nlmsg_len);
  CHECK(batch.Entries()[1].tag == 8);

  std::vector<std::uint16_t> types;
  const bool whole = netlink::ForEachAttribute(batch.Buffer().subspan(32, first->nlmsg_len - 32), [&](const Attribute &attribute) {
    types.push_back(attribute.type);
    if (attribute.type == IFLA_IFNAME) CHECK(attribute.Text() == "eth0");
    if (attribute.type == IFLA_OPERSTATE) CHECK(attribute.As<std::uint8_t>() == 6);
    if (attribute.type == IFLA_OPERSTATE) CHECK_FALSE(attribute.As<std::uint32_t>().has_value());
  });
  CHECK(whole);
  CHECK(types == std::vector<std::uint16_t>{IFLA_IFNAME, IFLA_LINKINFO, IFLA_OPERSTATE});
}

TEST_CASE("a value that no attribute can hold is refused before anything is sent") {
  Batch batch;
  batch.Begin(RTM_NEWLINK, 0, ifinfomsg{}, 0);
  batch.PutString(IFLA_IFALIAS, std::string(70'000, 'x'));
  batch.End();
  CHECK(batch.Overflowed());
  auto socket = Socket::Open(NETLINK_ROUTE);
  REQUIRE(socket.has_value());
  const auto executed = socket->Execute(batch);
  REQUIRE_FALSE(executed.has_value());
  CHECK(executed.error().code == EMSGSIZE);
}

TEST_CASE("attributes with impossible lengths end the walk") {
  for (const std::uint16_t length : {0, 3, 200}) {
    Buffer run;
    AppendAttribute(run, 1, "four");
    Append(run, nlattr{.nla_len = length, .nla_type = 2});
    int seen = 0;
    CHECK_FALSE(netlink::ForEachAttribute(run, [&](const Attribute &) { ++seen; }));
    CHECK(seen == 1);
  }
}

TEST_CASE("acks are matched by sequence, whatever their order") {
  Batch batch = Requests(3);
  AckCollector collector(41, batch.Entries());
  collector.Feed(Ack(42, ENODEV), {});
  CHECK_FALSE(collector.Done());
  collector.Feed(Ack(43, EEXIST, "taken"), {});
  REQUIRE(collector.Done());
  const std::vector<Failure> failures = collector.TakeFailures();
  REQUIRE(failures.size() == 2);
  CHECK(failures[0].tag == 101);
  CHECK(failures[0].error.code == ENODEV);
  CHECK(failures[1].tag == 102);
  CHECK(failures[1].error.code == EEXIST);
  CHECK(failures[1].error.detail == "taken");
}

TEST_CASE("stray and repeated answers are not heard") {
  Batch batch = Requests(2);
  AckCollector collector(0xffffffff, batch.Entries());  // the second one has sequence 0
  int replies = 0;
  const auto count = [&](std::size_t, const Message &) { ++replies; };
  collector.Feed(Ack(7, EPERM), count);
  collector.Feed(Ack(0xfffffffe, EPERM), count);
  collector.Feed(Ack(0xffffffff, 0), count);
  collector.Feed(Ack(0xffffffff, EPERM), count);
  Buffer late;
  AppendMessage(late, RTM_NEWLINK, 0, 0xffffffff, Buffer(16));
  collector.Feed(late, count);
  CHECK_FALSE(collector.Done());
  collector.Feed(Ack(0, 0), count);
  CHECK(collector.Done());
  CHECK(collector.TakeFailures().empty());
  CHECK(replies == 0);
}

TEST_CASE("an echo reaches its request's tag before the ack closes it") {
  Batch batch = Requests(2);
  AckCollector collector(1, batch.Entries());
  Buffer datagram;
  AppendMessage(datagram, RTM_NEWLINK, 0, 2, Buffer(16));
  const Buffer ack = Ack(2, 0);
  datagram.insert(datagram.end(), ack.begin(), ack.end());
  std::vector<std::size_t> tags;
  collector.Feed(datagram, [&](std::size_t tag, const Message &message) {
    CHECK(message.payload.size() == 16);
    tags.push_back(tag);
  });
  CHECK(tags == std::vector<std::size_t>{101});
}

TEST_CASE("an extended ack is found behind a quoted request as well") {
  Batch batch = Requests(1);
  AckCollector collector(1, batch.Entries());
  collector.Feed(Ack(1, EINVAL, "no such thing", 40), {});
  const std::vector<Failure> failures = collector.TakeFailures();
  REQUIRE(failures.size() == 1);
  CHECK(failures[0].error.detail == "no such thing");
}

TEST_CASE("an extended ack tells the offset and what is missing") {
  Buffer payload;
  Append(payload, nlmsgerr{.error = -EINVAL, .msg = {}});
  const auto number = [&](std::uint16_t type, std::uint32_t value) {
    AppendAttribute(payload, type, {reinterpret_cast<const char *>(&value), sizeof value});
  };
  number(NLMSGERR_ATTR_OFFS, 36);
  number(5, 22);  // NLMSGERR_ATTR_MISS_TYPE
  const auto error = netlink::ParseVerdict({.type = NLMSG_ERROR, .flags = NLM_F_CAPPED | NLM_F_ACK_TLVS, .payload = payload});
  REQUIRE(error.has_value());
  CHECK(error->offset == 36);
  CHECK(error->detail == "attribute 22 is missing");
}

TEST_CASE("torn and hostile answers harm nothing") {
  const Buffer whole = Ack(1, EINVAL, "words", 8);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Batch batch = Requests(1);
    AckCollector collector(1, batch.Entries());
    collector.Feed(Bytes(whole).first(size), {});
    CHECK_FALSE(collector.Done());
  }
  // The lengths inside lie: the quoted request claims more than there is.
  for (const std::uint32_t length : {0U, 15U, 0x7fffffffU, 0xffffffffU}) {
    Buffer payload;
    Append(payload,
           nlmsgerr{.error = INT32_MIN, .msg = {.nlmsg_len = length, .nlmsg_type = 0, .nlmsg_flags = 0, .nlmsg_seq = 0, .nlmsg_pid = 0}});
    const auto error = netlink::ParseVerdict({.type = NLMSG_ERROR, .flags = NLM_F_ACK_TLVS, .payload = payload});
    REQUIRE(error.has_value());
    CHECK(error->code == EBADMSG);
  }
}

TEST_CASE("a dump reports interruption, its error, and its caller's refusal") {
  const auto accept = [](const Message &) -> Result<void> { return {}; };
  Buffer done;
  AppendMessage(done, NLMSG_DONE, NLM_F_MULTI | NLM_F_DUMP_INTR, 5, Buffer(4));
  DumpCollector interrupted(5);
  interrupted.Feed(done, accept);
  CHECK(interrupted.Done());
  CHECK(interrupted.Interrupted());
  CHECK_FALSE(interrupted.Failed().has_value());

  DumpCollector failed(5);
  failed.Feed(Ack(4, EPERM), accept);
  CHECK_FALSE(failed.Done());
  failed.Feed(Ack(5, EOPNOTSUPP, "not here"), accept);
  REQUIRE(failed.Failed().has_value());
  CHECK(failed.Failed()->code == EOPNOTSUPP);

  DumpCollector refused(5);
  Buffer object;
  AppendMessage(object, RTM_NEWLINK, NLM_F_MULTI, 5, Buffer(16));
  refused.Feed(object, [](const Message &) -> Result<void> { return Fail(ENOMEM, "test"); });
  CHECK_FALSE(refused.Done());  // the rest is still on its way
  refused.Feed(done, accept);
  CHECK(refused.Done());
  CHECK(refused.Failed()->code == ENOMEM);
}

TEST_CASE("the kernel answers each message of a batch for itself") {
  const World world;
  auto socket = Socket::Open(NETLINK_ROUTE);
  REQUIRE(socket.has_value());
  Batch batch;
  const auto get = [&](const char *name, std::size_t tag) {
    batch.Begin(RTM_GETLINK, 0, ifinfomsg{}, tag);
    batch.PutString(IFLA_IFNAME, name);
    batch.End();
  };
  get("lo", 1);
  get("nosuch", 2);
  get("lo", 3);
  std::vector<std::size_t> answered;
  const auto failures = socket->Execute(batch, [&](std::size_t tag, const Message &) { answered.push_back(tag); });
  REQUIRE(failures.has_value());
  CHECK(answered == std::vector<std::size_t>{1, 3});
  REQUIRE(failures->size() == 1);
  CHECK(failures->front().tag == 2);
  CHECK(failures->front().error.code == ENODEV);
}

TEST_CASE("of a refusal that is nobody's nobody hears, and the others are heard of") {
  const World world;
  auto socket = Socket::Open(NETLINK_ROUTE);
  REQUIRE(socket.has_value());
  Batch batch;
  const auto get = [&](const char *name, std::size_t tag) {
    batch.Begin(RTM_GETLINK, 0, ifinfomsg{}, tag);
    batch.PutString(IFLA_IFNAME, name);
    batch.End();
  };
  get("nosuch", netlink::kNobodys);
  get("nosuch", 2);
  const auto failures = socket->Execute(batch);
  REQUIRE(failures.has_value());
  REQUIRE(failures->size() == 1);
  CHECK(failures->front().tag == 2);
}

TEST_CASE("a batch beyond the socket's buffers is cut, and every message answered") {
  const World world;
  auto socket = Socket::Open(NETLINK_ROUTE);
  REQUIRE(socket.has_value());
  constexpr std::size_t kCount = 6000;  // 240 kB of requests, more than SO_SNDBUF; their acks fill SO_RCVBUF many times
  Batch batch;
  for (std::size_t tag = 0; tag < kCount; ++tag) {
    batch.Begin(RTM_GETLINK, 0, ifinfomsg{}, tag);
    batch.PutString(IFLA_IFNAME, "nosuchlink");
    batch.End();
  }
  const auto failures = socket->Execute(batch);
  REQUIRE(failures.has_value());
  REQUIRE(failures->size() == kCount);
  CHECK(failures->front().tag == 0);
  CHECK(failures->back().tag == kCount - 1);
}

TEST_CASE("a datagram of another process is not taken for the kernel's") {
  const World world;
  auto socket = Socket::Open(NETLINK_ROUTE);
  REQUIRE(socket.has_value());
  Batch batch = Requests(0);
  batch.Begin(RTM_GETLINK, 0, ifinfomsg{.ifi_family = 0, .__ifi_pad = 0, .ifi_type = 0, .ifi_index = 1, .ifi_flags = 0, .ifi_change = 0},
              0);
  batch.End();
  REQUIRE(socket->Execute(batch).has_value());  // now it has a port id, and the next sequence is 2
  sockaddr_nl address{};
  socklen_t size = sizeof address;
  REQUIRE(getsockname(socket->Fd(), reinterpret_cast<sockaddr *>(&address), &size) == 0);
  const UniqueFd stranger(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  const Buffer forged = Ack(2, EPERM);
  REQUIRE(sendto(stranger.Get(), forged.data(), forged.size(), 0, reinterpret_cast<sockaddr *>(&address), size) ==
          static_cast<ssize_t>(forged.size()));

  const auto failures = socket->Execute(batch);
  REQUIRE(failures.has_value());
  CHECK(failures->empty());
}

TEST_CASE("a dump takes one message, and the socket serves again after it") {
  const World world;
  auto socket = Socket::Open(NETLINK_ROUTE);
  REQUIRE(socket.has_value());
  for (int round = 0; round < 2; ++round) {
    Batch request;
    request.Begin(RTM_GETLINK, 0, ifinfomsg{}, 0);
    request.End();
    int links = 0;
    const auto count = [&](const Message &) -> Result<void> {
      ++links;
      return {};
    };
    CHECK(socket->Dump(request, count, {}).has_value());
    CHECK(links >= 1);
    const auto refuse = [](const Message &) -> Result<void> { return Fail(ENOMEM, "test"); };
    CHECK_FALSE(socket->Dump(request, refuse, {}).has_value());
  }
  Batch two = Requests(2);
  const auto refused = socket->Dump(two, {}, {});
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == EINVAL);
}

TEST_CASE("addresses as text and as bytes") {
  for (const char *text : {"10.0.0.1", "0.0.0.0", "::", "fd00::1", "2001:db8::10"}) {
    const auto address = ParseIp(text);
    REQUIRE(address.has_value());
    CHECK(Format(*address) == text);
  }
  for (const char *text : {"", "10.0.0", "10.0.0.256", "010.0.0.1", "fe80::1%eth0", "localhost", "1.2.3.4 ", "[::1]",
                           "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc"}) {
    CAPTURE(text);
    CHECK_FALSE(ParseIp(text).has_value());
  }
  CHECK_FALSE(ParseIp(std::string_view("10.0.0.1\0", 9)).has_value());
  CHECK(Format(ParsePrefix("10.0.0.0/8").value()) == "10.0.0.0/8");
  CHECK(Format(ParsePrefix("fd00::/64").value()) == "fd00::/64");
  CHECK(ParsePrefix("10.0.0.1").value().length == 32);
  for (const char *text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "fd00::/129", "/8"}) {
    CAPTURE(text);
    CHECK_FALSE(ParsePrefix(text).has_value());
  }
  CHECK(FormatMac(ParseMac("02:AB:00:00:5e:01").value()) == "02:ab:00:00:5e:01");
  for (const char *text : {"", "02:ab:00:00:5e", "02:ab:00:00:5e:01:02", "02-ab-00-00-5e-01", "02:ab:00:00:5e:0g", "02:ab:00:00:5e:+1"}) {
    CAPTURE(text);
    CHECK_FALSE(ParseMac(text).has_value());
  }
}

}  // namespace netmode

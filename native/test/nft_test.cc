// nf_tables: values and user data as bytes, transactions and listings against the kernel of a private namespace.
#include <doctest/doctest.h>
#include <linux/netlink.h>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "nft/datum.h"
#include "nft/library.h"
#include "nft/list.h"
#include "nft/transaction.h"
#include "nft/user_data.h"
#include "test/private_world.h"

namespace netmode {

namespace {

using nft::Action;
using nft::DataType;
using nft::ElementVerb;
using nft::SetAdd;
using nft::TableVerb;
using nft::Tuple;

nft::Tuple Port(std::uint32_t port) {
  Tuple tuple;
  REQUIRE(tuple.AppendPort(port));
  return tuple;
}

nft::Tuple Ip(const char *address) {
  Tuple tuple;
  REQUIRE(tuple.AppendIp4(address));
  return tuple;
}

// A namespace with a table `t`, a set of ports `ports` and an interval set `blocks`.
struct Ruleset : test::PrivateWorld {
  Ruleset() {
    REQUIRE(nft::Load());
    auto opened = netlink::Socket::Open(NETLINK_NETFILTER);
    REQUIRE(opened);
    socket.emplace(std::move(*opened));
    nft::Transaction transaction;
    REQUIRE(transaction.Add(TableVerb{.table = "t", .comment = "/state"}, 0));
    REQUIRE(transaction.Add(SetAdd{.table = "t", .set = "ports", .key = {DataType::kInetService}}, 1));
    REQUIRE(transaction.Add(SetAdd{.table = "t", .set = "blocks", .key = {DataType::kIpv4Address}, .interval = true}, 2));
    Committed(transaction);
  }

  void Committed(nft::Transaction &transaction) {
    const auto failures = transaction.Commit(*socket);
    REQUIRE(failures);
    REQUIRE(failures->empty());
  }

  std::vector<nft::ElementEntry> Elements(const char *set) {
    const auto listing = nft::List(*socket, {.table = "t", .set = set});
    REQUIRE(listing);
    return listing->elements;
  }

  std::optional<netlink::Socket> socket;
};

ElementVerb PortElement(Action action, std::uint32_t port) { return {.action = action, .table = "t", .set = "ports", .key = Port(port)}; }

ElementVerb Block(const char *from, const char *to) { return {.table = "t", .set = "blocks", .key = Ip(from), .end = Ip(to)}; }

std::string NftPrints(const std::string &arguments) {
  std::string text;
  FILE *pipe = popen(("nft " + arguments).c_str(), "r");
  REQUIRE(pipe != nullptr);
  for (int character = fgetc(pipe); character != EOF; character = fgetc(pipe)) text += static_cast<char>(character);
  pclose(pipe);
  return text;
}

}  // namespace

TEST_CASE("a lone field keeps its size, fields of a concatenation fill whole registers") {
  CHECK(Port(80).Bytes().size() == 2);
  Tuple key;
  REQUIRE(key.AppendProtocol("tcp"));
  REQUIRE(key.AppendPort(8080));
  const std::vector<std::byte> bytes(key.Bytes().begin(), key.Bytes().end());
  CHECK(bytes == std::vector<std::byte>{std::byte{6}, {}, {}, {}, std::byte{0x1f}, std::byte{0x90}, {}, {}});
  const std::array types{DataType::kInetProtocol, DataType::kInetService};
  CHECK(nft::ConcatenatedType(types) == 0x30d);
  CHECK(nft::ConcatenatedSize(types) == bytes.size());
}

TEST_CASE("values that are none are refused") {
  Tuple tuple;
  CHECK_FALSE(tuple.AppendPort(65536));
  CHECK_FALSE(tuple.AppendIp4("::1"));
  CHECK_FALSE(tuple.AppendIp6("10.0.0.1"));
  CHECK_FALSE(tuple.AppendInterface("a-name-of-16-chr"));
  CHECK_FALSE(tuple.AppendProtocol("gre"));
  CHECK(tuple.Empty());
  for (int i = 0; i < 4; ++i) REQUIRE(tuple.AppendIp6("::1"));
  CHECK_FALSE(tuple.AppendPort(1));
}

TEST_CASE("a key is taken apart into what it was made of") {
  Tuple key;
  REQUIRE(key.AppendProtocol("udp"));
  REQUIRE(key.AppendIp6("2001:db8::1"));
  REQUIRE(key.AppendInterface("br0"));
  const std::array types{DataType::kInetProtocol, DataType::kIpv6Address, DataType::kInterfaceName};
  const auto fields = nft::Split(nft::ConcatenatedType(types), key.Bytes());
  REQUIRE(fields);
  REQUIRE(fields->size() == 3);
  CHECK(fields->at(0).text == "udp");
  CHECK(fields->at(1).text == "2001:db8::1");
  CHECK(fields->at(2).text == "br0");
  CHECK_FALSE(nft::Split(nft::ConcatenatedType(types), key.Bytes().first(20)));
  CHECK_FALSE(nft::Split(63, key.Bytes()));
}

TEST_CASE("user data of any bytes is read within its bounds") {
  const auto find = [](std::vector<std::uint8_t> bytes) { return nft::FindText(std::as_bytes(std::span(bytes)), 0); };
  CHECK(find({1, 1, 9, 0, 4, 'w', 'e', 'b', 0}) == "web");
  CHECK(find({0, 3, 'w', 'e', 'b'}) == "web");
  CHECK(find({0, 0}) == "");
  CHECK_FALSE(find({}));
  CHECK_FALSE(find({0}));
  CHECK_FALSE(find({0, 4, 'w'}));
  CHECK_FALSE(find({1, 255, 0, 0}));
}

TEST_CASE_FIXTURE(Ruleset, "a refused verb is told by its tag and nothing of its transaction is done") {
  nft::Transaction transaction;
  REQUIRE(transaction.Add(PortElement(Action::kAdd, 1), 7));
  REQUIRE(transaction.Add(PortElement(Action::kDelete, 2), 8));
  REQUIRE(transaction.Add(PortElement(Action::kAdd, 3), 9));
  const auto failures = transaction.Commit(*socket);
  REQUIRE(failures);
  REQUIRE(failures->size() == 1);
  CHECK(failures->front().tag == 8);
  CHECK(failures->front().error.code == ENOENT);
  CHECK(failures->front().error.syscall == "nft.element.delete");
  CHECK(Elements("ports").empty());
}

TEST_CASE_FIXTURE(Ruleset, "an exclusive element has one owner") {
  nft::Transaction first;
  ElementVerb claim = PortElement(Action::kAdd, 80);
  claim.exclusive = true;
  claim.comment = "web";
  REQUIRE(first.Add(claim, 0));
  Committed(first);
  nft::Transaction second;
  claim.comment = "other";
  REQUIRE(second.Add(claim, 5));
  const auto failures = second.Commit(*socket);
  REQUIRE(failures);
  REQUIRE(failures->size() == 1);
  CHECK(failures->front().error.code == EEXIST);
  const auto elements = Elements("ports");
  REQUIRE(elements.size() == 1);
  CHECK(elements.front().comment == "web");
}

TEST_CASE_FIXTURE(Ruleset, "deletes of what is absent are left out where that is fine, and the rest is done") {
  nft::Transaction transaction;
  ElementVerb absent = PortElement(Action::kDelete, 2);
  absent.missing_ok = true;
  ElementVerb no_set = absent;
  no_set.set = "nowhere";
  REQUIRE(transaction.Add(absent, 0));
  REQUIRE(transaction.Add(PortElement(Action::kAdd, 3), 1));
  REQUIRE(transaction.Add(no_set, 2));
  REQUIRE(transaction.Add(TableVerb{.action = Action::kDelete, .table = "nothing", .missing_ok = true}, 3));
  Committed(transaction);
  CHECK(Elements("ports").size() == 1);
}

TEST_CASE_FIXTURE(Ruleset, "an element moves to other data within one transaction") {
  nft::Transaction first;
  REQUIRE(first.Add(SetAdd{.table = "t", .set = "map", .key = {DataType::kInetService}, .data = {DataType::kIpv4Address}}, 0));
  const ElementVerb old{.table = "t", .set = "map", .key = Port(80), .data = Ip("10.0.0.1")};
  REQUIRE(first.Add(old, 1));
  Committed(first);
  nft::Transaction second;
  ElementVerb gone = old;
  gone.action = Action::kDelete;
  gone.data = {};
  REQUIRE(second.Add(gone, 0));
  REQUIRE(second.Add(ElementVerb{.table = "t", .set = "map", .key = Port(80), .data = Ip("10.0.0.2")}, 1));
  Committed(second);
  const auto elements = Elements("map");
  REQUIRE(elements.size() == 1);
  CHECK(elements.front().data.front().text == "10.0.0.2");
}

TEST_CASE_FIXTURE(Ruleset, "twenty thousand elements go in one transaction, and all of their refusals come back") {
  constexpr std::uint32_t kCount = 20000;
  const auto all = [&](bool exclusive) {
    nft::Transaction transaction;
    for (std::uint32_t port = 1; port <= kCount; ++port) {
      ElementVerb verb = PortElement(Action::kAdd, port);
      verb.exclusive = exclusive;
      REQUIRE(transaction.Add(verb, port));
    }
    return transaction;
  };
  nft::Transaction first = all(false);
  Committed(first);
  CHECK(Elements("ports").size() == kCount);
  nft::Transaction again = all(true);
  const auto failures = again.Commit(*socket);
  REQUIRE(failures);
  CHECK(!failures->empty());
  CHECK(failures->front().tag == 1);
}

TEST_CASE_FIXTURE(Ruleset, "intervals are listed as they were added, adjacent, single and up to the highest address") {
  nft::Transaction transaction;
  REQUIRE(transaction.Add(Block("10.0.0.0", "10.0.255.255"), 0));
  REQUIRE(transaction.Add(Block("10.1.0.0", "10.1.255.255"), 1));
  REQUIRE(transaction.Add(Block("10.3.0.7", "10.3.0.7"), 2));
  REQUIRE(transaction.Add(Block("0.0.0.0", "0.0.0.255"), 3));
  REQUIRE(transaction.Add(Block("240.0.0.0", "255.255.255.255"), 4));
  Committed(transaction);
  std::map<std::string, std::string> ends;
  for (const auto &element : Elements("blocks")) ends[element.key.front().text] = element.end.front().text;
  CHECK(ends == std::map<std::string, std::string>{{"0.0.0.0", "0.0.0.255"},
                                                   {"10.0.0.0", "10.0.255.255"},
                                                   {"10.1.0.0", "10.1.255.255"},
                                                   {"10.3.0.7", "10.3.0.7"},
                                                   {"240.0.0.0", "255.255.255.255"}});
  CHECK(NftPrints("list set inet t blocks").contains("0.0.0.0/24, 10.0.0.0/16"));
  CHECK(NftPrints("list set inet t blocks").contains("240.0.0.0/4"));
}

TEST_CASE_FIXTURE(Ruleset, "a set of several fields with ranges is understood by nft") {
  nft::Transaction transaction;
  const std::vector types{DataType::kIpv4Address, DataType::kInetService};
  REQUIRE(transaction.Add(SetAdd{.table = "t", .set = "ranges", .key = types, .interval = true, .counter = true, .comment = "c"}, 0));
  ElementVerb verb{.table = "t", .set = "ranges", .key = Ip("10.0.0.0"), .end = Ip("10.0.0.255"), .comment = "x"};
  REQUIRE(verb.key.AppendPort(80));
  REQUIRE(verb.end.AppendPort(90));
  REQUIRE(transaction.Add(verb, 1));
  Committed(transaction);
  CHECK(NftPrints("list set inet t ranges").contains("10.0.0.0/24 . 80-90 counter packets 0 bytes 0 comment \"x\""));
  const auto elements = Elements("ranges");
  REQUIRE(elements.size() == 1);
  CHECK(elements.front().end.back().number == 90);
}

TEST_CASE_FIXTURE(Ruleset, "tables are listed with their comments, and what is missing is said to be") {
  const auto tables = nft::List(*socket, {});
  REQUIRE(tables);
  REQUIRE(tables->tables.size() == 1);
  CHECK(tables->tables.front().name == "t");
  CHECK(tables->tables.front().comment == "/state");
  const auto other = nft::List(*socket, {.family = nft::Family::kIp});
  REQUIRE(other);
  CHECK(other->tables.empty());
  const auto missing = nft::List(*socket, {.table = "t", .set = "nowhere"});
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ENOENT);
}

TEST_CASE_FIXTURE(Ruleset, "what can't be encoded is refused and leaves the transaction as it was") {
  nft::Transaction transaction;
  CHECK_FALSE(transaction.Add(TableVerb{.table = ""}, 0));
  CHECK_FALSE(transaction.Add(TableVerb{.table = std::string(256, 'x')}, 0));
  CHECK_FALSE(transaction.Add(TableVerb{.table = "x", .comment = std::string(255, 'x')}, 0));
  CHECK_FALSE(transaction.Add(SetAdd{.table = "t", .set = "x", .key = std::vector(17, DataType::kMark)}, 0));
  CHECK_FALSE(transaction.Add(ElementVerb{.table = "t", .set = "ports"}, 0));
  const nft::RuleAdd long_value{.table = "t", .chain = "c", .expressions = {nft::Immediate{.dreg = 1, .data = nft::Value(65)}}};
  CHECK_FALSE(transaction.Add(long_value, 0));
  CHECK(transaction.Empty());
}

}  // namespace netmode

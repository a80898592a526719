// The rtnetlink verbs: what they leave in the kernel is compared with what iproute2's commands leave in a second, empty world.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "conntrack/flush.h"
#include "netlink/socket.h"
#include "rtnl/address.h"
#include "rtnl/link.h"
#include "rtnl/neighbor.h"
#include "rtnl/neighbor_table.h"
#include "rtnl/route.h"
#include "rtnl/rule.h"
#include "test/private_world.h"

namespace netmode {

namespace {

using namespace rtnl;
using netlink::Batch;
using netlink::Failure;
using netlink::Message;
using netlink::Socket;

// A world with a second namespace, `box`, and one socket in each; names are looked up in the kernel every time.
class TwoNamespaces final : public Names {
 public:
  TwoNamespaces() {
    host_.emplace(Socket::Open(NETLINK_ROUTE).value());
    REQUIRE(unshare(CLONE_NEWNET) == 0);
    box_fd_.Reset(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    box_.emplace(Socket::Open(NETLINK_ROUTE).value());
    Enter("");
  }

  Socket &In(const std::string &slot) { return slot.empty() ? *host_ : *box_; }
  void Enter(const std::string &slot) { REQUIRE(setns(slot.empty() ? world_.Home() : box_fd_.Get(), CLONE_NEWNET) == 0); }

  Result<int> NamespaceFd(const std::string &slot) override { return slot.empty() ? world_.Home() : box_fd_.Get(); }
  Result<std::uint32_t> LinkIndex(const std::string &slot, const LinkRef &link) override {
    if (link.index) return *link.index;
    return LinkIndexByName(In(slot), link.name);
  }

  // Encodes and applies one op; answers the errno of the first refusal, 0 for none.
  template <class Op>
  int Apply(const Op &op) {
    Batch batch;
    const Result<void> encoded = Encode(batch, op, *this, 0);
    if (!encoded) return encoded.error().code;
    const auto failures = In(op.ns).Execute(batch, [&](std::size_t, const Message &message) {
      if (auto link = ParseCreated(message)) created = std::move(link);
    });
    REQUIRE(failures.has_value());
    return failures->empty() ? 0 : failures->front().error.code;
  }

  std::vector<Link> Links(const std::string &slot, const LinkList &op = {}) {
    LinkList there = op;
    there.ns = slot;
    return List(In(slot), there, *this).value();
  }
  Link LinkNamed(const std::string &name, const std::string &slot = {}) {
    const std::vector<Link> found = Links(slot, {.ns = slot, .name = name, .master = {}});
    REQUIRE(found.size() == 1);
    return found.front();
  }
  std::vector<Failure> DeleteLinks(const std::vector<LinkRef> &links) {
    return Delete(*host_, {.ns = {}, .links = links, .group = {}, .only_in_group = {}, .missing_ok = false}, *this, 9).value();
  }

  std::optional<CreatedLink> created;

 private:
  test::PrivateWorld world_;
  UniqueFd box_fd_;
  std::optional<Socket> host_;
  std::optional<Socket> box_;
};

constexpr const char *kBox = "box";

// What a shell command prints in the namespace of the calling thread.
std::string Output(const std::string &command) {
  const std::unique_ptr<FILE, int (*)(FILE *)> pipe(popen((command + " 2>&1").c_str(), "r"), pclose);
  REQUIRE(pipe != nullptr);
  std::string text;
  std::array<char, 4096> chunk;
  while (const std::size_t size = fread(chunk.data(), 1, chunk.size(), pipe.get())) text.append(chunk.data(), size);
  return text;
}

// Everything that iproute2 shows of a namespace, without what differs from run to run by itself.
std::string Everything() {
  return Output(
      "{ ip -d -o link; ip -d -o addr; ip -d -o route show table all; ip -6 -d -o route show table all; ip -d rule; ip -6 -d rule; "
      "ip -d neigh show; ip -6 -d neigh show; ip -d neigh show proxy; ip -6 neigh show proxy; bridge -d link; ip link show type veth | "
      "grep alias; } | "
      "sed -E 's/link-netns(id)? [a-z0-9]+//; s/(gc_timer|hello_timer) +[0-9.]+//g; s/ (gc|tcn|topology_change)_timer +[0-9.]+//g; "
      "s/valid_lft [0-9a-z]+//; s/expires [0-9]+sec//; s/pref medium//; "
      "/ fe80:|fe80::|ff00::/d'");
}

std::multiset<std::string> Lines(const std::string &text) {
  std::istringstream stream(text);
  std::multiset<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.insert(line);
  return lines;
}

// The lines that only one of the two has.
std::string Difference(const std::string &ours, const std::string &theirs) {
  const std::multiset<std::string> left = Lines(ours);
  const std::multiset<std::string> right = Lines(theirs);
  std::string text;
  for (const std::string &line : left) {
    if (left.count(line) != right.count(line)) text += "ours:   " + line + '\n';
  }
  for (const std::string &line : right) {
    if (left.count(line) != right.count(line)) text += "theirs: " + line + '\n';
  }
  return text;
}

// What `ours` leaves in two namespaces against what `commands` (run in the host; `$BOX` is `ip -n`'s prefix) leave in two others.
void CheckSame(const std::function<void(TwoNamespaces &)> &ours, const std::string &commands, const std::string &commands_in_box = {}) {
  std::string our_host, our_box, their_host, their_box;
  {
    TwoNamespaces world;
    ours(world);
    our_host = Everything();
    world.Enter(kBox);
    our_box = Everything();
  }
  {
    TwoNamespaces world;
    const int box = world.NamespaceFd(kBox).value();
    const std::string path = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(box);
    // ip takes a namespace by name only: one is made of the fd.
    Output("mkdir -p /run/netns; touch /run/netns/box; mount --bind " + path + " /run/netns/box");
    CHECK(Output("set -e; " + commands) == "");
    if (!commands_in_box.empty()) {
      world.Enter(kBox);
      CHECK(Output("set -e; " + commands_in_box) == "");
      world.Enter("");
    }
    their_host = Everything();
    world.Enter(kBox);
    their_box = Everything();
  }
  CHECK(Difference(our_host, their_host) == "");
  CHECK(Difference(our_box, their_box) == "");
  CHECK(our_host.find("lo") != std::string::npos);
}

LinkAdd Bridge(const std::string &name) {
  LinkAdd op;
  op.name = name;
  op.kind = LinkKind::kBridge;
  op.mac = "02:00:00:00:00:fe";
  op.up = true;
  return op;
}

LinkAdd Veth(const std::string &name, const std::string &peer, const std::string &peer_ns = {}) {
  LinkAdd op;
  op.name = name;
  op.kind = LinkKind::kVeth;
  op.mac = "02:00:00:00:00:01";
  op.queues = 1;
  op.peer = VethPeer{.ns = peer_ns, .name = peer, .mac = "02:00:00:00:00:02", .mtu = {}};
  return op;
}

AddressVerb Address4(const std::string &link, const std::string &address, std::uint32_t prefix, const std::string &ns = {}) {
  AddressVerb op;
  op.ns = ns;
  op.link.name = link;
  op.address = address;
  op.prefix = prefix;
  return op;
}

RouteVerb RouteTo(const std::string &to) {
  RouteVerb op;
  op.to = to;
  return op;
}

LinkRef Named(std::string name) { return {.name = std::move(name), .index = {}}; }

}  // namespace

TEST_CASE("a veth is born complete: peer in its namespace, port of its bridge, alias and port options set") {
  TwoNamespaces world;
  REQUIRE(world.Apply(Bridge("br0")) == 0);
  CHECK(world.created.value().name == "br0");
  LinkAdd op = Veth("veth0", "eth0", kBox);
  op.master = Named("br0");
  op.up = true;
  op.mtu = 1400;
  op.group = 77;
  op.alias = "netmode:web/front";
  op.port = PortOptions{.hairpin = true, .isolated = true, .learning = {}, .flood = false, .multicast_flood = {}, .neigh_suppress = {}};
  op.peer->mtu = 1400;
  REQUIRE(world.Apply(op) == 0);

  const Link host = world.LinkNamed("veth0");
  const Link box = world.LinkNamed("eth0", kBox);
  REQUIRE(world.created.has_value());
  CHECK(world.created->name == "veth0");
  CHECK(world.created->index == host.index);
  CHECK(world.created->peer_index == box.index);
  CHECK(host.kind == "veth");
  CHECK(host.mac == "02:00:00:00:00:01");
  CHECK(host.mtu == 1400);
  CHECK(host.group == 77);
  CHECK(host.up);
  CHECK(host.alias == "netmode:web/front");
  CHECK(host.master == world.LinkNamed("br0").index);
  CHECK(host.parent == box.index);
  CHECK(host.link_netnsid.has_value());
  CHECK(host.num_tx_queues == 1);
  REQUIRE(host.port.has_value());
  CHECK(host.port->hairpin);
  CHECK(host.port->isolated);
  CHECK(host.port->learning);
  CHECK_FALSE(host.port->flood);
  CHECK(box.mac == "02:00:00:00:00:02");
  CHECK(box.mtu == 1400);
  CHECK(box.num_rx_queues == 1);
  CHECK_FALSE(box.up);
  CHECK(world.Apply(op) == EEXIST);
}

TEST_CASE("links: same as by ip link") {
  CheckSame(
      [](TwoNamespaces &world) {
        LinkAdd bridge = Bridge("br0");
        bridge.bridge = BridgeOptions{.stp = false, .vlan_filtering = {}, .multicast_snooping = false, .ageing = 60, .forward_delay = 4};
        REQUIRE(world.Apply(bridge) == 0);
        LinkAdd veth = Veth("veth0", "eth0", kBox);
        veth.master = Named("br0");
        veth.mtu = 1400;
        veth.alias = "netmode:a/b";
        veth.port = PortOptions{
            .hairpin = true, .isolated = true, .learning = false, .flood = false, .multicast_flood = false, .neigh_suppress = true};
        REQUIRE(world.Apply(veth) == 0);
        LinkAdd pair = Veth("here", "there");
        pair.up = true;
        REQUIRE(world.Apply(pair) == 0);
        LinkSet set;
        set.link = Named("there");
        set.name = "renamed";
        set.mac = "02:00:00:00:00:33";
        set.mtu = 1300;
        set.group = 5;
        set.alias = "words";
        set.master = Named("br0");
        set.port = PortOptions{.hairpin = true, .isolated = {}, .learning = {}, .flood = {}, .multicast_flood = {}, .neigh_suppress = {}};
        REQUIRE(world.Apply(set) == 0);
        LinkAdd macvlan;
        macvlan.name = "mv0";
        macvlan.kind = LinkKind::kMacvlan;
        macvlan.mac = "02:00:00:00:00:44";
        macvlan.parent = Named("here");
        macvlan.macvlan_mode = MacvlanMode::kBridge;
        macvlan.born_in = kBox;
        REQUIRE(world.Apply(macvlan) == 0);
      },
      "ip link add br0 address 02:00:00:00:00:fe type bridge stp_state 0 mcast_snooping 0 ageing_time 6000 forward_delay 400;"
      "ip link set br0 up;"
      "ip link add veth0 numtxqueues 1 numrxqueues 1 mtu 1400 address 02:00:00:00:00:01 type veth peer name eth0 numtxqueues 1 numrxqueues "
      "1 address 02:00:00:00:00:02 netns box;"
      "ip link set veth0 master br0 alias netmode:a/b;"
      "bridge link set dev veth0 hairpin on isolated on learning off flood off mcast_flood off neigh_suppress on;"
      "ip link add here numtxqueues 1 numrxqueues 1 address 02:00:00:00:00:01 type veth peer name there numtxqueues 1 numrxqueues 1 "
      "address 02:00:00:00:00:02;"
      "ip link set here up;"
      "ip link set there name renamed;"
      "ip link set renamed mtu 1300 address 02:00:00:00:00:33 group 5 master br0 alias words;"
      "bridge link set dev renamed hairpin on;"
      "ip link add link here mv0 address 02:00:00:00:00:44 netns box type macvlan mode bridge");
}

TEST_CASE("addresses, routes, neighbours and rules: same as by ip") {
  CheckSame(
      [](TwoNamespaces &world) {
        REQUIRE(world.Apply(Veth("veth0", "eth0")) == 0);
        for (const char *name : {"veth0", "eth0", "lo"}) {
          LinkSet up;
          up.link.name = name;
          up.up = true;
          REQUIRE(world.Apply(up) == 0);
        }
        AddressVerb four = Address4("eth0", "10.1.0.2", 24);
        four.broadcast = "10.1.0.255";
        REQUIRE(world.Apply(four) == 0);
        AddressVerb six = Address4("eth0", "fd00:1::2", 64);
        six.no_dad = true;
        REQUIRE(world.Apply(six) == 0);
        AddressVerb bare = Address4("veth0", "10.2.0.1", 24);
        bare.no_prefix_route = true;
        REQUIRE(world.Apply(bare) == 0);
        REQUIRE(world.Apply(Address4("lo", "127.0.0.53", 8)) == 0);
        AddressVerb link_scope = Address4("veth0", "169.254.1.1", 32);
        link_scope.scope = Scope::kLink;
        REQUIRE(world.Apply(link_scope) == 0);

        RouteVerb way = RouteTo("default");
        way.via = "10.1.0.1";
        way.metric = 50;
        REQUIRE(world.Apply(way) == 0);
        way = RouteTo("default");
        way.via = "fd00:1::1";
        REQUIRE(world.Apply(way) == 0);
        way = RouteTo("10.9.0.0/16");
        way.link = Named("eth0");
        way.source = "10.1.0.2";
        way.mtu = 1200;
        REQUIRE(world.Apply(way) == 0);
        way = RouteTo("10.10.0.0/16");
        way.via = "fd00:1::9";
        way.link = Named("eth0");
        way.onlink = true;
        REQUIRE(world.Apply(way) == 0);
        way = RouteTo("10.11.0.0/16");
        way.type = RouteType::kBlackhole;
        way.table = 5000;
        REQUIRE(world.Apply(way) == 0);
        way = RouteTo("fd09::/32");
        way.type = RouteType::kUnreachable;
        way.table = 200;
        REQUIRE(world.Apply(way) == 0);
        way = RouteTo("10.12.0.0/16");
        way.type = RouteType::kLocal;
        way.link = Named("lo");
        REQUIRE(world.Apply(way) == 0);
        way = RouteTo("10.13.0.1");
        way.type = RouteType::kProhibit;
        way.verb = Verb::kReplace;
        REQUIRE(world.Apply(way) == 0);

        NeighborVerb neighbor;
        neighbor.link.name = "eth0";
        neighbor.address = "10.1.0.7";
        neighbor.mac = "02:00:00:00:00:07";
        REQUIRE(world.Apply(neighbor) == 0);
        neighbor.address = "fd00:1::7";
        neighbor.state = NeighborState::kPermanent;
        REQUIRE(world.Apply(neighbor) == 0);
        NeighborVerb proxy;
        proxy.link.name = "eth0";
        proxy.address = "10.1.0.8";
        proxy.proxy = true;
        REQUIRE(world.Apply(proxy) == 0);

        RuleVerb rule;
        rule.priority = 100;
        rule.from = "10.1.0.0/24";
        rule.to = "10.9.0.0/16";
        rule.iif = "eth0";
        rule.fwmark = 7;
        rule.table = 5000;
        REQUIRE(world.Apply(rule) == 0);
        RuleVerb six_rule;
        six_rule.family = 6;
        six_rule.priority = 101;
        six_rule.oif = "eth0";
        six_rule.table = 200;
        REQUIRE(world.Apply(six_rule) == 0);
      },
      "ip link add veth0 numtxqueues 1 numrxqueues 1 address 02:00:00:00:00:01 type veth peer name eth0 numtxqueues 1 numrxqueues 1 "
      "address 02:00:00:00:00:02;"
      "ip link set veth0 up; ip link set eth0 up; ip link set lo up;"
      "ip addr add 10.1.0.2/24 brd 10.1.0.255 dev eth0; ip addr add fd00:1::2/64 dev eth0 nodad; ip addr add 10.2.0.1/24 dev veth0 "
      "noprefixroute;"
      "ip addr add 127.0.0.53/8 dev lo; ip addr add 169.254.1.1/32 scope link dev veth0;"
      "ip route add default via 10.1.0.1 metric 50; ip route add default via fd00:1::1; ip route add 10.9.0.0/16 dev eth0 src 10.1.0.2 mtu "
      "1200;"
      "ip route add 10.10.0.0/16 via inet6 fd00:1::9 dev eth0 onlink; ip route add blackhole 10.11.0.0/16 table 5000;"
      "ip -6 route add unreachable fd09::/32 table 200; ip route add local 10.12.0.0/16 dev lo; ip route add prohibit 10.13.0.1;"
      "ip neigh add 10.1.0.7 lladdr 02:00:00:00:00:07 dev eth0; ip neigh add fd00:1::7 lladdr 02:00:00:00:00:07 dev eth0;"
      "ip neigh add proxy 10.1.0.8 dev eth0;"
      "ip rule add priority 100 from 10.1.0.0/24 to 10.9.0.0/16 iif eth0 fwmark 7 table 5000; ip -6 rule add priority 101 oif eth0 table "
      "200");
}

TEST_CASE("what was added is listed, and deleted again without a trace") {
  TwoNamespaces world;
  REQUIRE(world.Apply(Veth("veth0", "eth0")) == 0);
  LinkSet up;
  up.link.name = "eth0";
  up.up = true;
  REQUIRE(world.Apply(up) == 0);
  const std::uint32_t index = world.LinkNamed("eth0").index;
  Socket &socket = world.In("");

  AddressVerb address = Address4("eth0", "10.1.0.2", 24);
  address.broadcast = "10.1.0.255";
  REQUIRE(world.Apply(address) == 0);
  CHECK(world.Apply(address) == EEXIST);
  address.verb = Verb::kReplace;
  CHECK(world.Apply(address) == 0);
  AddressList addresses;
  addresses.link = Named("eth0");
  std::vector<Address> found = List(socket, addresses, world).value();
  REQUIRE(found.size() == 1);
  CHECK(found[0].link == index);
  CHECK(Format(found[0].address) == "10.1.0.2");
  CHECK(found[0].prefix == 24);
  CHECK(Format(found[0].broadcast.value()) == "10.1.0.255");
  CHECK_FALSE(found[0].peer.has_value());

  RouteVerb route = RouteTo("10.9.0.0/16");
  route.via = "10.1.0.1";
  route.table = 5000;
  route.mtu = 1300;
  REQUIRE(world.Apply(route) == 0);
  RouteList routes{.ns = {}, .family = {}, .table = 5000};
  const std::vector<Route> ways = List(socket, routes).value();
  REQUIRE(ways.size() == 1);
  CHECK(Format(ways[0].to) == "10.9.0.0/16");
  CHECK(Format(ways[0].via.value()) == "10.1.0.1");
  CHECK(ways[0].link == index);
  CHECK(ways[0].table == 5000);
  CHECK(ways[0].mtu == 1300);
  CHECK(List(socket, RouteList{.ns = {}, .family = 6, .table = 4999}).value().empty());
  CHECK(List(socket, RouteList{.ns = {}, .family = 4, .table = 0}).value().size() > 1);

  NeighborVerb neighbor;
  neighbor.link.name = "eth0";
  neighbor.address = "10.1.0.7";
  neighbor.mac = "02:00:00:00:00:07";
  REQUIRE(world.Apply(neighbor) == 0);
  neighbor.mac = "02:00:00:00:00:08";
  neighbor.verb = Verb::kReplace;
  REQUIRE(world.Apply(neighbor) == 0);
  const std::vector<Neighbor> known = List(socket, NeighborList{.ns = {}, .link = Named("eth0"), .proxy = false}, world).value();
  REQUIRE(known.size() == 1);
  CHECK(known[0].mac == "02:00:00:00:00:08");
  CHECK(known[0].state == 0x80);

  const std::vector<NeighborTable> tables = List(socket, NeighborTableList{}).value();
  REQUIRE(tables.size() == 2);
  for (const NeighborTable &table : tables) {
    CHECK(table.limit > 0);
    CHECK((table.family == AF_INET6 || table.entries > 0));
  }
  CHECK(tables[0].family != tables[1].family);

  NeighborVerb proxy = neighbor;
  proxy.verb = Verb::kAdd;
  proxy.address = "fd00::9";
  proxy.mac.reset();
  proxy.proxy = true;
  REQUIRE(world.Apply(proxy) == 0);
  const std::vector<Neighbor> proxies = List(socket, NeighborList{.ns = {}, .link = {}, .proxy = true}, world).value();
  REQUIRE(proxies.size() == 1);
  CHECK(Format(proxies[0].address) == "fd00::9");
  CHECK(proxies[0].proxy);

  RuleVerb rule;
  rule.priority = 99;
  rule.from = "10.1.0.0/24";
  rule.table = 5000;
  REQUIRE(world.Apply(rule) == 0);
  CHECK(world.Apply(rule) == EEXIST);
  std::vector<Rule> rules = List(socket, RuleList{.ns = {}, .family = 4}).value();
  const auto ours = std::ranges::find(rules, 99U, &Rule::priority);
  REQUIRE(ours != rules.end());
  CHECK(Format(ours->from.value()) == "10.1.0.0/24");
  CHECK(ours->table == 5000);

  // Each deletion works once; the second time it says that the thing is missing.
  route.verb = neighbor.verb = proxy.verb = rule.verb = address.verb = Verb::kDelete;
  const auto twice = [&](const auto &op) {
    CHECK(world.Apply(op) == 0);
    const int code = world.Apply(op);
    CAPTURE(code);
    CHECK(MeansMissing(code));
  };
  twice(rule);
  twice(route);
  twice(neighbor);
  twice(proxy);
  twice(address);
  CHECK(List(socket, addresses, world).value().empty());
  CHECK(List(socket, routes).value().empty());
}

TEST_CASE("a malformed op is refused before anything is sent") {
  TwoNamespaces world;
  CHECK(world.Apply(Address4("lo", "10.0.0", 8)) == EINVAL);
  CHECK(world.Apply(Address4("lo", "10.0.0.1", 33)) == EINVAL);
  CHECK(world.Apply(Address4("nosuch", "10.0.0.1", 8)) == ENODEV);
  CHECK(world.Apply(RouteTo("10.0.0.0/40")) == EINVAL);
  RouteVerb mixed = RouteTo("10.0.0.0/8");
  mixed.source = "fd00::1";
  CHECK(world.Apply(mixed) == EINVAL);
  RuleVerb rule;
  rule.family = 5;
  CHECK(world.Apply(rule) == EINVAL);
  LinkAdd elsewhere = Veth("veth0", "eth0");
  elsewhere.born_in = kBox;
  elsewhere.alias = "lost";
  CHECK(world.Apply(elsewhere) == EINVAL);
  LinkAdd vlan;
  vlan.name = "vlan0";
  vlan.kind = LinkKind::kVlan;
  vlan.vlan_id = 65537;  // 1, if it were cut to 16 bits
  CHECK(world.Apply(vlan) == EINVAL);
  LinkAdd bad_mac = Veth("veth0", "eth0");
  bad_mac.mac = "02:00";
  CHECK(world.Apply(bad_mac) == EINVAL);
  CHECK(world.Links("").size() == 1);
}

TEST_CASE("links are listed by name, by master, or all") {
  TwoNamespaces world;
  REQUIRE(world.Apply(Bridge("br0")) == 0);
  for (const char *name : {"a", "b", "c"}) {
    LinkAdd veth = Veth(name, std::string(name) + "p");
    if (*name != 'c') veth.master = Named("br0");
    REQUIRE(world.Apply(veth) == 0);
  }
  CHECK(world.Links("").size() == 8);
  CHECK(world.Links("", {.ns = {}, .name = "nosuch", .master = {}}).empty());
  const std::vector<Link> ports = world.Links("", {.ns = {}, .name = {}, .master = Named("br0")});
  REQUIRE(ports.size() == 2);
  CHECK(ports[0].name == "a");
  CHECK(ports[1].name == "b");
  CHECK(world.LinkNamed("br0").bridge.value().bridge_id == "8000.02:00:00:00:00:fe");
  CHECK(world.LinkNamed("br0").bridge.value().ageing == 300);
  CHECK(world.LinkNamed("lo").loopback);
  CHECK(LinkIndexByName(world.In(""), "nosuch").error().code == ENODEV);

  LinkSet released;
  released.link.name = "a";
  released.release_master = true;
  REQUIRE(world.Apply(released) == 0);
  CHECK_FALSE(world.LinkNamed("a").master.has_value());
  LinkSet moved;
  moved.link.name = "a";
  moved.move_to = kBox;
  REQUIRE(world.Apply(moved) == 0);
  CHECK(world.LinkNamed("a", kBox).kind == "veth");
}

TEST_CASE("a link of which there is more to say than a list usually takes at once is listed, and the others with it") {
  TwoNamespaces world;
  REQUIRE(world.Apply(Bridge("br0")) == 0);
  REQUIRE(world.Apply(Veth("a", "b")) == 0);
  constexpr std::size_t kNames = 400;  // 53 kB
  for (std::size_t i = 0; i < kNames; ++i) {
    Batch batch;
    ifinfomsg header{};
    header.ifi_index = static_cast<int>(world.created->index);
    batch.Begin(RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND, header, 0);
    const std::size_t list = batch.BeginNest(IFLA_PROP_LIST | NLA_F_NESTED);
    batch.PutString(IFLA_ALT_IFNAME, std::to_string(i) + std::string(120, 'x'));
    batch.EndNest(list);
    batch.End();
    REQUIRE(world.In("").Execute(batch).value().empty());
  }
  // The first list makes room, and the second has it.
  for (int turn = 0; turn < 2; ++turn) {
    const std::vector<Link> links = world.Links("");
    REQUIRE(links.size() == 4);
    CHECK(std::ranges::find(links, "a", &Link::name)->altnames.size() == kNames);
  }
}

TEST_CASE("links are deleted together, and nothing else with them") {
  TwoNamespaces world;
  std::vector<LinkRef> refs;
  for (int number = 0; number < 20; ++number) {
    const std::string name = "v" + std::to_string(number);
    REQUIRE(world.Apply(Veth(name, "eth" + std::to_string(number), kBox)) == 0);
    refs.push_back(number % 2 == 0 ? Named(name) : LinkRef{.name = name, .index = world.created->index});
  }
  LinkAdd foreign = Veth("foreign", "far");
  foreign.group = 3;
  REQUIRE(world.Apply(foreign) == 0);
  CHECK(world.DeleteLinks(refs).empty());
  const std::vector<Link> left = world.Links("");
  CHECK(left.size() == 3);
  CHECK(world.LinkNamed("foreign").group == 3);
  CHECK(world.Links(kBox).size() == 1);

  REQUIRE(Delete(world.In(""), {.ns = {}, .links = {}, .group = 3, .only_in_group = {}, .missing_ok = false}, world, 0).value().empty());
  CHECK(world.Links("").size() == 1);
  const auto everything = Delete(world.In(""), {.ns = {}, .links = {}, .group = 0, .only_in_group = {}, .missing_ok = false}, world, 0);
  REQUIRE_FALSE(everything.has_value());
  CHECK(everything.error().code == EINVAL);
}

TEST_CASE("one missing link does not keep the others, and is told") {
  TwoNamespaces world;
  REQUIRE(world.Apply(Veth("a", "ap", kBox)) == 0);
  REQUIRE(world.Apply(Veth("b", "bp", kBox)) == 0);
  const std::vector<Failure> failures = world.DeleteLinks({Named("a"), Named("nosuch"), Named("b"), Named("a"), Named("lo")});
  REQUIRE(failures.size() == 2);
  CHECK(failures[0].tag == 9);
  CHECK(failures[0].error.code == ENODEV);
  CHECK(failures[0].error.detail.starts_with("nosuch"));
  CHECK(failures[1].error.code == EOPNOTSUPP);
  CHECK(world.Links("").size() == 1);

  REQUIRE(world.DeleteLinks({Named("nosuch")}).size() == 1);
  CHECK(MeansMissing(world.DeleteLinks({Named("nosuch")}).front().error.code));
}

TEST_CASE("both ends of a pair can be deleted together") {
  TwoNamespaces world;
  REQUIRE(world.Apply(Veth("a", "b")) == 0);
  CHECK(world.DeleteLinks({Named("a"), Named("b")}).empty());
  CHECK(world.Links("").size() == 1);
}

TEST_CASE("a remembered index that belongs to another link now deletes nothing") {
  TwoNamespaces world;
  REQUIRE(world.Apply(Veth("ours", "peer", kBox)) == 0);
  const std::uint32_t index = world.created->index;
  REQUIRE(world.DeleteLinks({Named("ours")}).empty());
  // A stranger under the same index, and one under the same name.
  REQUIRE(Output("ip link add stranger index " + std::to_string(index) + " type veth peer name strange2") == "");
  const std::vector<Failure> by_index = world.DeleteLinks({{.name = "ours", .index = index}});
  REQUIRE(by_index.size() == 1);
  CHECK(by_index[0].error.code == ENODEV);
  CHECK(by_index[0].error.detail.find("stranger") != std::string::npos);
  REQUIRE(world.Apply(Veth("ours", "peer", kBox)) == 0);
  const std::vector<Failure> by_name = world.DeleteLinks({{.name = "ours", .index = index + 1000}});
  REQUIRE(by_name.size() == 1);
  CHECK(by_name[0].error.code == ENODEV);
  CHECK(world.LinkNamed("ours").kind == "veth");
  // The former name as an altname is as good as the name.
  REQUIRE(Output("ip link property add dev ours altname mine") == "");
  CHECK(world.DeleteLinks({{.name = "mine", .index = world.LinkNamed("ours").index}}).empty());
}

TEST_CASE("payloads of any length are parsed or refused, never overread") {
  TwoNamespaces world;
  REQUIRE(world.Apply(Bridge("br0")) == 0);
  LinkAdd veth = Veth("a", "b");
  veth.master = Named("br0");
  REQUIRE(world.Apply(veth) == 0);
  std::vector<std::vector<std::byte>> payloads;
  Batch request;
  request.Begin(RTM_GETLINK, 0, ifinfomsg{}, 0);
  request.End();
  REQUIRE(world.In("")
              .Dump(request,
                    [&](const Message &message) -> Result<void> {
                      payloads.emplace_back(message.payload.begin(), message.payload.end());
                      return {};
                    },
                    {})
              .has_value());
  for (const std::vector<std::byte> &payload : payloads) {
    for (std::size_t size = 0; size <= payload.size(); ++size) {
      const std::vector<std::byte> torn(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(size));
      const bool parsed = ParseLink(torn).has_value();
      if (size == payload.size()) CHECK(parsed);
      static_cast<void>(ParseAddress(torn));
      static_cast<void>(ParseRoute(torn));
      static_cast<void>(ParseNeighbor(torn));
      static_cast<void>(ParseRule(torn));
    }
  }
}

TEST_CASE("conntrack: only the flows to that address and port are forgotten") {
  TwoNamespaces world;
  auto socket = Socket::Open(NETLINK_NETFILTER);
  REQUIRE(socket.has_value());
  using conntrack::ConntrackFlush;
  using conntrack::Protocol;
  const ConntrackFlush flush{.ns = {}, .protocol = Protocol::kUdp, .address = "127.0.0.2", .family = 4, .port = 5300};
  CHECK(conntrack::Flush(*socket, flush).value() == 0);  // nothing is tracked yet

  REQUIRE(Output("nft 'add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c ct state new accept;"
                 "add table ip6 t; add chain ip6 t c { type filter hook output priority 0; }; add rule ip6 t c ct state new accept'") ==
          "");
  REQUIRE(Output("for port in 5300 5301; do for to in 127.0.0.2 127.0.0.3; do for from in 1 2 3; do "
                 "bash -c \"echo x > /dev/udp/$to/$port\"; done; done; done; bash -c 'echo x > /dev/udp/::1/5300'") == "");
  const auto tracked = [] {
    return std::stoi(Output("cat /proc/thread-self/net/stat/nf_conntrack >/dev/null; cat /proc/sys/net/netfilter/nf_conntrack_count"));
  };
  REQUIRE(tracked() == 13);
  CHECK(conntrack::Flush(*socket, flush).value() == 3);
  CHECK(tracked() == 10);
  CHECK(conntrack::Flush(*socket, flush).value() == 0);
  ConntrackFlush anywhere = flush;
  anywhere.address.reset();
  const auto nobodys = [](const IpAddress &) -> Result<bool> { return false; };
  CHECK(conntrack::Flush(*socket, anywhere, nobodys).value() == 0);
  auto rtnl = Socket::Open(NETLINK_ROUTE);
  REQUIRE(rtnl.has_value());
  CHECK(IsLocal(*rtnl, ParseIp("127.0.0.3").value()).value());
  CHECK(IsLocal(*rtnl, ParseIp("::1").value()).value());
  CHECK(IsLocal(*rtnl, ParseIp("::1").value(), 1).value());
  CHECK_FALSE(IsLocal(*rtnl, ParseIp("::1").value(), 2).value());  // it is another link's
  CHECK_FALSE(IsLocal(*rtnl, ParseIp("198.51.100.2").value()).value());
  const auto own = [&](const IpAddress &address) { return IsLocal(*rtnl, address); };
  CHECK(conntrack::Flush(*socket, anywhere, own).value() == 3);  // 127.0.0.3; the IPv6 flow is another family's
  anywhere.protocol = Protocol::kTcp;
  CHECK(conntrack::Flush(*socket, anywhere).value() == 0);
  anywhere.protocol = Protocol::kUdp;
  anywhere.family = 6;
  anywhere.address = "::1";
  CHECK(conntrack::Flush(*socket, anywhere).value() == 1);
  CHECK(tracked() == 6);
  anywhere.family = 4;
  CHECK(conntrack::Flush(*socket, anywhere).error().code == EINVAL);
}

}  // namespace netmode

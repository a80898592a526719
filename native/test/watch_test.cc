// Watching: kernel events and folders of a private world, on a thread that a test can hold up.
#include <doctest/doctest.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <sys/stat.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

#include "netns/namespace.h"
#include "test/private_world.h"
#include "watch/watcher.h"

namespace netmode {

namespace {

using watch::Event;
using watch::Wanted;
using watch::Watcher;

// Collects what a watcher tells, and waits for it.
class Listener {
 public:
  explicit Listener(const Wanted &wanted) {
    auto home = netns::OpenCurrent();
    REQUIRE(home);
    auto started = Watcher::Start(home->Get(), wanted, [this] {
      std::unique_lock lock(mutex_);
      told_ = true;
      wake_.notify_all();
      wake_.wait(lock, [this] { return !held_; });
    });
    REQUIRE(started);
    watcher_ = std::move(*started);
  }

  // The watcher's thread stops at its next event until it is let go.
  void Hold(bool on) {
    {
      const std::lock_guard lock(mutex_);
      held_ = on;
    }
    wake_.notify_all();
  }

  // Waits until an event fits.
  template <class Fits>
  Event Until(const Fits &fits) {
    while (true) {
      for (Event &event : watcher_->Take()) {
        if (fits(event)) return std::move(event);
      }
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return told_; });
      told_ = false;
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool told_ = false;
  bool held_ = false;
  std::unique_ptr<Watcher> watcher_;
};

void Run(const std::string &command) { REQUIRE(std::system(command.c_str()) == 0); }

bool IsOverrun(const Event &event) { return std::holds_alternative<watch::Overrun>(event.what); }

bool IsLink(const Event &event, const char *name) {
  const auto *link = std::get_if<rtnl::Link>(&event.what);
  return link != nullptr && link->name == name;
}

}  // namespace

TEST_CASE_FIXTURE(test::PrivateWorld, "links that come and go are told") {
  Listener listener({.route_groups = watch::RouteGroups("link")});
  Run("ip link add br7 type bridge");
  CHECK(!listener.Until([](const Event &event) { return IsLink(event, "br7"); }).gone);
  Run("ip link delete br7");
  CHECK(listener.Until([](const Event &event) { return IsLink(event, "br7") && event.gone; }).gone);
}

TEST_CASE_FIXTURE(test::PrivateWorld, "a receive buffer that overflows is told of as lost events") {
  Listener listener({.route_groups = watch::RouteGroups("route"), .receive_buffer = 1});
  listener.Hold(true);
  Run("ip link set lo up");
  std::string batch = "for i in $(seq 1 200); do echo route add 10.0.0.$i/32 dev lo; done | ip -batch -";
  Run(batch);
  listener.Hold(false);
  CHECK(IsOverrun(listener.Until(IsOverrun)));
}

TEST_CASE_FIXTURE(test::PrivateWorld, "of the ruleset either all is told, or only what takes tables, chains and rules away") {
  Listener all({.ruleset = true});
  Listener tables({.tables = true});
  Run("nft 'add table ip t; add set ip t s { type ipv4_addr; }'");
  const auto is = [](const char *kind, bool gone) {
    return [kind, gone](const Event &event) {
      const auto *change = std::get_if<watch::RulesetChange>(&event.what);
      return change != nullptr && change->kind == kind && event.gone == gone;
    };
  };
  static_cast<void>(tables.Until(is("table", false)));
  Run("nft 'add element ip t s { 10.0.0.1 }'");
  static_cast<void>(all.Until(is("element", false)));
  Run("nft 'delete element ip t s { 10.0.0.1 }'");
  static_cast<void>(all.Until(is("element", true)));
  Run("nft flush ruleset");
  bool element = false;
  static_cast<void>(tables.Until([&](const Event &event) {
    const auto *change = std::get_if<watch::RulesetChange>(&event.what);
    element = element || (change != nullptr && change->kind == "element");
    return change != nullptr && change->kind == "table" && event.gone;
  }));
  CHECK(!element);
}

TEST_CASE_FIXTURE(test::PrivateWorld, "what goes from links is told, here and at their other ends, and nothing that is made") {
  Listener listener({.losses = true});
  const auto is = [](const char *what, bool elsewhere) {
    return [what, elsewhere](const Event &event) {
      const auto *loss = std::get_if<watch::Loss>(&event.what);
      REQUIRE(loss != nullptr);
      return loss->what == what && loss->nsid.has_value() == elsewhere;
    };
  };
  // All that makes a pair, with addresses and routes, and another name at the end: that is the first thing told.
  Run("ip netns add far && ip link add br7 up type bridge && ip link add v7 master br7 up type veth peer name eth0 netns far && "
      "ip link set v7 alias netmode:web/lan && ip -n far link set eth0 up && ip -n far address add 10.0.0.2/24 dev eth0 && "
      "ip -n far route add default via 10.0.0.1 && ip -n far link set eth0 name eth7");
  CHECK(std::get<watch::Loss>(listener.Until([](const Event &) { return true; }).what).what == "name");
  Run("ip -n far route delete default");
  static_cast<void>(listener.Until(is("route", true)));
  Run("ip -n far address delete 10.0.0.2/24 dev eth7");
  static_cast<void>(listener.Until(is("address", true)));
  Run("ip -n far link set eth7 down");
  static_cast<void>(listener.Until(is("down", true)));
  Run("ip link set v7 nomaster");
  static_cast<void>(listener.Until(is("port", false)));
  Run("ip link delete v7");
  // Both ends go at once.
  std::string alias;
  bool inside = false;
  static_cast<void>(listener.Until([&](const Event &event) {
    if (is("link", false)(event)) alias = std::get<watch::Loss>(event.what).alias;
    inside = inside || is("link", true)(event);
    return inside && !alias.empty();
  }));
  CHECK(alias == "netmode:web/lan");
  Run("ip netns delete far");
  static_cast<void>(listener.Until(is("namespace", true)));
}

TEST_CASE_FIXTURE(test::PrivateWorld, "names in folders, and in folders made later") {
  char path[] = "/tmp/netmode-watch-XXXXXX";
  REQUIRE(mkdtemp(path) != nullptr);
  const std::string root = path;
  Listener listener({.trees = {root}});
  const auto is = [](const std::string &folder, const std::string &name, bool gone) {
    return [=](const Event &event) {
      const auto *change = std::get_if<watch::FileChange>(&event.what);
      return change != nullptr && change->folder == folder && change->name == name && event.gone == gone;
    };
  };
  REQUIRE(mkdir((root + "/web").c_str(), 0700) == 0);
  static_cast<void>(listener.Until(is(root, "web", false)));
  std::ofstream(root + "/web/.state.json") << "x";
  std::filesystem::rename(root + "/web/.state.json", root + "/web/state.json");
  static_cast<void>(listener.Until(is(root + "/web", "state.json", false)));
  std::filesystem::remove_all(root + "/web");
  static_cast<void>(listener.Until(is(root, "web", true)));
  std::filesystem::remove_all(root);
}

TEST_CASE_FIXTURE(test::PrivateWorld, "a watcher that starts and ends a hundred times leaves no thread and no descriptor") {
  const auto count = [](const char *folder) {
    return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
  };
  const auto start_and_end = [] {
    const Listener listener({.route_groups = watch::RouteGroups("link"), .ruleset = true, .folders = {"/tmp"}});
  };
  start_and_end();  // with the first thread a sanitizer starts one of its own
  const auto descriptors = count("/proc/self/fd");
  const auto threads = count("/proc/self/task");
  for (int i = 0; i < 100; ++i) start_and_end();
  CHECK(count("/proc/self/fd") == descriptors);
  CHECK(count("/proc/self/task") == threads);
}

TEST_CASE("messages that are too short, or of another kind, tell nothing") {
  const std::vector<std::byte> junk(3, std::byte{0xff});
  for (const std::uint16_t type : std::initializer_list<std::uint16_t>{RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNEIGH, NLMSG_DONE}) {
    CHECK(!watch::ParseRoute({.type = type, .flags = 0, .payload = junk}));
    CHECK(!watch::ParseRoute({.type = type, .flags = 0, .payload = {}}));
  }
  for (std::uint16_t type = 0; type < NFT_MSG_MAX; ++type) {
    CHECK(!watch::ParseRuleset({.type = static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type), .flags = 0, .payload = junk}));
  }
}

}  // namespace netmode

// The runner and the pool: order, undo, cancellation, and many plans at once (run under ThreadSanitizer as well).
#include <doctest/doctest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "netns/namespace.h"
#include "netns/visit.h"
#include "program/pool.h"
#include "program/runner.h"
#include "test/private_world.h"

namespace netmode::program {
namespace {

const std::string kFolder = "/run/program-test";

bool Exists(const std::string &path) {
  struct stat found;
  return stat(path.c_str(), &found) == 0;
}

Op MakeFolder(const std::string &path) { return {.name = "folder.create", .verb = Immediate{state::FolderCreate{.path = path}}}; }
Op RemoveFolder(const std::string &path) { return {.name = "folder.remove", .verb = Immediate{state::FolderRemove{.path = path}}}; }
Op MakeBridge(const std::string &name) {
  rtnl::LinkAdd add;
  add.name = name;
  add.kind = rtnl::LinkKind::kBridge;
  return {.name = "link.add", .verb = RtnlVerb{add}};
}
Op DeleteLink(const std::string &name) {
  rtnl::LinkDelete gone;
  gone.links = {{.name = name, .index = std::nullopt}};
  return {.name = "link.delete", .verb = Immediate{gone}};
}

std::shared_ptr<Session> OpenSession() {
  auto home = netns::OpenCurrent();
  REQUIRE(home);
  return std::make_shared<Session>(std::move(*home));
}

Report Run(Session &session, const std::vector<Step> &steps) {
  const std::atomic<bool> cancelled = false;
  Runner runner(session, cancelled);
  Report report = runner.Run(steps);
  CHECK_FALSE(netns::Stranded());
  return report;
}

TEST_CASE("a plan that fails is taken back in reverse, also what was sent behind the message that failed") {
  const test::PrivateWorld world;
  const auto session = OpenSession();
  const std::vector<Step> plan = {
      {.apply = MakeFolder(kFolder), .undo = RemoveFolder(kFolder)},
      {.apply = MakeBridge("pt0"), .undo = DeleteLink("pt0")},
      {.apply = MakeBridge("lo"), .undo = std::nullopt},  // taken
      {.apply = MakeBridge("pt1"), .undo = DeleteLink("pt1")},
  };
  const Report report = Run(*session, plan);
  REQUIRE(report.failure);
  CHECK(report.failure->step == 2);
  CHECK(report.failure->error.code == EEXIST);
  CHECK(report.failure->error.syscall == "link.add");
  CHECK(report.undo.empty());
  CHECK_FALSE(Exists(kFolder));
  CHECK_FALSE(Exists("/sys/class/net/pt0"));
  const Report again =
      Run(*session, {{.apply = MakeBridge("pt0"), .undo = std::nullopt}, {.apply = MakeBridge("pt1"), .undo = std::nullopt}});
  CHECK_FALSE(again.failure);
  CHECK_FALSE(
      Run(*session, {{.apply = DeleteLink("pt0"), .undo = std::nullopt}, {.apply = DeleteLink("pt1"), .undo = std::nullopt}}).failure);
}

TEST_CASE("what can't be undone is reported, and the journal stays") {
  const test::PrivateWorld world;
  const auto session = OpenSession();
  const std::vector<Step> plan = {
      {.apply = MakeFolder(kFolder), .undo = RemoveFolder(kFolder), .journal = true},
      {.apply = MakeFolder(kFolder + "/x"), .undo = MakeFolder("/proc/nowhere")},  // an undo that fails
      {.apply = MakeFolder(kFolder), .undo = std::nullopt},
  };
  const Report report = Run(*session, plan);
  REQUIRE(report.failure);
  REQUIRE(report.undo.size() == 1);
  CHECK(report.undo[0].step == 1);
  CHECK(Exists(kFolder));
  CHECK_FALSE(Run(*session, {{.apply = RemoveFolder(kFolder), .undo = std::nullopt}}).failure);
}

TEST_CASE("a plan that is called off does nothing more and is taken back") {
  const test::PrivateWorld world;
  const auto session = OpenSession();
  const std::atomic<bool> cancelled = true;
  Runner runner(*session, cancelled);
  const Report report = runner.Run({{.apply = MakeFolder(kFolder), .undo = RemoveFolder(kFolder)}});
  REQUIRE(report.failure);
  CHECK(report.failure->error.code == ECANCELED);
  CHECK_FALSE(Exists(kFolder));
}

TEST_CASE("many plans at once all get an answer, and what waits when the pool ends is dropped") {
  const test::PrivateWorld world;
  constexpr int kPlans = 200;
  const auto session = OpenSession();
  std::atomic<int> told = 0;
  std::vector<std::shared_ptr<Job>> finished;
  {
    Pool pool(4, [&] { ++told; });
    for (int i = 0; i < kPlans; ++i) {
      auto job = std::make_shared<Job>();
      job->id = static_cast<std::uint32_t>(i);
      job->session = session;
      const std::string folder = kFolder + std::to_string(i);
      job->steps.push_back({.apply = MakeFolder(folder), .undo = std::nullopt});
      job->steps.push_back({.apply = RemoveFolder(folder), .undo = std::nullopt});
      if (i % 7 == 0) job->cancelled = true;
      REQUIRE(pool.Submit(job));
    }
    while (finished.size() < kPlans) {
      for (auto &job : pool.TakeFinished()) finished.push_back(std::move(job));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  CHECK(told == kPlans);
  for (const auto &job : finished) CHECK(job->report.failure.has_value() == job->cancelled.load());
  {
    Pool pool(2, [] {});
    for (int i = 0; i < kPlans; ++i) {
      auto job = std::make_shared<Job>();
      job->session = session;
      job->steps.push_back({.apply = MakeFolder(kFolder), .undo = std::nullopt});
      job->steps.push_back({.apply = RemoveFolder(kFolder), .undo = std::nullopt});
      REQUIRE(pool.Submit(job));
    }
  }
}

TEST_CASE("what is submitted by a job while the pool ends is dropped, and no thread is started for it") {
  int late = 0;
  for (int round = 0; round < 20; ++round) {
    std::binary_semaphore begun(0);
    Pool pool(4, [] {});
    auto job = std::make_shared<Job>();
    job->task = [&] {
      begun.release();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      for (int i = 0; i < 3; ++i) {
        auto another = std::make_shared<Job>();
        another->task = [&] { ++late; };
        if (!pool.Submit(std::move(another))) ++late;
      }
    };
    REQUIRE(pool.Submit(std::move(job)));
    begun.acquire();
  }
  CHECK(late == 0);
}

TEST_CASE("whoever sleeps comes when there is work, and may go everywhere again where it was kept from a processor") {
  cpu_set_t everywhere;
  REQUIRE(sched_getaffinity(0, sizeof everywhere, &everywhere) == 0);
  std::atomic<int> confined = 0;
  std::counting_semaphore<> done(0);
  Pool pool(3, [] {});
  const auto submit = [&](Pool::Where where) {
    auto job = std::make_shared<Job>();
    job->task = [&] {
      cpu_set_t mine;
      if (sched_getaffinity(0, sizeof mine, &mine) != 0 || !CPU_EQUAL(&mine, &everywhere)) ++confined;
      done.release();
    };
    REQUIRE(pool.Submit(job, where));
  };
  // One at a time, so that all of them sleep in between; then from several sides at once.
  for (int i = 0; i < 2000; ++i) {
    submit(i % 3 == 0 ? Pool::Where::kAnywhere : Pool::Where::kApart);
    done.acquire();
  }
  constexpr int kAskers = 4;
  constexpr int kEach = 500;
  std::vector<std::thread> askers;
  askers.reserve(kAskers);
  for (int i = 0; i < kAskers; ++i) {
    askers.emplace_back([&] {
      for (int turn = 0; turn < kEach; ++turn) submit(Pool::Where::kApart);
    });
  }
  for (std::thread &asker : askers) asker.join();
  for (int i = 0; i < kAskers * kEach; ++i) done.acquire();
  CHECK(confined == 0);
}

TEST_CASE("whoever looks out for a job takes it, also one that comes late, and is none too few for those behind it") {
  std::counting_semaphore<> done(0);
  Pool pool(2, [] {});
  const auto submit = [&] {
    auto job = std::make_shared<Job>();
    job->task = [&] { done.release(); };
    REQUIRE(pool.Submit(std::move(job)));
  };
  pool.Expect();  // there is nobody yet
  for (int i = 0; i < 2000; ++i) {
    pool.Expect();
    if (i % 3 == 1) pool.Expect();
    // At once, while it looks out, and when it is asleep again.
    if (i % 100 == 99) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const int jobs = 1 + i % 3;
    for (int job = 0; job < jobs; ++job) submit();
    for (int job = 0; job < jobs; ++job) done.acquire();
  }
  pool.Expect();  // and the end comes first
}

// From now on a system call of the calling thread fails.
void Forbid(unsigned number, int errnum) {
  std::array<sock_filter, 4> code{
      {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(errnum)), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
  const sock_fprog filter{.len = code.size(), .filter = code.data()};
  REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  REQUIRE(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

TEST_CASE("who waits for a lock gives up when its session is left, and has done nothing") {
  const test::PrivateWorld world;
  REQUIRE(mkdir(kFolder.c_str(), 0700) == 0);
  const auto held = state::Acquire({.path = kFolder});
  REQUIRE(held);
  const auto session = OpenSession();
  auto job = std::make_shared<Job>();
  job->id = 1;
  job->session = session;
  job->steps.push_back({.apply = {.name = "lock", .verb = Immediate{state::Lock{.path = kFolder}}}, .undo = std::nullopt});
  job->steps.push_back({.apply = RemoveFolder(kFolder), .undo = std::nullopt});
  {
    Pool pool(1, [] {});
    REQUIRE(pool.Submit(job));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    session->Leave();
  }
  REQUIRE(job->report.failure);
  CHECK(job->report.failure->error.code == ECANCELED);
  CHECK(Exists(kFolder));
}

TEST_CASE("a link that refuses what it is to be given behind its making is taken back") {
  const test::PrivateWorld world;
  const auto session = OpenSession();
  rtnl::LinkAdd add;
  add.name = "d0";
  add.kind = rtnl::LinkKind::kBridge;
  add.alias = std::string(300, 'x');
  const Report report = Run(*session, {{.apply = {.name = "link.add", .verb = RtnlVerb{add}}, .undo = DeleteLink("d0")}});
  REQUIRE(report.failure);
  CHECK(report.undo.empty());
  CHECK(if_nametoindex("d0") == 0);
}

TEST_CASE("a transaction that could not be sent has made nothing, and nothing is taken back of it") {
  const test::PrivateWorld world;
  const auto session = OpenSession();
  const auto table = [](nft::Action action) { return NftVerb{nft::TableVerb{.action = action, .table = "there"}}; };
  const Step step{.apply = {.name = "nft.table.add", .verb = table(nft::Action::kAdd)},
                  .undo = Op{.name = "nft.table.delete", .verb = table(nft::Action::kDelete)}};
  REQUIRE_FALSE(Run(*session, {step}).failure);
  std::thread([&] {
    Forbid(SYS_sendmsg, EMSGSIZE);
    const Report report = Run(*session, {step});
    REQUIRE(report.failure);
    CHECK(report.failure->error.code == EMSGSIZE);
    CHECK(report.undo.empty());
  }).join();
}

TEST_CASE("a descriptor that nobody has taken over goes with its session") {
  const test::PrivateWorld world;
  const Step open{.apply = {.name = "socket.open", .verb = Immediate{SocketOpen{}}}, .undo = std::nullopt};
  struct stat found;
  for (const bool adopted : {false, true}) {
    auto session = OpenSession();
    const Report report = Run(*session, {open});
    REQUIRE_FALSE(report.failure);
    const int fd = static_cast<int>(std::get<std::uint32_t>(report.outputs.front()));
    CHECK_FALSE(session->Adopt(fd + 1));
    if (adopted) CHECK(session->Adopt(fd));
    CHECK(fstat(fd, &found) == 0);
    session.reset();
    CHECK((fstat(fd, &found) == 0) == adopted);
    if (adopted) close(fd);
  }
}

Report Create(Session &session, const std::string &name) {
  return Run(session, {{.apply = {.name = "netns.create", .verb = Immediate{netns::NetnsCreate{.name = name, .slot = "new"}}},
                        .undo = std::nullopt}});
}

std::uint64_t InodeOf(const Report &report) {
  REQUIRE_FALSE(report.failure);
  return std::get<netns::Identity>(report.outputs.front()).inode;
}

// A setting that each namespace has for itself.
constexpr char kKey[] = "net/core/somaxconn";

Op Set(const std::string &value) {
  return {.name = "sysctl.set", .verb = Immediate{netns::SysctlSet{.ns = {}, .key = kKey, .value = value}}};
}

TEST_CASE("a plan works at home wherever the last one has left the thread") {
  const test::PrivateWorld world;
  const auto session = OpenSession();
  const Step list{.apply = {.name = "link.list", .verb = Immediate{rtnl::LinkList{}}}, .undo = std::nullopt};
  REQUIRE_FALSE(Run(*session, {list}).failure);  // a socket is kept
  std::string before;
  std::thread([&] {
    REQUIRE(unshare(CLONE_NEWNET) == 0);
    before = netns::ReadSysctl(kKey).value();
    const Step survey{.apply = {.name = "survey", .verb = Immediate{Survey{}}}, .undo = std::nullopt};
    REQUIRE_FALSE(Run(*session, {survey, {.apply = Set("77"), .undo = std::nullopt}}).failure);
  }).join();
  CHECK(netns::ReadSysctl(kKey).value() == "77");

  std::thread([&] {
    REQUIRE(unshare(CLONE_NEWNET) == 0);
    const auto elsewhere = netns::OpenCurrent();
    Forbid(SYS_unshare, ENOSPC);
    const Op create{.name = "netns.create", .verb = Immediate{netns::NetnsCreate{.name = {}, .slot = "new"}}};
    const Report report = Run(*session, {{.apply = MakeFolder(kFolder), .undo = Set("78")}, {.apply = create, .undo = std::nullopt}});
    CHECK(report.failure->error.code == ENOSPC);
    CHECK(report.undo.empty());
    REQUIRE(setns(elsewhere->Get(), CLONE_NEWNET) == 0);
    CHECK(netns::ReadSysctl(kKey).value() == before);
  }).join();
  CHECK(netns::ReadSysctl(kKey).value() == "78");
}

TEST_CASE("a namespace that was ordered is the one that the next plan names") {
  const test::PrivateWorld world;
  const auto session = OpenSession();
  Pool pool(2, [] {});
  REQUIRE(session->Order({.name = {}, .slot = {}}));
  CHECK_FALSE(session->Order({.name = {}, .slot = {}}));
  auto job = std::make_shared<Job>();
  job->session = session;
  job->task = [session] { session->MakeOrdered(); };
  REQUIRE(pool.Submit(job));  // made on another thread, while the plan waits for it
  const Report report = Create(*session, "box");
  CHECK(Exists("/run/netns/box"));
  const auto opened = netns::Open({.slot = "", .path = "/run/netns/box"});
  REQUIRE(opened);
  CHECK(netns::Describe(opened->Get(), -1).value().inode == InodeOf(report));
  CHECK(session->Order({.name = {}, .slot = {}}));
  session->CancelOrder();
}

TEST_CASE("a namespace that is kept is nobody's, with its lock, until a plan takes it") {
  const test::PrivateWorld world;
  const std::string folder = "/run/kept";
  const auto session = OpenSession();
  const auto keep = Step{.apply = {.name = "netns.keep", .verb = Immediate{NetnsKeep{.key = "one", .slot = "new"}}}, .undo = std::nullopt};
  const auto take = Step{.apply = {.name = "netns.take", .verb = Immediate{NetnsTake{.key = "one", .slot = "old"}}}, .undo = std::nullopt};
  const auto lock = [&] { return state::Acquire({.path = folder, .immediate = true}); };
  const Report made =
      Run(*session,
          {{.apply = MakeFolder(folder), .undo = std::nullopt},
           {.apply = {.name = "lock", .verb = Immediate{state::Lock{.path = folder}}}, .undo = std::nullopt},
           {.apply = {.name = "netns.create", .verb = Immediate{netns::NetnsCreate{.name = {}, .slot = "new"}}}, .undo = std::nullopt},
           keep});
  REQUIRE_FALSE(made.failure);
  CHECK_FALSE(lock());
  const Report taken =
      Run(*session,
          {take,
           {.apply = {.name = "netns.attach", .verb = Immediate{netns::NetnsAttach{.name = "box", .slot = "old"}}}, .undo = std::nullopt}});
  REQUIRE_FALSE(taken.failure);
  CHECK(lock());
  const auto opened = netns::Open({.slot = "", .path = "/run/netns/box"});
  REQUIRE(opened);
  CHECK(netns::Describe(opened->Get(), -1).value().inode == std::get<netns::Identity>(made.outputs[2]).inode);
  CHECK(Run(*session, {take}).failure->error.code == ENOENT);
}

TEST_CASE("a plan that wants another namespace, or comes after the order was cancelled, makes its own") {
  const test::PrivateWorld world;
  const auto session = OpenSession();
  const std::vector<netns::Setting> settings = {{.key = "net/ipv4/conf/default/arp_notify", .value = "1"}};
  REQUIRE(session->Order({.name = {}, .slot = {}, .settings = settings}));
  session->MakeOrdered();
  CHECK_FALSE(Create(*session, "plain").failure);
  CHECK_FALSE(session->Order({.name = {}, .slot = {}}));  // the first one is still to be had
  session->CancelOrder();
  REQUIRE(session->Order({.name = {}, .slot = {}}));
  session->CancelOrder();  // before it is made
  session->MakeOrdered();
  CHECK_FALSE(Create(*session, "late").failure);
  CHECK(session->Order({.name = {}, .slot = {}}));
}

// A pair between the host and a namespace that is made for it, or opened; answers the number by which the host knows that one.
std::int32_t NumberOfNew(Session &session, const std::string &link, std::optional<netns::NetnsOpen> opened = std::nullopt) {
  rtnl::LinkAdd pair;
  pair.name = link;
  pair.peer = rtnl::VethPeer{.ns = "box", .name = "to-" + link, .mac = {}, .mtu = {}};
  const Op place = opened ? Op{.name = "netns.open", .verb = Immediate{*opened}}
                          : Op{.name = "netns.create", .verb = Immediate{netns::NetnsCreate{.name = "of-" + link, .slot = "box"}}};
  const Report report =
      Run(session, {{.apply = place, .undo = std::nullopt}, {.apply = {.name = "link.add", .verb = RtnlVerb{pair}}, .undo = std::nullopt}});
  REQUIRE_FALSE(report.failure);
  const Step list = {
      .apply = {.name = "link.list", .verb = Immediate{rtnl::LinkList{.ns = {}, .name = link, .master = {}, .partial_ok = false}}},
      .undo = std::nullopt};
  const Report listed = Run(session, {list});
  REQUIRE_FALSE(listed.failure);
  return std::get<std::vector<rtnl::Link>>(listed.outputs.front()).at(0).link_netnsid.value();
}

TEST_CASE("the host knows a namespace that was made by a number below those of all before it, as the kernel finds it the sooner") {
  const test::PrivateWorld world;
  const auto session = OpenSession();
  const std::int32_t first = NumberOfNew(*session, "a");
  CHECK(NumberOfNew(*session, "b") == first - 1);
  const auto later = OpenSession();
  CHECK(NumberOfNew(*later, "c") == first - 2);
  // Whoever is the second to take a number gets one of the kernel's own.
  CHECK(NumberOfNew(*session, "d") == 0);
  CHECK(NumberOfNew(*session, "e") == first - 3);
  // One that was there has a number, or gets the kernel's.
  CHECK(NumberOfNew(*session, "f", netns::NetnsOpen{.slot = "box", .path = "/run/netns/of-a"}) == first);
}

// Makes a namespace `box` with lo up and a bridge in it, as a pool does it; `broken`: the op at that place fails.
std::vector<Step> SharedPlan(const std::string &folder, std::optional<std::size_t> broken = std::nullopt) {
  rtnl::LinkAdd bridge;
  bridge.ns = "new";
  bridge.name = "pt0";
  bridge.kind = rtnl::LinkKind::kBridge;
  rtnl::LinkSet up;
  up.ns = "new";
  up.link = {.name = "lo", .index = 1};
  up.up = true;
  rtnl::LinkSet behind = up;
  behind.link = {.name = "pt0", .index = std::nullopt};
  std::vector<Step> plan = {
      {.apply = MakeFolder(folder), .undo = RemoveFolder(folder)},
      {.apply = {.name = "netns.create", .verb = Immediate{netns::NetnsCreate{.name = "box", .slot = "new"}}},
       .undo = Op{.name = "netns.delete", .verb = Immediate{netns::NetnsDelete{.name = "box", .missing_ok = true}}},
       .when = When::kAhead},
      {.apply = {.name = "link.set", .verb = RtnlVerb{up}}, .undo = std::nullopt, .when = When::kAhead},
      {.apply = {.name = "link.add", .verb = RtnlVerb{bridge}}, .undo = std::nullopt, .when = When::kAhead},
      {.apply = MakeFolder(folder + "/done"), .undo = std::nullopt},
      {.apply = {.name = "link.set", .verb = RtnlVerb{behind}}, .undo = std::nullopt, .when = When::kBehind},
  };
  if (broken) plan[*broken].apply = MakeFolder("/proc/nowhere");
  return plan;
}

// Its report, from a pool that has been told to make the namespace beforehand: long before, or at the same time.
Report RunShared(Pool &pool, const std::shared_ptr<Session> &session, std::vector<Step> plan, bool made) {
  // One that nobody came for may still be on its way out.
  while (!session->Order({.name = {}, .slot = {}})) std::this_thread::sleep_for(std::chrono::microseconds(100));
  auto order = std::make_shared<Job>();
  order->session = session;
  order->task = [session] { session->MakeOrdered(); };
  if (made) session->MakeOrdered();
  if (!made) REQUIRE(pool.Submit(order));
  auto job = std::make_shared<Job>();
  job->session = session;
  job->steps = std::move(plan);
  REQUIRE(pool.Submit(job));
  std::vector<std::shared_ptr<Job>> finished;
  while (finished.empty()) {
    finished = pool.TakeFinished();
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  session->CancelOrder();
  return std::move(finished.front()->report);
}

TEST_CASE("a plan whose steps are shared among threads does the same, and is taken back whole wherever it fails") {
  const test::PrivateWorld world;
  const auto session = OpenSession();
  Pool pool(3, [] {});
  for (int round = 0; round < 20; ++round) {
    const bool made = round % 2 == 0;
    const Report report = RunShared(pool, session, SharedPlan(kFolder), made);
    REQUIRE_FALSE(report.failure);
    CHECK(InodeOf({.outputs = {report.outputs[1]}, .failure = std::nullopt, .undo = {}}) != 0);
    CHECK(std::get<std::uint32_t>(report.outputs[3]) != 0);
    CHECK(Exists(kFolder + "/done"));
    CHECK(Exists("/run/netns/box"));
    REQUIRE(netns::Delete({.name = "box"}));
    CHECK_FALSE(Run(*session, {{.apply = RemoveFolder(kFolder), .undo = std::nullopt}}).failure);
    for (std::size_t broken = 0; broken < 5; ++broken) {
      const Report failed = RunShared(pool, session, SharedPlan(kFolder, broken), made);
      REQUIRE(failed.failure);
      CHECK(failed.failure->step == broken);
      CHECK(failed.undo.empty());
      CHECK_FALSE(Exists(kFolder));
      CHECK_FALSE(Exists("/run/netns/box"));
    }
  }
}

}  // namespace
}  // namespace netmode::program

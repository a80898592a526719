// The state folder: locks, files, claims and ports, as two processes see them.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "state/expect.h"
#include "state/look.h"
#include "state/ops.h"
#include "test/private_world.h"

namespace netmode {

namespace {

using state::FileWrite;
using state::Lock;
using state::Protocol;

constexpr char kFolder[] = "/run/state";

struct StateFolder : test::PrivateWorld {
  StateFolder() { REQUIRE(state::Run(state::FolderCreate{.path = kFolder})); }
};

std::string Text(const std::string &path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

ino_t Inode(const std::string &path) {
  struct stat file{};
  REQUIRE(lstat(path.c_str(), &file) == 0);
  return file.st_ino;
}

bool Exists(const std::string &path) {
  struct stat file;
  return lstat(path.c_str(), &file) == 0;
}

// Runs `act` in a process of its own and answers its exit status.
template <class Act>
pid_t Start(Act act) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(act());
  return child;
}

int Finish(pid_t child) {
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WEXITSTATUS(status);
}

// Returns when the child has opened the folder itself, beside the descriptor that it was forked with: it asks for the lock then.
void AwaitOpened(pid_t child, const std::string &path) {
  const std::string folder = "/proc/" + std::to_string(child) + "/fd";
  for (;;) {
    int opened = 0;
    std::error_code gone;
    for (const auto &entry : std::filesystem::directory_iterator(folder, gone)) {
      if (std::filesystem::read_symlink(entry.path(), gone) == path) ++opened;
    }
    if (opened > 1) return;
  }
}

state::PortClaim Port(std::string address, std::uint16_t port, std::string holder, Protocol protocol = Protocol::kTcp, bool probe = false) {
  return {.folder = "/run/state/ports",
          .protocol = protocol,
          .address = std::move(address),
          .port = port,
          .holder = std::move(holder),
          .probe = probe};
}

state::PortRelease Released(const state::PortClaim &claim) {
  return {.folder = claim.folder, .protocol = claim.protocol, .address = claim.address, .port = claim.port, .holder = claim.holder};
}

int CodeOf(const Result<void> &result) { return result ? 0 : result.error().code; }

UniqueFd Bound(int family, int type, const char *address, std::uint16_t port, bool six_only = false, bool reuse = false) {
  UniqueFd fd(socket(family, type | SOCK_CLOEXEC, 0));
  const int on = 1;
  const int only = six_only ? 1 : 0;
  if (reuse) REQUIRE(setsockopt(fd.Get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
  if (family == AF_INET) {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    REQUIRE(inet_pton(AF_INET, address, &four.sin_addr) == 1);
    REQUIRE(bind(fd.Get(), reinterpret_cast<sockaddr *>(&four), sizeof four) == 0);
  } else {
    REQUIRE(setsockopt(fd.Get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) == 0);
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(port);
    REQUIRE(inet_pton(AF_INET6, address, &six.sin6_addr) == 1);
    REQUIRE(bind(fd.Get(), reinterpret_cast<sockaddr *>(&six), sizeof six) == 0);
  }
  return fd;
}

UniqueFd Listening(int family, const char *address, std::uint16_t port, bool six_only = false) {
  UniqueFd fd = Bound(family, SOCK_STREAM, address, port, six_only);
  REQUIRE(listen(fd.Get(), 8) == 0);
  return fd;
}

std::string Self() { return "process " + std::to_string(getpid()) + " ("; }

}  // namespace

TEST_SUITE("state") {
  TEST_CASE_FIXTURE(StateFolder, "a lock keeps another process out until it is closed") {
    auto held = state::Acquire({.path = kFolder});
    REQUIRE(held);
    const auto attempt = [](Lock::Mode mode) {
      return Finish(Start([mode] {
        const auto lock = state::Acquire({.path = kFolder, .mode = mode, .immediate = true});
        return lock ? 0 : lock.error().code;
      }));
    };
    CHECK(attempt(Lock::Mode::kExclusive) == EWOULDBLOCK);
    CHECK(attempt(Lock::Mode::kShared) == EWOULDBLOCK);
    held->Reset();
    CHECK(attempt(Lock::Mode::kExclusive) == 0);
    held = state::Acquire({.path = kFolder, .mode = Lock::Mode::kShared});
    CHECK(attempt(Lock::Mode::kShared) == 0);
    CHECK(attempt(Lock::Mode::kExclusive) == EWOULDBLOCK);
  }

  TEST_CASE_FIXTURE(StateFolder, "a lock on a folder that goes away while waiting is ENOENT") {
    for (const bool anew : {false, true}) {
      const std::string path = "/run/state/box";
      REQUIRE(state::Run(state::FolderCreate{.path = path}));
      auto held = state::Acquire({.path = path});
      REQUIRE(held);
      const pid_t waiter = Start([&path] {
        const auto lock = state::Acquire({.path = path});
        return lock ? 0 : lock.error().code;
      });
      AwaitOpened(waiter, path);
      REQUIRE(state::Run(state::FolderRemove{.path = path}));
      if (anew) REQUIRE(state::Run(state::FolderCreate{.path = path}));
      state::Drop(*std::move(held));  // closing would not do: the waiter was forked from here
      CHECK(Finish(waiter) == ENOENT);
    }
    CHECK(state::Acquire({.path = "/run/state/never"}).error().code == ENOENT);
  }

  TEST_CASE_FIXTURE(StateFolder, "a descriptor that a lock has left locks the same folder again, and never one that is gone") {
    const std::string path = "/run/state/box";
    REQUIRE(state::Run(state::FolderCreate{.path = path}));
    auto held = state::Acquire({.path = path});
    REQUIRE(held);
    const int number = held->Get();
    held = state::Acquire({.path = path}, nullptr, state::Drop(*std::move(held)));
    REQUIRE(held);
    CHECK(held->Get() == number);
    UniqueFd kept = state::Drop(*std::move(held));
    REQUIRE(state::Run(state::FolderRemove{.path = path}));
    REQUIRE(state::Run(state::FolderCreate{.path = path}));
    held = state::Acquire({.path = path}, nullptr, std::move(kept));
    REQUIRE(held);
    CHECK(Finish(Start([&path] { return state::Acquire({.path = path, .immediate = true}).error().code; })) == EWOULDBLOCK);
    held->Reset();
    REQUIRE(state::Run(state::FolderRemove{.path = path}));
  }

  TEST_CASE_FIXTURE(StateFolder, "a folder gets another name with its lock, and an exclusive name is free or refused") {
    REQUIRE(state::Run(state::FolderCreate{.path = "/run/state/old"}));
    const auto held = state::Acquire({.path = "/run/state/old"});
    REQUIRE(held);
    REQUIRE(state::Run(state::FolderCreate{.path = "/run/state/taken"}));
    CHECK(CodeOf(state::Run(state::FileRename{.path = "/run/state/old", .to = "/run/state/taken", .exclusive = true})) == EEXIST);
    CHECK(state::Run(state::FileRename{.path = "/run/state/old", .to = "/run/state/new", .exclusive = true}));
    CHECK(Finish(Start([] { return state::Acquire({.path = "/run/state/new", .immediate = true}).error().code; })) == EWOULDBLOCK);
    for (const char *name : {"new", "taken"}) REQUIRE(state::Run(state::FolderRemove{.path = std::string("/run/state/") + name}));
  }

  TEST_CASE_FIXTURE(StateFolder, "folders are new unless ensured, and are removed with all they hold") {
    CHECK(CodeOf(state::Run(state::FolderCreate{.path = kFolder})) == EEXIST);
    CHECK(state::Run(state::FolderCreate{.path = kFolder, .ensure = true}));
    REQUIRE(state::Run(FileWrite{.path = "/run/file", .text = "stays"}));
    CHECK(CodeOf(state::Run(state::FolderCreate{.path = "/run/file", .ensure = true})) == ENOTDIR);
    CHECK(CodeOf(state::Run(state::FolderRemove{.path = "/run/file"})) == ENOTDIR);

    REQUIRE(mkdir("/run/elsewhere", 0755) == 0);
    REQUIRE(state::Run(FileWrite{.path = "/run/elsewhere/kept", .text = "kept"}));
    REQUIRE(mkdir("/run/state/deep", 0755) == 0);
    REQUIRE(symlink("/run/elsewhere", "/run/state/deep/link") == 0);
    for (int i = 0; i < 500; ++i)
      REQUIRE(state::Run(FileWrite{.path = "/run/state/deep/a-file-with-a-name-" + std::to_string(i), .text = "x"}));
    CHECK(state::Run(state::FolderRemove{.path = kFolder}));
    CHECK_FALSE(Exists(kFolder));
    CHECK(Text("/run/elsewhere/kept") == "kept");
    CHECK(state::Run(state::FolderRemove{.path = kFolder}));

    REQUIRE(symlink("/run/elsewhere", kFolder) == 0);
    CHECK_FALSE(state::Run(state::FolderRemove{.path = kFolder}));
    CHECK(Text("/run/elsewhere/kept") == "kept");
  }

  TEST_CASE_FIXTURE(StateFolder, "a file tree nested too deeply is refused") {
    std::string path = kFolder;
    for (int i = 0; i < 40; ++i) REQUIRE(mkdir((path += "/d").c_str(), 0755) == 0);
    CHECK(CodeOf(state::Run(state::FolderRemove{.path = kFolder})) == ELOOP);
  }

  TEST_CASE_FIXTURE(StateFolder, "files: create is exclusive, replace takes a new inode, overwrite keeps it") {
    const std::string path = "/run/state/hosts";
    const mode_t before = umask(077);
    CHECK(state::Run(FileWrite{.path = path, .text = "one, a long line\n"}));
    umask(before);
    struct stat file{};
    REQUIRE(stat(path.c_str(), &file) == 0);
    CHECK((file.st_mode & 0777) == 0644);
    CHECK(CodeOf(state::Run(FileWrite{.path = path, .text = "two"})) == EEXIST);
    CHECK(Text(path) == "one, a long line\n");

    const ino_t first = Inode(path);
    CHECK(state::Run(FileWrite{.path = path, .text = "three\n", .how = FileWrite::How::kOverwrite}));
    CHECK(Text(path) == "three\n");
    CHECK(Inode(path) == first);
    CHECK(state::Run(FileWrite{.path = path, .text = "four\n", .how = FileWrite::How::kReplace}));
    CHECK(Text(path) == "four\n");
    CHECK(Inode(path) != first);
    CHECK(state::Run(FileWrite{.path = path, .text = "5\n", .how = FileWrite::How::kUnseen}));
    CHECK(Text(path) == "5\n");
    CHECK(CodeOf(state::Run(FileWrite{.path = "/run/state/no/such", .text = "", .how = FileWrite::How::kReplace})) == ENOENT);
  }

  TEST_CASE_FIXTURE(StateFolder, "a file that is started must be new, and is known by its version under another name") {
    const std::string path = "/run/state/start";
    const std::string other = "/run/state/other";
    const FileWrite start{.path = path, .text = "one\n", .how = FileWrite::How::kStart};
    const auto version = state::Start(start);
    REQUIRE(version);
    CHECK(Text(path) == "one\n");
    CHECK(CodeOf(state::Run(FileWrite{.path = path, .text = "two", .how = FileWrite::How::kStart})) == EEXIST);
    CHECK(Text(path) == "one\n");
    CHECK(state::Run(state::FileRename{.path = path, .to = other}));
    CHECK(state::Run(state::ExpectVersion{.path = other, .version = *version}));
    CHECK(CodeOf(state::Run(state::ExpectVersion{.path = path, .version = *version})) == ENOENT);
    CHECK(state::Run(FileWrite{.path = other, .text = "one\n", .how = FileWrite::How::kReplace}));
    CHECK(CodeOf(state::Run(state::ExpectVersion{.path = other, .version = *version})) == ESTALE);

    const auto again = state::Start(start);
    REQUIRE(again);
    CHECK(state::Run(FileWrite{.path = path, .text = "one more\n", .how = FileWrite::How::kOverwrite}));
    CHECK(CodeOf(state::Run(state::ExpectVersion{.path = path, .version = *again})) == ESTALE);

    CHECK(CodeOf(state::Run(state::ExpectUnchanged{.path = path})) == ESTALE);
    CHECK(unlink(path.c_str()) == 0);
    CHECK(state::Run(state::ExpectUnchanged{.path = path}));
    CHECK(CodeOf(state::Run(state::ExpectUnchanged{.path = path, .text = ""})) == ENOENT);
  }

  TEST_CASE("a full disk leaves neither a new file nor a temporary one") {
    const test::PrivateWorld world;
    REQUIRE(mount("tmpfs", "/run", "tmpfs", 0, "size=8k") == 0);
    const std::string large(1 << 20, 'x');
    CHECK(CodeOf(state::Run(FileWrite{.path = "/run/file", .text = large})) == ENOSPC);
    CHECK_FALSE(Exists("/run/file"));
    REQUIRE(state::Run(FileWrite{.path = "/run/file", .text = "old"}));
    CHECK(CodeOf(state::Run(FileWrite{.path = "/run/file", .text = large, .how = FileWrite::How::kReplace})) == ENOSPC);
    CHECK(Text("/run/file") == "old");
    CHECK(unlink("/run/file") == 0);
    umount2("/run", MNT_DETACH);
    CHECK(state::Run(state::FolderCreate{.path = "/run/still-writable"}));
  }

  TEST_CASE_FIXTURE(StateFolder, "a claim names its holder, and only that one releases it") {
    const std::string path = "/run/state/10.0.0.2";
    CHECK(state::Run(state::Claim{.path = path, .holder = "web"}));
    const auto second = state::Run(state::Claim{.path = path, .holder = "db"});
    REQUIRE_FALSE(second);
    CHECK(second.error().code == EEXIST);
    CHECK(second.error().holder == "web");
    CHECK(state::Run(state::Release{.path = path, .holder = "db"}));
    CHECK(Exists(path));
    CHECK(state::Run(state::Claim{.path = path, .holder = "db", .from = "api"}).error().code == ESTALE);
    CHECK(state::Run(state::Claim{.path = path, .holder = "db", .from = "web"}));
    CHECK(state::Run(state::Claim{.path = path, .holder = "web"}).error().holder == "db");
    CHECK(state::Run(state::Claim{.path = path, .holder = "web", .from = "db"}));
    CHECK(state::Run(state::Release{.path = path, .holder = "web"}));
    CHECK_FALSE(Exists(path));
    CHECK(state::Run(state::Release{.path = path, .holder = "web"}));
  }

  TEST_CASE_FIXTURE(StateFolder, "a port has one holder; wildcard and specific address exclude each other within a family") {
    const auto claimed = Port("127.0.0.1", 80, "web");
    CHECK(state::Run(claimed));
    const auto refused = [](const state::PortClaim &claim) {
      const auto result = state::Run(claim);
      return result ? "" : result.error().code == EADDRINUSE ? result.error().holder : "another error";
    };
    CHECK(refused(Port("127.0.0.1", 80, "db")) == "web");
    CHECK(refused(Port("0.0.0.0", 80, "db")) == "web");
    CHECK(refused(claimed) == "web");
    CHECK(state::Run(Port("127.0.0.2", 80, "db")));
    CHECK(state::Run(Port("127.0.0.1", 81, "db")));
    CHECK(state::Run(Port("127.0.0.1", 80, "db", Protocol::kUdp)));
    CHECK(state::Run(Port("::", 80, "six")));
    CHECK(refused(Port("2001:db8::1", 80, "db")) == "six");
    CHECK(state::Run(Port("2001:DB8:0::1", 82, "six")));
    CHECK(refused(Port("2001:db8::1", 82, "db")) == "six");

    CHECK(state::Run(Released(Port("127.0.0.1", 80, "db"))));
    CHECK(refused(Port("127.0.0.1", 80, "db")) == "web");
    CHECK(state::Run(Released(claimed)));
    CHECK(refused(Port("0.0.0.0", 80, "web")) == "db");
    CHECK(state::Run(Released(Port("127.0.0.2", 80, "db"))));
    CHECK(state::Run(Port("0.0.0.0", 80, "web")));
    CHECK(refused(Port("127.0.0.1", 80, "db")) == "web");
  }

  TEST_CASE_FIXTURE(StateFolder, "an empty port folder does not stay") {
    CHECK(state::Run(Released(Port("0.0.0.0", 80, "web"))));
    CHECK_FALSE(Exists("/run/state/ports"));
    CHECK(state::Run(Port("0.0.0.0", 80, "web")));
    CHECK(state::Run(Released(Port("0.0.0.0", 80, "web"))));
    CHECK_FALSE(Exists("/run/state/ports/tcp-80"));
    const UniqueFd server = Listening(AF_INET, "0.0.0.0", 80);
    CHECK(CodeOf(state::Run(Port("0.0.0.0", 80, "web", Protocol::kTcp, true))) == EADDRINUSE);
    CHECK_FALSE(Exists("/run/state/ports/tcp-80"));
  }

  TEST_CASE_FIXTURE(StateFolder, "of many processes that want one port, one gets it") {
    for (int round = 0; round < 20; ++round) {
      std::vector<pid_t> children;
      for (int i = 0; i < 8; ++i) {
        const std::string address = i % 2 == 0 ? "0.0.0.0" : "127.0.0.1";
        children.push_back(Start([&] { return CodeOf(state::Run(Port(address, 80, "child", Protocol::kUdp, true))); }));
      }
      int winners = 0;
      for (const pid_t child : children) {
        const int code = Finish(child);
        CHECK((code == 0 || code == EADDRINUSE));
        if (code == 0) ++winners;
      }
      CHECK(winners == 1);
      REQUIRE(state::Run(state::FolderRemove{.path = "/run/state/ports"}));
    }
  }

  TEST_CASE_FIXTURE(StateFolder, "the probe names the process that listens") {
    const auto holder = [](const char *address, std::uint16_t port, Protocol protocol = Protocol::kTcp) {
      const auto result = state::Run(Port(address, port, "web", protocol, true));
      if (result) {
        REQUIRE(state::Run(Released(Port(address, port, "web", protocol))));
        return std::string("free");
      }
      CHECK(result.error().code == EADDRINUSE);
      return result.error().holder.substr(0, Self().size());
    };
    const UniqueFd four = Listening(AF_INET, "127.0.0.1", 80);
    CHECK(holder("127.0.0.1", 80) == Self());
    CHECK(holder("0.0.0.0", 80) == Self());
    CHECK(holder("127.0.0.2", 80) == "free");
    CHECK(holder("::", 80) == "free");
    CHECK(holder("127.0.0.1", 80, Protocol::kUdp) == "free");
    CHECK(holder("127.0.0.1", 80, Protocol::kSctp) == "free");

    const UniqueFd dual = Listening(AF_INET6, "::", 81);
    CHECK(holder("127.0.0.1", 81) == Self());
    CHECK(holder("::1", 81) == Self());
    const UniqueFd six_only = Listening(AF_INET6, "::", 82, true);
    CHECK(holder("0.0.0.0", 82) == "free");
    CHECK(holder("::", 82) == Self());

    const UniqueFd datagrams = Bound(AF_INET, SOCK_DGRAM, "127.0.0.1", 53, false, true);
    CHECK(holder("127.0.0.1", 53, Protocol::kUdp) == Self());
    CHECK(holder("0.0.0.0", 53, Protocol::kUdp) == Self());
    CHECK(holder("127.0.0.1", 53) == "free");

    CHECK(CodeOf(state::Run(Port("192.0.2.1", 80, "web", Protocol::kTcp, true))) == EADDRNOTAVAIL);
    CHECK(CodeOf(state::Run(Port("nonsense", 80, "web"))) == EINVAL);
    CHECK(CodeOf(state::Run(Port("0.0.0.0", 0, "web"))) == EINVAL);
  }

  TEST_CASE_FIXTURE(StateFolder, "connections and what is left of them do not hold a port") {
    const UniqueFd server = Listening(AF_INET, "127.0.0.1", 80);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(80);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    UniqueFd client = Bound(AF_INET, SOCK_STREAM, "127.0.0.1", 40000);
    REQUIRE(connect(client.Get(), reinterpret_cast<sockaddr *>(&to), sizeof to) == 0);
    const UniqueFd accepted(accept(server.Get(), nullptr, nullptr));
    const auto claim = Port("127.0.0.1", 40000, "web", Protocol::kTcp, true);
    CHECK(state::Run(claim));  // established, without SO_REUSEADDR
    CHECK(state::Run(Released(claim)));
    client.Reset();  // the side that closes first keeps the TIME_WAIT
    CHECK(state::Run(claim));
  }
}

TEST_CASE_FIXTURE(StateFolder, "a look at files brings the texts of those that have another version") {
  const std::string path = std::string(kFolder) + "/a.json";
  const std::string missing = std::string(kFolder) + "/b.json";
  REQUIRE(state::Run(FileWrite{.path = path, .text = "one", .how = FileWrite::How::kReplace}));
  const auto look = [&](const std::string &known) {
    auto sights = state::Run(state::FileLook{.paths = {path, missing}, .known = {{known, ""}}});
    REQUIRE(sights);
    REQUIRE(sights->size() == 2);
    CHECK(!sights->at(1).text);
    CHECK(!sights->at(1).version);
    return sights->at(0);
  };
  state::Sight first = look("");
  CHECK(first.text == "one");
  // Just written: the next one to write might get the same clock reading.
  CHECK(!first.version);
  while (!first.version) first = look("");
  const state::Sight again = look(*first.version);
  CHECK(!again.text);
  CHECK(again.version == first.version);

  REQUIRE(state::Run(FileWrite{.path = path, .text = "two", .how = FileWrite::How::kReplace}));
  state::Sight changed = look(*first.version);
  CHECK(changed.text == "two");
  while (!changed.version) changed = look("");
  CHECK(changed.version != first.version);

  const auto versions = state::Run(state::FileLook{.paths = {path, missing}});
  REQUIRE(versions);
  CHECK(versions->at(0).version == changed.version);
  CHECK(!versions->at(0).text);
  CHECK(!versions->at(1).version);
}

TEST_CASE_FIXTURE(StateFolder, "a list of claims has their holders, and groups without any") {
  const std::string root = std::string(kFolder) + "/ports";
  CHECK(state::Run(state::ClaimList{.path = root})->empty());
  for (const char *folder : {"", "/tcp-80", "/tcp-81", "/.hidden"}) REQUIRE(state::Run(state::FolderCreate{.path = root + folder}));
  for (const char *name : {"b", "a"}) REQUIRE(state::Run(state::Claim{.path = root + "/tcp-80/" + name, .holder = "web"}));
  const auto groups = state::Run(state::ClaimList{.path = root});
  REQUIRE(groups);
  REQUIRE(groups->size() == 2);
  CHECK(groups->at(0).name == "tcp-80");
  REQUIRE(groups->at(0).claims.size() == 2);
  CHECK(groups->at(0).claims[0].name == "a");
  CHECK(groups->at(0).claims[1].holder == "web");
  CHECK(groups->at(1).name == "tcp-81");
  CHECK(groups->at(1).claims.empty());
}

}  // namespace netmode

// Network namespaces: made, opened, told apart, visited and deleted, as ip netns sees them.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "netns/namespace.h"
#include "netns/socket.h"
#include "netns/sysctl.h"
#include "netns/sysctl_view.h"
#include "netns/visit.h"
#include "test/private_world.h"

namespace netmode {

namespace {

using netns::SocketRequest;

using World = test::PrivateWorld;

ino_t Inode(int fd) {
  struct stat ns{};
  REQUIRE(fstat(fd, &ns) == 0);
  return ns.st_ino;
}

ino_t Here() { return Inode(netns::OpenCurrent().value().Get()); }

bool Exists(const char *path) {
  struct stat file;
  return lstat(path, &file) == 0;
}

int Mounts(const std::string &path) {
  std::ifstream mounts("/proc/thread-self/mountinfo");
  int count = 0;
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(" " + path + " ") != std::string::npos) ++count;
  }
  return count;
}

std::ptrdiff_t OpenFiles() { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); }

Result<UniqueFd> Create(const std::string &name, int home, const std::function<Result<UniqueFd>()> &inside = netns::OpenCurrent) {
  auto made = netns::Make(home, inside);
  if (!made) return made;
  if (auto named = netns::Attach(name, made->Get()); !named) return std::unexpected(named.error());
  return made;
}

int OpenPathCode(const char *path) {
  const auto ns = netns::Open({.slot = "", .path = path});
  return ns ? 0 : ns.error().code;
}

}  // namespace

TEST_SUITE("netns") {
  TEST_CASE_FIXTURE(World, "a new namespace has its name, and the thread is home again") {
    const ino_t home = Here();
    ino_t inside = 0;
    const auto made = Create("box", Home(), [&]() -> Result<UniqueFd> {
      inside = Here();
      const UniqueFd any(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      return netns::OfSocket(any.Get());
    });
    REQUIRE(made);
    CHECK(Here() == home);
    CHECK(inside == Inode(made->Get()));
    CHECK(inside != home);
    const auto opened = netns::Open({.slot = "", .path = "/run/netns/box"});
    REQUIRE(opened);
    CHECK(Inode(opened->Get()) == inside);
    CHECK((fcntl(opened->Get(), F_GETFD) & FD_CLOEXEC) != 0);

    CHECK(Create("box", Home()).error().code == EEXIST);
    CHECK(Inode(netns::Open({.slot = "", .path = "/run/netns/box"}).value().Get()) == inside);
    CHECK(Create("second", Home()));
    CHECK(Mounts("/run/netns") == 1);
    for (const char *name : {"", ".", "..", "a/b", "../x"}) CHECK(Create(name, Home()).error().code == EINVAL);
  }

  TEST_CASE_FIXTURE(World, "/run mounted anew is made shared anew") {
    REQUIRE(Create("box", Home()));
    REQUIRE(mount("tmpfs", "/run", "tmpfs", 0, nullptr) == 0);
    CHECK(Create("box", Home()));
    std::ifstream mounts("/proc/thread-self/mountinfo");
    bool shared = false;
    for (std::string line; std::getline(mounts, line);)
      shared = shared || (line.find(" /run/netns ") != std::string::npos && line.find("shared:") != std::string::npos);
    CHECK(shared);
    umount2("/run", MNT_DETACH);
  }

  TEST_CASE_FIXTURE(World, "what fails inside leaves nothing behind") {
    const ino_t home = Here();
    const auto made = Create("box", Home(), [] { return Result<UniqueFd>(Fail(EPROTO, "inside")); });
    REQUIRE_FALSE(made);
    CHECK(made.error().code == EPROTO);
    CHECK(Here() == home);
    CHECK_FALSE(Exists("/run/netns/box"));
    CHECK(Mounts("/run/netns/box") == 0);
    CHECK_FALSE(netns::Stranded());
  }

  TEST_CASE_FIXTURE(World, "a thread that cannot get home says so") {
    const auto strand = [](void *) -> void * {
      const UniqueFd elsewhere(open("/dev/null", O_RDONLY | O_CLOEXEC));
      CHECK(Create("lost", elsewhere.Get()).error().code == netns::kStranded);
      CHECK(netns::Stranded());
      return nullptr;
    };
    pthread_t thread{};
    REQUIRE(pthread_create(&thread, nullptr, strand, nullptr) == 0);
    REQUIRE(pthread_join(thread, nullptr) == 0);
    CHECK_FALSE(netns::Stranded());
    CHECK_FALSE(Exists("/run/netns/lost"));
  }

  TEST_CASE_FIXTURE(World, "only a network namespace is opened, and nothing else is touched") {
    CHECK(OpenPathCode("/run/netns/none") == ENOENT);
    CHECK(OpenPathCode("/proc/self/ns/mnt") == netns::kNotANetns);
    CHECK(OpenPathCode("/dev/null") == netns::kNotANetns);
    CHECK(OpenPathCode("/run") == netns::kNotANetns);
    REQUIRE(mkfifo("/run/fifo", 0600) == 0);
    CHECK(OpenPathCode("/run/fifo") == netns::kNotANetns);  // an open would wait for a writer for ever
    REQUIRE(symlink("/proc/self/ns/net", "/run/link") == 0);
    CHECK(OpenPathCode("/run/link") == 0);

    const UniqueFd memory(memfd_create("memory", MFD_CLOEXEC));
    CHECK(netns::Open({.slot = "", .fd = memory.Get()}).error().code == netns::kNotANetns);
    CHECK(netns::Open({.slot = "", .fd = 9999}).error().code == EBADF);
    CHECK(netns::Open({.slot = ""}).error().code == EINVAL);

    const auto own = netns::Open({.slot = "", .fd = Home()});
    REQUIRE(own);
    CHECK(own->Get() != Home());
    CHECK(Inode(own->Get()) == Inode(Home()));
    CHECK(netns::Open({.slot = "", .fd = Home(), .inode = Inode(Home())}));
    CHECK(netns::Open({.slot = "", .fd = Home(), .inode = Inode(Home()) + 1}).error().code == netns::kOtherNetns);
  }

  TEST_CASE_FIXTURE(World, "by process") {
    int gate[2];
    int ready[2];
    REQUIRE(pipe(gate) == 0);
    REQUIRE(pipe(ready) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      char byte = unshare(CLONE_NEWNET) == 0 ? 'y' : 'n';
      if (write(ready[1], &byte, 1) != 1 || read(gate[0], &byte, 1) != 1) _exit(1);
      _exit(0);
    }
    char byte = 0;
    REQUIRE(read(ready[0], &byte, 1) == 1);
    REQUIRE(byte == 'y');
    const auto ns = netns::Open({.slot = "", .pid = static_cast<std::uint32_t>(child)});
    REQUIRE(ns);
    struct stat expected{};
    REQUIRE(stat(("/proc/" + std::to_string(child) + "/ns/net").c_str(), &expected) == 0);
    CHECK(Inode(ns->Get()) == expected.st_ino);
    CHECK(Inode(ns->Get()) != Here());
    REQUIRE(write(gate[1], &byte, 1) == 1);
    REQUIRE(waitpid(child, nullptr, 0) == child);
    CHECK(netns::Open({.slot = "", .pid = static_cast<std::uint32_t>(child)}).error().code == ESRCH);
    for (const int fd : {gate[0], gate[1], ready[0], ready[1]}) close(fd);
  }

  TEST_CASE_FIXTURE(World, "a name is deleted only if it is still that namespace's") {
    const auto first = Create("box", Home());
    REQUIRE(first);
    const std::uint64_t inode = Inode(first->Get());
    CHECK(netns::Delete({.name = "box", .inode = inode + 1}).error().code == netns::kOtherNetns);
    CHECK(netns::Delete({.name = "box", .inode = inode + 1, .missing_ok = true}));
    CHECK(Exists("/run/netns/box"));
    CHECK(netns::Delete({.name = "box", .inode = inode}));
    CHECK_FALSE(Exists("/run/netns/box"));
    CHECK(Mounts("/run/netns/box") == 0);
    CHECK(netns::Delete({.name = "box"}).error().code == ENOENT);
    CHECK(netns::Delete({.name = "box", .missing_ok = true}));
    CHECK(netns::Delete({.name = "../state"}).error().code == EINVAL);

    // Left by a process that died between making the file and mounting on it.
    REQUIRE(mknod("/run/netns/torn", S_IFREG, 0) == 0);
    CHECK(netns::Delete({.name = "torn", .inode = 1}).error().code == netns::kOtherNetns);
    CHECK(netns::Delete({.name = "torn"}));
    CHECK_FALSE(Exists("/run/netns/torn"));
  }

  TEST_CASE_FIXTURE(World, "a name deleted here is gone in other mount namespaces") {
    REQUIRE(Create("box", Home()));
    int gate[2];
    int ready[2];
    REQUIRE(pipe(gate) == 0);
    REQUIRE(pipe(ready) == 0);
    const pid_t child = fork();
    if (child == 0) {
      char byte = unshare(CLONE_NEWNS) == 0 && Mounts("/run/netns/box") == 1 ? 'y' : 'n';
      if (write(ready[1], &byte, 1) != 1 || read(gate[0], &byte, 1) != 1) _exit(100);
      _exit(Mounts("/run/netns/box"));
    }
    char byte = 0;
    REQUIRE(read(ready[0], &byte, 1) == 1);
    CHECK(byte == 'y');
    CHECK(netns::Delete({.name = "box"}));
    REQUIRE(write(gate[1], &byte, 1) == 1);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 0);
    for (const int fd : {gate[0], gate[1], ready[0], ready[1]}) close(fd);
  }

  TEST_CASE_FIXTURE(World, "a visit ends with its scope") {
    const auto box = Create("box", Home());
    REQUIRE(box);
    const ino_t home = Here();
    {
      const auto visit = netns::Visit::Enter(box->Get(), Home());
      REQUIRE(visit);
      CHECK(Here() == Inode(box->Get()));
    }
    CHECK(Here() == home);
    auto visit = netns::Visit::Enter(box->Get(), Home());
    REQUIRE(visit);
    CHECK(visit->Return());
    CHECK(Here() == home);
    CHECK(visit->Return());
    CHECK_FALSE(netns::Visit::Enter(-1, Home()));
  }

  TEST_CASE_FIXTURE(World, "identities differ, and stay") {
    const auto box = Create("box", Home());
    REQUIRE(box);
    const auto here = netns::Identify(Home(), Home());
    const auto there = netns::Identify(box->Get(), Home());
    REQUIRE(here);
    REQUIRE(there);
    CHECK(there->inode == Inode(box->Get()));
    CHECK(here->device == there->device);
    REQUIRE(there->cookie);
    CHECK(*there->cookie != 0);
    CHECK(*here->cookie != *there->cookie);
    CHECK(netns::Identify(box->Get(), Home())->cookie == there->cookie);
  }

  TEST_CASE_FIXTURE(World, "sysctls are those of the namespace that the thread is in") {
    const auto box = Create("box", Home());
    REQUIRE(box);
    const std::string key = "net/ipv4/ip_forward";
    REQUIRE(netns::WriteSysctl(key, "0"));
    {
      const auto visit = netns::Visit::Enter(box->Get(), Home());
      REQUIRE(visit);
      REQUIRE(netns::WriteSysctl(key, "0"));
      CHECK(netns::WriteSysctl(key, "1").value() == "0");
      CHECK(netns::WriteSysctl(key, "1").value() == std::nullopt);
      CHECK(netns::ReadSysctl(key).value() == "1");
    }
    CHECK(netns::ReadSysctl(key).value() == "0");

    const std::string range = "net/ipv4/ip_local_port_range";
    CHECK(netns::WriteSysctl(range, "2000 3000").value().has_value());
    CHECK(netns::ReadSysctl(range).value() == "2000 3000");  // the kernel prints a tab
    CHECK_FALSE(netns::WriteSysctl(range, "2000\t3000").value().has_value());
    CHECK(netns::WriteSysctl(range, "nonsense").error().code == EINVAL);
  }

  TEST_CASE_FIXTURE(World, "a sysctl key stays under net/") {
    for (const char *key : {"kernel/hostname", "net/../kernel/hostname", "/net/ipv4/ip_forward", "net", "net/", "net//ipv4", "net/./ipv4",
                            "net/ipv4/ip_forward/", ""}) {
      CAPTURE(key);
      CHECK(netns::ReadSysctl(key).error().code == EINVAL);
      CHECK(netns::WriteSysctl(key, "1").error().code == EINVAL);
    }
    CHECK(netns::ReadSysctl("net/ipv4/no_such_key").error().code == ENOENT);
    CHECK(netns::WriteSysctl("net/ipv4/no_such_key", "1").error().code == ENOENT);
  }

  TEST_CASE_FIXTURE(World, "a read-only /proc/sys is fine for a value that is right already") {
    REQUIRE(mount("/proc/sys", "/proc/sys", nullptr, MS_BIND, nullptr) == 0);
    REQUIRE(mount(nullptr, "/proc/sys", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0);
    const std::string key = "net/ipv4/ip_forward";
    const std::string now = netns::ReadSysctl(key).value();
    CHECK_FALSE(netns::WriteSysctl(key, now).value().has_value());
    CHECK(netns::WriteSysctl(key, now == "0" ? "1" : "0").error().code == EROFS);
    CHECK(netns::PutSysctl(key, now, netns::kNoProc));
    CHECK(netns::PutSysctl(key, now == "0" ? "1" : "0", netns::kNoProc).error().code == EROFS);
  }

  TEST_CASE_FIXTURE(World, "a view of sysctls is that of the namespace that the thread is in, however often it is renewed") {
    const std::string key = "net/ipv6/conf/default/disable_ipv6";
    const int mounts = Mounts("/proc");
    netns::SysctlView view;
    for (int i = 0; i < 200; ++i) {
      CAPTURE(i);
      const auto box = netns::Make(Home(), [&] {
        CHECK(netns::ReadSysctl(key).value() == "0");
        CHECK(view.Write(key, "1"));
        CHECK(netns::ReadSysctl(key).value() == "1");
        return netns::OpenCurrent();
      });
      REQUIRE(box);
      view.Renew();
    }
    CHECK(netns::ReadSysctl(key).value() == "0");
    CHECK(view.Write("net/ipv4/no_such_key", "1").error().code == ENOENT);
    CHECK(view.Write("kernel/hostname", "1").error().code == EINVAL);
    CHECK(Mounts("/proc") == mounts);  // nobody else sees one
  }

  TEST_CASE_FIXTURE(World, "a view of sysctls closes what it has opened") {
    const auto before = OpenFiles();
    {
      netns::SysctlView view;
      for (int i = 0; i < 100; ++i) {
        REQUIRE(view.Write("net/ipv4/ip_forward", i % 2 == 0 ? "1" : "0"));
        view.Renew();
      }
      CHECK(OpenFiles() <= before + 1);
    }
    CHECK(OpenFiles() == before);
  }

  TEST_CASE_FIXTURE(World, "a socket belongs to the namespace it was made in") {
    const auto box = Create("box", Home(), [] {
      test::RaiseLoopback();
      return netns::OpenCurrent();
    });
    REQUIRE(box);
    const auto open_there = [&](const SocketRequest &request) {
      const auto visit = netns::Visit::Enter(box->Get(), Home());
      REQUIRE(visit);
      return netns::OpenSocket(request);
    };
    const auto server = open_there({.family = 4, .address = "127.0.0.1", .port = 80, .backlog = 16});
    REQUIRE(server);
    CHECK((fcntl(server->Get(), F_GETFL) & O_NONBLOCK) != 0);
    CHECK(open_there({.family = 4, .address = "127.0.0.1", .port = 80, .backlog = 16}).error().code == EADDRINUSE);
    CHECK(open_there({.family = 4, .address = "192.0.2.1", .port = 80}).error().code == EADDRNOTAVAIL);
    CHECK(open_there({.family = 4, .address = "::1", .port = 80}).error().code == EINVAL);
    CHECK(open_there({.family = 6, .address = "fe80::1%nolink", .port = 80}).error().code == ENODEV);
    CHECK(open_there({.family = 5}).error().code == EAFNOSUPPORT);

    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(80);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // What a connection comes to in the end.
    const auto connects = [&](int fd) {
      if (connect(fd, reinterpret_cast<sockaddr *>(&to), sizeof to) == 0) return 0;
      if (errno != EINPROGRESS) return errno;
      pollfd writable{.fd = fd, .events = POLLOUT, .revents = 0};
      REQUIRE(poll(&writable, 1, -1) == 1);
      int error = 0;
      socklen_t size = sizeof error;
      REQUIRE(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0);
      return error;
    };
    const auto client = open_there({.family = 4});
    REQUIRE(client);
    CHECK(connects(client->Get()) == 0);  // from here, by a socket of there
    const auto stranger = netns::OpenSocket({.family = 4});
    REQUIRE(stranger);
    CHECK(connects(stranger->Get()) == ECONNREFUSED);

    const auto only = open_there({.family = 6, .type = SocketRequest::Type::kDatagram, .port = 53, .ipv6_only = true});
    REQUIRE(only);
    CHECK(open_there({.family = 4, .type = SocketRequest::Type::kDatagram, .port = 53}));
  }
}

}  // namespace netmode

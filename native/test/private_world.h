// PrivateWorld: network and mounts of its own for a test, with an empty /run and lo up. Whatever a test does stays in there.
#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <cstring>

#include "base/unique_fd.h"

namespace netmode::test {

inline void RaiseLoopback() {
  const UniqueFd control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  REQUIRE(ioctl(control.Get(), SIOCSIFFLAGS, &request) == 0);
}

// Needs root or a user namespace of its own (`unshare -Ur`). The namespaces before are left, never to come back to.
class PrivateWorld {
 public:
  PrivateWorld() {
    REQUIRE(unshare(CLONE_NEWNET | CLONE_NEWNS) == 0);
    REQUIRE(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
    REQUIRE(mount("tmpfs", "/run", "tmpfs", 0, "mode=755") == 0);
    RaiseLoopback();
    home_.Reset(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    REQUIRE(home_.Valid());
  }

  PrivateWorld(const PrivateWorld &) = delete;
  PrivateWorld &operator=(const PrivateWorld &) = delete;
  ~PrivateWorld() { umount2("/run", MNT_DETACH); }

  [[nodiscard]] int Home() const { return home_.Get(); }

 private:
  UniqueFd home_;
};

}  // namespace netmode::test

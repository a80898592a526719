#include "netns/visit.h"

#include <sched.h>

#include <utility>

#include "netns/namespace.h"

namespace netmode::netns {

namespace {

// Trivial type: nothing runs at thread or process exit.
thread_local bool stranded = false;

}  // namespace

Result<void> GoHome(int home) {
  if (setns(home, CLONE_NEWNET) == 0) return {};
  const int code = errno;
  stranded = true;
  auto failure = Fail(kStranded, "setns");
  failure.error().detail = "could not get back to the host's namespace: errno " + std::to_string(code);
  return failure;
}

bool Stranded() noexcept { return stranded; }

Result<Visit> Visit::Enter(int fd, int home) {
  if (setns(fd, CLONE_NEWNET) != 0) return FailErrno("setns");
  return Visit(home);
}

Visit::Visit(Visit &&other) noexcept : home_(std::exchange(other.home_, -1)) {}

Visit::~Visit() { static_cast<void>(Return()); }  // a failure shows in Stranded()

Result<void> Visit::Return() {
  if (home_ < 0) return {};
  return GoHome(std::exchange(home_, -1));
}

}  // namespace netmode::netns

// Visit: the calling thread stays in another network namespace for as long as the object lives.
#pragma once

#include "base/result.h"

namespace netmode::netns {

class Visit {
 public:
  // Both descriptors must stay open until the visit has ended.
  [[nodiscard]] static Result<Visit> Enter(int fd, int home);

  Visit(Visit &&other) noexcept;
  Visit &operator=(Visit &&) = delete;
  Visit(const Visit &) = delete;
  Visit &operator=(const Visit &) = delete;
  ~Visit();

  // Goes home now; again is fine. kStranded if that fails.
  [[nodiscard]] Result<void> Return();

 private:
  explicit Visit(int home) noexcept : home_(home) {}

  int home_;  // -1: already back
};

// Sends the calling thread to `home`; kStranded if that fails.
[[nodiscard]] Result<void> GoHome(int home);

// Whether the calling thread once failed to get home. It then must run nothing more and end: whatever it does happens in the
// wrong namespace.
[[nodiscard]] bool Stranded() noexcept;

}  // namespace netmode::netns

// Expect: what a plan was based on must still hold under the lock, or the plan stops.
#pragma once

#include <string>

#include "base/result.h"

namespace netmode::state {

// ENOTEMPTY unless the folder is empty or absent.
struct ExpectEmpty {
  std::string path;
};

// ESTALE unless the file holds exactly this text; ENOENT when it is gone.
struct ExpectUnchanged {
  std::string path;
  std::string text;
};

[[nodiscard]] Result<void> Run(const ExpectEmpty &op);
[[nodiscard]] Result<void> Run(const ExpectUnchanged &op);

}  // namespace netmode::state

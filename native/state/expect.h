// Expect: what a plan was based on must still hold under the lock, or the plan stops.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace netmode::state {

// ESTALE unless the folder holds exactly these names, hidden ones aside; an absent folder holds none.
struct ExpectNames {
  std::string path;
  std::vector<std::string> names{};
};

// ESTALE unless the file holds exactly this text; ENOENT when it is gone. Without a text: ESTALE if there is anything.
struct ExpectUnchanged {
  std::string path;
  std::optional<std::string> text{};
  bool follow = false;  // a symbolic link
};

// ESTALE unless the file is the one that was made then (Start() in folder.h), whatever its name was; ENOENT when it is gone.
struct ExpectVersion {
  std::string path;
  std::string version;
};

// EEXIST if there is anything at the path.
struct ExpectAbsent {
  std::string path;
};

[[nodiscard]] Result<void> Run(const ExpectAbsent &op);
[[nodiscard]] Result<void> Run(const ExpectNames &op);
[[nodiscard]] Result<void> Run(const ExpectUnchanged &op);
[[nodiscard]] Result<void> Run(const ExpectVersion &op);

}  // namespace netmode::state

// Look: many files of the state folder, or all claims in one of its folders, in one go.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace netmode::state {

// What is at these paths. With `known`, one version for each, the texts of those that have another version by now.
struct FileLook {
  std::vector<std::string> paths{};
  std::optional<std::vector<std::string>> known{};
};

// One of them. Neither: it isn't there, or can't be told; whoever has to know looks by himself.
struct Sight {
  // The same for as long as nothing is changed there. None where it has just changed: the next change might get the same clock reading.
  std::optional<std::string> version{};
  std::optional<std::string> text{};
};

// Never fails as a whole.
[[nodiscard]] Result<std::vector<Sight>> Run(const FileLook &op);

// The same for as long as the file is the same and nobody writes into it; another name makes no difference.
[[nodiscard]] std::string ContentVersion(const struct stat &file);

// All claims two levels below a folder: `folder/group/name`.
struct ClaimList {
  std::string path;
};

// The claims of a group; there may be none.
struct ClaimGroup {
  struct Held {
    std::string name;
    std::string holder;
  };
  std::string name;
  std::vector<Held> claims{};
};

// Sorted by name; hidden ones are passed over, and what goes away meanwhile.
[[nodiscard]] Result<std::vector<ClaimGroup>> Run(const ClaimList &op);

}  // namespace netmode::state

// Capabilities by name, and giving them up. Raw system calls: libcap is not needed for this little.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"

namespace netmode::exec {

// Adds what a name stands for, with or without CAP_, in any case; ALL is all. False: there is no such capability.
[[nodiscard]] bool AddCapability(std::string_view name, std::vector<int> &capabilities);

// Takes them out of the bounding set, so that a root command does not get them back when it is executed. Needs CAP_SETPCAP.
// Those that the kernel does not know are passed over.
[[nodiscard]] Result<void> DropFromBounding(const std::vector<int> &capabilities);

// Takes them out of the other sets: permitted, effective, inheritable and (by that) ambient.
[[nodiscard]] Result<void> DropFromThread(const std::vector<int> &capabilities);

}  // namespace netmode::exec

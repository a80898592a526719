// Arguments of netmode-exec. It is called by lib/sandbox/spawn.ts only: they are strict, and made to be written by a program.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace netmode::exec {

struct Mount {
  const char *source;
  const char *target;
};

// What to do, in the order in which it is done. The texts belong to argv.
struct Arguments {
  int error_fd = -1;
  int netns_fd = -1;
  std::vector<Mount> mounts;
  bool sysfs = false;
  const char *hostname = nullptr;
  const char *cwd = nullptr;
  std::vector<int> drop_capabilities;
  int uid = -1;
  int gid = -1;
  int keep_fds = 3;             // 0 to keep_fds - 1 reach the command …
  std::vector<int> closed_fds;  // … but for these
  const char *argv0 = nullptr;  // default: the command itself
  char **command = nullptr;     // name and arguments, ended by nullptr
};

// --netns-fd N --error-fd M [--mount SOURCE TARGET]... [--sysfs] [--hostname NAME] [--cwd FOLDER] [--drop-cap NAME|ALL]...
// [--uid U] [--gid G] [--keep-fds K] [--close-fd N]... [--argv0 NAME] -- COMMAND [ARGUMENT]...
// Fills what was read even on failure, so that the failure can be told through --error-fd.
[[nodiscard]] Result<void> ParseArguments(std::span<char *> argv, Arguments &arguments);

}  // namespace netmode::exec

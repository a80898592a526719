// Survey: how sandboxes and what they stand on look, each as one short text that is another as soon as anything about it is. For who only
// has to know whether all is as it was.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "netlink/socket.h"
#include "rtnl/link.h"

namespace netmode::program {

struct Survey {
  struct Item {
    std::vector<std::string> files{};    // paths: what is there, by their versions (state/look.h)
    std::vector<std::string> links{};    // of the host
    std::optional<std::string> netns{};  // path of a namespace: addresses, routes, and its links of these names
    std::vector<std::string> inside{};
  };
  // A line of a file, with an array of items in JSON: those that are in it are the first. None if there is no such line.
  struct From {
    std::string path;
    std::uint32_t line = 0;
  };
  std::optional<From> from{};
  std::vector<Item> items{};
  std::optional<std::uint32_t>
      group{};  // and one more text: the names, with blanks between them, of links on the host that are in this group and in no item
};

// In the order of the items; empty where something isn't there, or has just been changed. `host`: a socket on the host, where the calling
// thread is and will be again.
[[nodiscard]] Result<std::vector<std::string>> Look(const Survey &op, netlink::Socket &host, int home, rtnl::Names &names);

}  // namespace netmode::program

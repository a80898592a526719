// Fresh: a namespace that was made and has no name yet, with what is set in it before anything else. Dropped, it is gone.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/socket.h"
#include "netns/namespace.h"
#include "netns/sysctl_view.h"

namespace netmode::program {

struct Fresh {
  UniqueFd ns;
  netlink::Socket rtnl;  // in it
  netns::Identity identity;
};

// As `op` wants it but for the name. The calling thread goes there and comes back to `home`, or netns::Stranded() says so.
[[nodiscard]] Result<Fresh> MakeFresh(const netns::NetnsCreate &op, int home, netns::SysctlView &sysctls);

}  // namespace netmode::program

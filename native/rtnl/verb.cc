#include "rtnl/verb.h"

#include <cerrno>

namespace netmode::rtnl {

// Which of them it is depends on the object: links ENODEV, routes ESRCH, neighbours and rules ENOENT, addresses EADDRNOTAVAIL.
bool MeansMissing(int code) { return code == ENODEV || code == ENOENT || code == ESRCH || code == EADDRNOTAVAIL; }

}  // namespace netmode::rtnl

#include "rtnl/verb.h"

#include <cerrno>

namespace netmode::rtnl {

// Which of them it is depends on the object: links ENODEV, routes ESRCH, neighbours and rules ENOENT, addresses EADDRNOTAVAIL;
// a family that a link does not have EAFNOSUPPORT.
bool MeansMissing(int code) { return code == ENODEV || code == ENOENT || code == ESRCH || code == EADDRNOTAVAIL || code == EAFNOSUPPORT; }

}  // namespace netmode::rtnl

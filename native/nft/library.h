// Library: libnftnl, opened when it is first needed. The addon carries no link to it (its symbols are bound lazily), so links
// and namespaces work on machines without it.
#pragma once

#include "base/result.h"

namespace netmode::nft {

// Opens libnftnl.so.11 once for the whole process; later calls answer the first one's outcome, except that a failed attempt is
// tried again (the package may have been installed meanwhile). ENOENT names the package to install. Safe from any thread.
// Nothing else of this folder may be called before it succeeded.
[[nodiscard]] Result<void> Load();

}  // namespace netmode::nft

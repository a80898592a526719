#include "nft/library.h"

#include <dlfcn.h>

#include <atomic>

namespace netmode::nft {

namespace {

// Never closed: the symbols of the addon are bound to it. dlopen counts its users itself and is safe to call from two threads,
// so that all there is to remember is that it worked.
std::atomic<bool> loaded{false};

}  // namespace

Result<void> Load() {
  if (loaded.load(std::memory_order_acquire)) return {};
  if (dlopen("libnftnl.so.11", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char *reason = dlerror();
    return Fail(ENOENT, "dlopen",
                std::string("the firewall needs libnftnl: install the package libnftnl11 (Debian, Ubuntu) or "
                            "libnftnl (Fedora, Arch, Alpine)") +
                    (reason != nullptr ? std::string(": ") + reason : std::string()));
  }
  loaded.store(true, std::memory_order_release);
  return {};
}

}  // namespace netmode::nft

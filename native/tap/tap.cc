#include "tap/tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

namespace netmode::tap {

namespace {

constexpr const char *kDevice = "/dev/net/tun";

// Frames without a header of the driver's own, as every virtual machine wants them.
constexpr unsigned kFlags = IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL;

[[nodiscard]] Result<void> SetOwner(const UniqueFd &device, unsigned long request, const char *name,
                                    const std::optional<std::uint32_t> &id) {
  if (!id || ioctl(device.Get(), request, static_cast<unsigned long>(*id)) == 0) return {};
  return FailErrno(name, std::to_string(*id));
}

}  // namespace

Result<UniqueFd> Open(const TapAdd &op) {
  UniqueFd device(open(kDevice, O_RDWR | O_CLOEXEC));
  if (!device.Valid()) {
    // No such node, or nobody behind it: the kernel can't make such links, whoever asks.
    const bool absent = errno == ENOENT || errno == ENXIO || errno == ENODEV;
    if (absent)
      return Fail(EOPNOTSUPP, "open", std::string(kDevice) + " is not there: this kernel has no TUN/TAP, or its module tun is not loaded");
    return FailErrno("open", kDevice);
  }
  ifreq request{};
  if (op.name.size() >= sizeof request.ifr_name) return Fail(ENAMETOOLONG, "TUNSETIFF", op.name);
  op.name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  const unsigned flags = kFlags | (op.vnet_hdr ? IFF_VNET_HDR : 0U) | (op.multi_queue ? IFF_MULTI_QUEUE : 0U);
  request.ifr_flags = static_cast<short>(flags);
  if (ioctl(device.Get(), TUNSETIFF, &request) != 0) {
    // A TAP of that name is busy to those who want a new one (IFF_TUN_EXCL); a link of another kind, an invalid one.
    return Fail(errno == EBUSY ? EEXIST : errno, "TUNSETIFF", op.name);
  }
  if (auto done = SetOwner(device, TUNSETOWNER, "TUNSETOWNER", op.owner); !done) return std::unexpected(done.error());
  if (auto done = SetOwner(device, TUNSETGROUP, "TUNSETGROUP", op.group); !done) return std::unexpected(done.error());
  return device;
}

Result<void> Persist(const UniqueFd &device) {
  if (ioctl(device.Get(), TUNSETPERSIST, 1UL) != 0) return FailErrno("TUNSETPERSIST");
  return {};
}

}  // namespace netmode::tap

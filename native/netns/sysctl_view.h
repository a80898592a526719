// SysctlView: a mount of proc of one's own, for settings of namespaces that were just made.
//
// In one mount of proc the folders that all namespaces have below /proc/sys/net lie in one hash chain, which the kernel goes through
// whenever one is looked at for the first time: 900 namespaces make that a millisecond. A mount that few were looked at through has
// a short chain. Nobody else sees it, and it ends with its descriptor.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace netmode::netns {

class SysctlView {
 public:
  // As PutSysctl. In /proc at first, and for ever where proc can't be mounted.
  [[nodiscard]] Result<void> Write(const std::string &key, const std::string &value);

  // Mounts proc if there have been some writes, and anew if there have been many. To be called where nobody waits: to close a mount takes
  // the kernel a millisecond.
  void Renew();

 private:
  std::mutex mutex_;
  std::shared_ptr<const UniqueFd> proc_;  // closed by the last that writes through it
  std::size_t writes_ = 0;                // that went well, since it was mounted
  bool refused_ = false;
};

}  // namespace netmode::netns

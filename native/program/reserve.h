// Reserve: namespaces without a name that are kept for a later plan, each with the lock of the folder that speaks of it. They end with
// the session or the process, whichever is first, and the lock tells others so.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/unique_fd.h"

namespace netmode::program {

// Keeps the namespace of a slot, and the lock that the plan took last, beyond the end of the plan. EEXIST if the key is in use.
struct NetnsKeep {
  std::string key;
  std::string slot;
};

// Takes both back: the namespace as `slot`, the lock as the plan's own. ENOENT if nothing is kept under the key.
struct NetnsTake {
  std::string key;
  std::string slot;
};

class Reserve {
 public:
  struct Kept {
    UniqueFd ns;
    UniqueFd lock;
  };

  Reserve() = default;
  ~Reserve();
  Reserve(const Reserve &) = delete;
  Reserve &operator=(const Reserve &) = delete;

  // false: the key is in use, and `kept` is as it was.
  [[nodiscard]] bool Keep(const std::string &key, Kept &kept);
  [[nodiscard]] std::optional<Kept> Take(const std::string &key);

 private:
  std::mutex mutex_;
  std::map<std::string, Kept> kept_;
};

}  // namespace netmode::program

#include "program/reserve.h"

#include <utility>

#include "state/folder.h"

namespace netmode::program {

Reserve::~Reserve() {
  for (auto &[key, kept] : kept_) state::Drop(std::move(kept.lock));
}

bool Reserve::Keep(const std::string &key, Kept &kept) {
  const std::lock_guard lock(mutex_);
  return kept_.try_emplace(key, std::move(kept)).second;
}

std::optional<Reserve::Kept> Reserve::Take(const std::string &key) {
  const std::lock_guard lock(mutex_);
  const auto found = kept_.find(key);
  if (found == kept_.end()) return std::nullopt;
  Kept kept = std::move(found->second);
  kept_.erase(found);
  return kept;
}

}  // namespace netmode::program

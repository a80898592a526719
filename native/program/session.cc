#include "program/session.h"

#include <algorithm>
#include <utility>

#include "rtnl/nsid.h"

namespace netmode::program {

namespace {

// Of each protocol, of each folder: as many as there are threads to use them.
constexpr std::size_t kMostKept = 4;

}  // namespace

std::optional<netlink::Socket> Session::Take(int protocol) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(kept_, protocol, &KeptSocket::protocol);
  if (found == kept_.end()) return std::nullopt;
  netlink::Socket socket = std::move(found->socket);
  kept_.erase(found);
  return socket;
}

void Session::GiveBack(int protocol, netlink::Socket socket) {
  const std::lock_guard lock(mutex_);
  if (static_cast<std::size_t>(std::ranges::count(kept_, protocol, &KeptSocket::protocol)) >= kMostKept) return;
  kept_.push_back({.protocol = protocol, .socket = std::move(socket)});
}

UniqueFd Session::TakeFolder(const std::string &path) {
  const std::lock_guard lock(mutex_);
  auto found = folders_.extract(path);
  return found.empty() ? UniqueFd() : std::move(found.mapped());
}

void Session::GiveBackFolder(const std::string &path, UniqueFd folder) {
  const std::lock_guard lock(mutex_);
  if (folders_.count(path) < kMostKept) folders_.emplace(path, std::move(folder));
}

int Session::HandOut(UniqueFd fd) {
  const std::lock_guard lock(mutex_);
  const int number = fd.Get();
  handed_out_.emplace(number, std::move(fd));
  return number;
}

bool Session::Adopt(int fd) {
  const std::lock_guard lock(mutex_);
  auto kept = handed_out_.extract(fd);
  return !kept.empty() && kept.mapped().Release() == fd;
}

Result<std::optional<std::uint32_t>> Session::NextNumber(netlink::Socket &rtnl) {
  std::unique_lock lock(mutex_);
  if (!number_) {
    lock.unlock();  // the main thread waits for nobody's list
    const auto lowest = rtnl::LowestNumberGiven(rtnl);
    if (!lowest) return std::unexpected(lowest.error());
    lock.lock();
    if (!number_) number_ = lowest->value_or(rtnl::kHighestNumber + 1);
  }
  if (*number_ > rtnl::kLowestNumber) return --*number_;
  number_.reset();  // by then the higher ones may be free again
  return std::nullopt;
}

bool Session::Order(netns::NetnsCreate like) {
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::kNone) return false;
  stage_ = Stage::kOrdered;
  like_ = std::move(like);
  return true;
}

void Session::MakeOrdered() {
  netns::NetnsCreate like;
  {
    const std::lock_guard lock(mutex_);
    if (stage_ != Stage::kOrdered) return;
    stage_ = Stage::kMaking;
    like = like_;
  }
  auto fresh = MakeFresh(like, Home(), sysctls_);
  std::unique_lock lock(mutex_);
  const auto next = std::exchange(next_, nullptr);
  const bool keep = !std::exchange(unwanted_, false) && !next && fresh;
  stage_ = keep ? Stage::kMade : Stage::kNone;
  if (keep) ready_ = std::move(*fresh);
  made_.notify_all();
  lock.unlock();
  if (next) next(std::move(fresh));
}

std::optional<Fresh> Session::TakeOrdered(const netns::NetnsCreate &op) {
  std::unique_lock lock(mutex_);
  if (stage_ == Stage::kNone || next_ || like_.settings != op.settings) return std::nullopt;
  unwanted_ = false;
  // Not begun: it is quicker to make one.
  if (stage_ == Stage::kOrdered) stage_ = Stage::kNone;
  made_.wait(lock, [&] { return stage_ != Stage::kMaking; });
  stage_ = Stage::kNone;
  return std::exchange(ready_, std::nullopt);
}

std::optional<Fresh> Session::TakeMade(const netns::NetnsCreate &op) {
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::kMade || like_.settings != op.settings) return std::nullopt;
  stage_ = Stage::kNone;
  return std::exchange(ready_, std::nullopt);
}

bool Session::FollowOrdered(const netns::NetnsCreate &op, std::function<void(Result<Fresh>)> next) {
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::kMaking || next_ || like_.settings != op.settings) return false;
  unwanted_ = false;
  next_ = std::move(next);
  return true;
}

void Session::CancelOrder() {
  const std::lock_guard lock(mutex_);
  if (next_) return;
  unwanted_ = stage_ == Stage::kMaking;
  if (unwanted_) return;
  ready_.reset();
  stage_ = Stage::kNone;
}

}  // namespace netmode::program

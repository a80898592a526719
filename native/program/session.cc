#include "program/session.h"

#include <algorithm>
#include <utility>

namespace netmode::program {

Result<netlink::Socket> Session::Take(int protocol) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(kept_, protocol, &KeptSocket::protocol);
    if (found != kept_.end()) {
      netlink::Socket socket = std::move(found->socket);
      kept_.erase(found);
      return socket;
    }
  }
  return netlink::Socket::Open(protocol);
}

void Session::GiveBack(int protocol, netlink::Socket socket) {
  const std::lock_guard lock(mutex_);
  kept_.push_back({.protocol = protocol, .socket = std::move(socket)});
}

bool Session::Order(netns::NetnsCreate like) {
  const std::lock_guard lock(mutex_);
  if (ordered_) return false;
  ordered_ = std::move(like);
  return true;
}

void Session::MakeOrdered() {
  netns::NetnsCreate like;
  {
    const std::lock_guard lock(mutex_);
    like = *ordered_;
  }
  auto fresh = MakeFresh(like, Home());
  if (!fresh) return FailOrder();
  const std::lock_guard lock(mutex_);
  if (!unwanted_) ready_ = std::move(*fresh);
  if (unwanted_) ordered_.reset();
  unwanted_ = false;
  made_.notify_all();
}

std::optional<Fresh> Session::TakeOrdered(const netns::NetnsCreate &op) {
  std::unique_lock lock(mutex_);
  const auto suits = [&] { return ordered_ && ordered_->settings == op.settings; };
  if (suits()) unwanted_ = false;
  made_.wait(lock, [&] { return ready_ || !suits(); });
  if (!suits()) return std::nullopt;
  ordered_.reset();
  return std::exchange(ready_, std::nullopt);
}

void Session::CancelOrder() {
  const std::lock_guard lock(mutex_);
  if (!ordered_) return;
  unwanted_ = !ready_;
  if (unwanted_) return;
  ready_.reset();
  ordered_.reset();
}

void Session::FailOrder() {
  const std::lock_guard lock(mutex_);
  ordered_.reset();
  unwanted_ = false;
  made_.notify_all();
}

}  // namespace netmode::program

#include "watch/watcher.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <future>
#include <iterator>
#include <system_error>
#include <utility>

#include "netlink/reply.h"
#include "watch/loss.h"
#include "watch/subscribe.h"

namespace netmode::watch {

namespace {

constexpr std::size_t kReceiveRoom = 256 << 10;  // bytes; no notification is larger
constexpr std::size_t kMostWaiting = 1 << 16;    // events that nobody has taken: more are told of as lost
constexpr int kGathering = 10;                   // ms
constexpr int kRest = 100;                       // ms
constexpr std::uint32_t kRemovals = IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK;
constexpr std::uint32_t kFolderEvents = kRemovals | IN_CREATE | IN_MOVED_TO;

// What cBPF loads as two bytes in network order.
constexpr std::uint32_t Loaded(std::uint16_t type) {
  const auto whole = static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type);
  return std::endian::native == std::endian::little ? std::byteswap(whole) : whole;
}

// Lets through what doesn't begin with a set's elements or with the mere number of a generation: sandboxes that come and go don't
// wake the thread.
Result<void> IgnoreElements(int fd) {
  std::array<sock_filter, 6> code{{
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(nlmsghdr, nlmsg_type)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, Loaded(NFT_MSG_NEWSETELEM), 3, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, Loaded(NFT_MSG_DELSETELEM), 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, Loaded(NFT_MSG_NEWGEN), 1, 0),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  }};
  const sock_fprog program{.len = code.size(), .filter = code.data()};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) return FailErrno("setsockopt", "SO_ATTACH_FILTER");
  return {};
}

// The namespace that a message came from, where that is not the socket's own.
std::optional<std::int32_t> NsidOf(const msghdr &message) {
  const cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_NETLINK || header->cmsg_type != NETLINK_LISTEN_ALL_NSID) return std::nullopt;
  std::int32_t nsid = 0;
  std::memcpy(&nsid, CMSG_DATA(header), sizeof nsid);
  return nsid;
}

// A link loses its addresses and routes one by one.
bool IsSaid(const std::vector<Event> &events, const Event &event) {
  const Loss *loss = std::get_if<Loss>(&event.what);
  const Loss *last = loss == nullptr || events.empty() ? nullptr : std::get_if<Loss>(&events.back().what);
  return last != nullptr && *last == *loss;
}

std::optional<Event> EventOfLoss(const netlink::Message &message, std::optional<std::int32_t> nsid) {
  auto loss = ParseLoss(message);
  // What a sandbox knows other namespaces by is its own matter.
  if (!loss || (loss->nsid && nsid)) return std::nullopt;
  if (nsid) loss->nsid = nsid;
  return Event{.gone = true, .what = std::move(*loss)};
}

}  // namespace

std::vector<std::uint32_t> RouteGroups(std::string_view name) {
  if (name == "link") return {RTNLGRP_LINK};
  if (name == "address") return {RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR};
  if (name == "route") return {RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};
  if (name == "neighbor") return {RTNLGRP_NEIGH};
  return {};
}

Result<std::unique_ptr<Watcher>> Watcher::Start(int namespace_fd, const Wanted &wanted, std::function<void()> on_events) {
  std::unique_ptr<Watcher> watcher(new Watcher(std::move(on_events)));
  watcher->stop_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!watcher->stop_.Valid()) return FailErrno("eventfd");
  struct Beginning {
    Watcher *watcher;
    int namespace_fd;
    const Wanted *wanted;
    std::promise<Result<void>> subscribed;
  } beginning{.watcher = watcher.get(), .namespace_fd = namespace_fd, .wanted = &wanted, .subscribed = {}};
  auto subscribed = beginning.subscribed.get_future();
  // Signals are Node's: they must be delivered to its threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failed = pthread_create(
      &watcher->thread_, nullptr,
      [](void *argument) -> void * {
        auto *begun = static_cast<Beginning *>(argument);
        Watcher *self = begun->watcher;
        auto ready = [&]() -> Result<void> {
          // For good: this thread does nothing else, and ends here.
          if (setns(begun->namespace_fd, CLONE_NEWNET) != 0) return FailErrno("setns");
          if (auto opened = self->OpenSockets(*begun->wanted); !opened) return opened;
          return self->WatchFolders(*begun->wanted);
        }();
        const bool good = ready.has_value();
        begun->subscribed.set_value(std::move(ready));  // from here on `begun` is gone
        if (good) self->Serve();
        return nullptr;
      },
      &beginning);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failed != 0) return Fail(failed, "pthread_create");
  watcher->running_ = true;
  pthread_setname_np(watcher->thread_, "netmode-watch");
  if (auto ready = subscribed.get(); !ready) return std::unexpected(std::move(ready.error()));
  return watcher;
}

Watcher::~Watcher() {
  if (!running_) return;
  const std::uint64_t one = 1;
  static_cast<void>(write(stop_.Get(), &one, sizeof one));
  pthread_join(thread_, nullptr);
}

std::vector<Event> Watcher::Take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(waiting_, {});
}

void Watcher::Silence() {
  const std::lock_guard lock(mutex_);
  on_events_ = nullptr;
}

Result<void> Watcher::OpenSockets(const Wanted &wanted) {
  buffer_.resize(kReceiveRoom);
  if (!wanted.route_groups.empty()) {
    auto opened = Subscribe(NETLINK_ROUTE, wanted.route_groups, wanted.receive_buffer);
    if (!opened) return std::unexpected(std::move(opened.error()));
    route_ = std::move(*opened);
  }
  if (wanted.ruleset || wanted.tables) {
    auto opened = Subscribe(NETLINK_NETFILTER, {NFNLGRP_NFTABLES}, wanted.receive_buffer);
    if (!opened) return std::unexpected(std::move(opened.error()));
    ruleset_ = std::move(*opened);
    if (!wanted.ruleset) {
      if (auto ignored = IgnoreElements(ruleset_.Get()); !ignored) return ignored;
    }
  }
  if (wanted.losses) {
    auto opened = SubscribeToLosses(wanted.receive_buffer);
    if (!opened) return std::unexpected(std::move(opened.error()));
    losses_ = std::move(*opened);
  }
  return {};
}

Result<void> Watcher::WatchFolders(const Wanted &wanted) {
  if (wanted.folders.empty() && wanted.trees.empty() && wanted.removals.empty()) return {};
  folders_.Reset(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!folders_.Valid()) return FailErrno("inotify_init1");
  for (const auto &path : wanted.folders) WatchOrTell(path, false);
  // There is little sense in half of this one: whoever waits for what goes would wait in vain.
  for (const auto &path : wanted.removals) {
    if (!WatchFolder(path, false, kRemovals)) return FailErrno("inotify_add_watch", path);
  }
  for (const auto &path : wanted.trees) {
    WatchOrTell(path, true);
    std::error_code ignored;
    for (const auto &entry : std::filesystem::directory_iterator(path, ignored)) WatchOrTell(entry.path().string(), false);
  }
  return {};
}

bool Watcher::WatchFolder(const std::string &path, bool tree, std::uint32_t events) {
  const int watch = inotify_add_watch(folders_.Get(), path.c_str(), events);
  if (watch < 0) return false;
  watched_.insert_or_assign(watch, Folder{.path = path, .tree = tree});
  return true;
}

// What can't be watched (gone by now, no watches left) is told of as lost.
void Watcher::WatchOrTell(const std::string &path, bool tree) {
  if (!WatchFolder(path, tree, kFolderEvents) && errno != ENOENT && errno != ENOTDIR) Add({Event{.what = Overrun{}}});
}

void Watcher::Serve() {
  std::array<pollfd, 5> sources{{{.fd = stop_.Get(), .events = POLLIN, .revents = 0},
                                 {.fd = route_.Get(), .events = POLLIN, .revents = 0},
                                 {.fd = ruleset_.Get(), .events = POLLIN, .revents = 0},
                                 {.fd = folders_.Get(), .events = POLLIN, .revents = 0},
                                 {.fd = losses_.Get(), .events = POLLIN, .revents = 0}}};
  while (true) {
    if (poll(sources.data(), sources.size(), -1) < 0) continue;
    if (sources[0].revents != 0) return;
    if (sources[4].revents != 0) {
      // They come in crowds: one that is waited for a little is one wake of the other side, not many. All else isn't kept waiting.
      static_cast<void>(poll(sources.data(), sources.size() - 1, kGathering));
      if (sources[0].revents != 0) return;
    }
    std::vector<Event> events;
    if (sources[1].revents != 0) ReadSocket(route_.Get(), [](const auto &message, auto) { return ParseRoute(message); }, events);
    if (sources[2].revents != 0) ReadSocket(ruleset_.Get(), [](const auto &message, auto) { return ParseRuleset(message); }, events);
    if (sources[3].revents != 0) ReadFolders(events);
    if (sources[4].revents != 0) ReadSocket(losses_.Get(), EventOfLoss, events);
    if (!events.empty()) Add(std::move(events));
  }
}

template <class Parse>
void Watcher::ReadSocket(int fd, Parse parse, std::vector<Event> &events) {
  while (true) {
    sockaddr_nl sender{};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    iovec vector{.iov_base = buffer_.data(), .iov_len = buffer_.size()};
    msghdr message{};
    message.msg_name = &sender;
    message.msg_namelen = sizeof sender;
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t received = recvmsg(fd, &message, MSG_DONTWAIT);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && errno == EAGAIN) return;
    if (received < 0 && errno != ENOBUFS) return Rest(events);
    if (received < 0 || (message.msg_flags & MSG_TRUNC) != 0) {
      events.push_back({.what = Overrun{}});
      continue;
    }
    if (sender.nl_pid != 0) continue;  // another process may write to any netlink socket
    const netlink::Bytes datagram(buffer_.data(), static_cast<std::size_t>(received));
    const auto nsid = NsidOf(message);
    netlink::ForEachMessage(datagram, [&](const nlmsghdr &, const netlink::Message &one) {
      auto event = parse(one, nsid);
      if (event && !IsSaid(events, *event)) events.push_back(std::move(*event));
    });
    if (events.size() > kMostWaiting) return;  // Add() tells of it as lost; the rest is read at the next turn
  }
}

// What can't be read is there still, and poll would not wait for it.
void Watcher::Rest(std::vector<Event> &events) {
  events.push_back({.what = Overrun{}});
  pollfd stop{.fd = stop_.Get(), .events = POLLIN, .revents = 0};
  static_cast<void>(poll(&stop, 1, kRest));
}

void Watcher::ReadFolders(std::vector<Event> &events) {
  while (true) {
    const ssize_t received = read(folders_.Get(), buffer_.data(), buffer_.size());
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && errno != EAGAIN) return Rest(events);
    if (received <= 0) return;
    std::size_t offset = 0;
    while (offset + sizeof(inotify_event) <= static_cast<std::size_t>(received)) {
      inotify_event header;
      std::memcpy(&header, buffer_.data() + offset, sizeof header);
      const std::string name = header.len == 0 ? "" : reinterpret_cast<const char *>(buffer_.data() + offset + sizeof header);
      offset += sizeof header + header.len;
      if ((header.mask & IN_Q_OVERFLOW) != 0) {
        events.push_back({.what = Overrun{}});
        continue;
      }
      const auto found = watched_.find(header.wd);
      if (found == watched_.end()) continue;
      const Folder folder = found->second;
      if ((header.mask & IN_IGNORED) != 0) {
        watched_.erase(found);
        continue;
      }
      if (name.starts_with('.')) continue;  // a record on its way
      if (folder.tree && (header.mask & IN_ISDIR) != 0 && (header.mask & (IN_CREATE | IN_MOVED_TO)) != 0)
        WatchOrTell(folder.path + "/" + name, false);
      const bool gone = (header.mask & (IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF)) != 0;
      events.push_back({.gone = gone, .what = FileChange{.folder = folder.path, .name = name}});
    }
  }
}

void Watcher::Add(std::vector<Event> events) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() + events.size() > kMostWaiting) {
    waiting_.clear();
    waiting_.push_back({.what = Overrun{}});
  } else {
    waiting_.insert(waiting_.end(), std::make_move_iterator(events.begin()), std::make_move_iterator(events.end()));
  }
  if (on_events_) on_events_();
}

}  // namespace netmode::watch

// Watcher: a thread of its own that waits for what happens in a namespace and in folders, so that nobody else has to.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "watch/event.h"

namespace netmode::watch {

// What to watch. Without any of it there is nothing to wait for.
struct Wanted {
  std::vector<std::uint32_t> route_groups{};  // RTNLGRP_*
  bool ruleset = false;                       // every change of nf_tables
  bool tables = false;                        // only what takes tables, chains and rules away: changes of sets don't wake the thread
  bool losses = false;                        // what goes from links, here and at their other ends
  std::vector<std::string> folders{};         // names that come, go or are replaced in them
  std::vector<std::string> trees{};           // the same, and in the folders directly below, those made later included
  std::vector<std::string> removals{};        // only names that go from them
  int receive_buffer = 4 << 20;               // bytes of SO_RCVBUF: a burst of a thousand links
};

// RTNLGRP_* by name: link, address, route, neighbor; empty for another one.
[[nodiscard]] std::vector<std::uint32_t> RouteGroups(std::string_view name);

class Watcher {
 public:
  // Subscribed when it returns. Opens its sockets in `namespace_fd`'s namespace. `on_events` is called on the watcher's thread whenever
  // events have come to be taken.
  [[nodiscard]] static Result<std::unique_ptr<Watcher>> Start(int namespace_fd, const Wanted &wanted, std::function<void()> on_events);
  // Ends the thread. Takes its time: the kernel waits for all its processors before a watch or a subscription is gone.
  ~Watcher();
  Watcher(const Watcher &) = delete;
  Watcher &operator=(const Watcher &) = delete;

  // What has happened since the last call.
  [[nodiscard]] std::vector<Event> Take();
  // From when it returns, nobody is told any more.
  void Silence();

 private:
  explicit Watcher(std::function<void()> on_events) : on_events_(std::move(on_events)) {}

  [[nodiscard]] Result<void> OpenSockets(const Wanted &wanted);
  [[nodiscard]] Result<void> WatchFolders(const Wanted &wanted);
  // False, with errno, where it can't be watched.
  [[nodiscard]] bool WatchFolder(const std::string &path, bool tree, std::uint32_t events);
  void WatchOrTell(const std::string &path, bool tree);
  void Serve();
  // `parse`: makes an event of a message and the namespace that it came from.
  template <class Parse>
  void ReadSocket(int fd, Parse parse, std::vector<Event> &events);
  void Rest(std::vector<Event> &events);
  void ReadFolders(std::vector<Event> &events);
  void Add(std::vector<Event> events);

  UniqueFd stop_;
  UniqueFd route_;
  UniqueFd ruleset_;
  UniqueFd folders_;
  UniqueFd losses_;
  struct Folder {
    std::string path;
    bool tree;
  };
  std::map<int, Folder> watched_;  // by watch descriptor; the thread's alone once it runs
  std::vector<std::byte> buffer_;
  pthread_t thread_{};
  bool running_ = false;

  std::mutex mutex_;  // of what follows
  std::vector<Event> waiting_;
  std::function<void()> on_events_;
};

}  // namespace netmode::watch

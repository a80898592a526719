#include "bare_crowd.h"

#include <linux/rtnetlink.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <span>
#include <utility>

#include "bare.h"
#include "netlink/batch.h"

namespace netmode::bench {

namespace {

// Links of a group go in one deletion: each program has a number of its own.
std::uint32_t OwnGroup() { return 0x62000000U | static_cast<std::uint32_t>(getpid()); }

[[nodiscard]] Result<void> Unname(const std::string &name) {
  const std::string path = "/run/netns/" + name;
  if (umount2(path.c_str(), MNT_DETACH) != 0) return FailErrno("umount2", path);
  if (unlink(path.c_str()) != 0) return FailErrno("unlink", path);
  return {};
}

}  // namespace

std::int64_t Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

Result<BareCrowd> BareCrowd::Open(const Ground &ground) {
  auto rtnl = netlink::Socket::Open(NETLINK_ROUTE);
  if (!rtnl) return std::unexpected(rtnl.error());
  return BareCrowd(ground, std::move(*rtnl));
}

Sample BareCrowd::Next() {
  const std::uint32_t n = made_++;
  // The upper half of the network, which netmode does not reach in a run.
  const unsigned third = 128 + n / 250 % 100;
  const unsigned fourth = 2 + n % 250;
  std::array<char, 32> text{};
  const auto print = [&text](const char *format, auto... values) {
    std::snprintf(text.data(), text.size(), format, values...);
    return std::string(text.data());
  };
  return {.name = print("many-%u", n),
          .host_ifname = print("vethm%06x", n),
          .mac = print("02:43:0a:63:%02x:%02x", third, fourth),
          .address = print("10.99.%u.%u", third, fourth)};
}

Result<std::int64_t> BareCrowd::Make(std::size_t count) {
  std::int64_t spent = 0;
  for (std::size_t i = 0; i < count; ++i) {
    auto bare = Bare::Open(ground_);
    if (!bare) return std::unexpected(bare.error());
    Sample sample = Next();
    if (auto prepared = bare->Prepare(sample); !prepared) return std::unexpected(prepared.error());
    const std::int64_t start = Now();
    const auto made = bare->Make();
    spent += Now() - start;
    if (!made) return std::unexpected(made.error());
    living_.push_back(std::move(sample));
  }
  return spent;
}

Result<void> BareCrowd::Execute(netlink::Batch &batch) {
  auto failures = rtnl_.Execute(batch);
  if (!failures) return std::unexpected(failures.error());
  if (!failures->empty()) return std::unexpected(std::move(failures->front().error));
  return {};
}

Result<std::int64_t> BareCrowd::DeleteLast() {
  if (living_.empty()) return Fail(ENOENT, "delete");
  const Sample sample = std::move(living_.back());
  living_.pop_back();
  netlink::Batch batch;
  batch.Begin(RTM_DELLINK, 0, ifinfomsg{}, 0);
  batch.PutString(IFLA_IFNAME, sample.host_ifname);
  batch.End();
  const std::int64_t start = Now();
  const auto deleted = Execute(batch);
  const std::int64_t end = Now();
  if (!deleted) return std::unexpected(deleted.error());
  if (auto unnamed = Unname(sample.name); !unnamed) return std::unexpected(unnamed.error());
  return end - start;
}

Result<std::int64_t> BareCrowd::RemoveAll(std::size_t batch_size) {
  const std::int64_t start = Now();
  std::span<const Sample> rest(living_);
  while (!rest.empty()) {
    const auto part = rest.first(std::min(batch_size, rest.size()));
    rest = rest.subspan(part.size());
    netlink::Batch batch;
    for (const Sample &sample : part) {
      batch.Begin(RTM_NEWLINK, 0, ifinfomsg{}, 0);
      batch.PutString(IFLA_IFNAME, sample.host_ifname);
      batch.PutInteger(IFLA_GROUP, OwnGroup());
      batch.End();
    }
    batch.Begin(RTM_DELLINK, 0, ifinfomsg{}, 0);
    batch.PutInteger(IFLA_GROUP, OwnGroup());
    batch.End();
    if (auto deleted = Execute(batch); !deleted) return std::unexpected(deleted.error());
    for (const Sample &sample : part) {
      if (auto unnamed = Unname(sample.name); !unnamed) return std::unexpected(unnamed.error());
    }
  }
  living_.clear();
  return Now() - start;
}

}  // namespace netmode::bench

// The verbs that a runner carries out at once.
#include <algorithm>

#include "netns/visit.h"
#include "program/runner.h"

namespace netmode::program {
namespace {

const std::string kHost;  // the empty slot

// Whether a namespace that could not be opened is there no more: nothing at its place, or something else.
bool MeansGone(int code) { return code == ENOENT || code == ESRCH || code == netns::kNotANetns || code == netns::kOtherNetns; }

Result<Output> Nothing(Result<void> result) {
  if (!result) return std::unexpected(std::move(result.error()));
  return Output{};
}

template <class Value>
Result<Output> Found(Result<Value> result) {
  if (!result) return std::unexpected(std::move(result.error()));
  return Output{*std::move(result)};
}

}  // namespace

Result<Output> Runner::Do(const state::Lock &op) {
  // Whoever waits to be alone holds the gate meanwhile, so that nobody new gets in; who shares lets go of it at once.
  Result<HeldLock> gate;
  if (op.gate) {
    gate = Acquire({.path = *op.gate, .mode = op.mode, .immediate = op.immediate}, true);
    if (!gate) return std::unexpected(gate.error());
  }
  auto lock = Acquire(op, op.gate.has_value());
  const bool keep = lock && op.mode == state::Lock::Mode::kExclusive;
  if (op.gate && keep) {
    locks_.push_back(std::move(*gate));
  } else if (op.gate) {
    Drop(std::move(*gate));
  }
  if (!lock) return std::unexpected(lock.error());
  locks_.push_back(std::move(*lock));
  return Output{};
}

Result<Output> Runner::Do(const netns::NetnsCreate &op) {
  // One that is to be kept is nobody's hurry: the one that was ordered is for somebody else.
  auto fresh = op.name ? session_.TakeOrdered(op) : std::nullopt;
  if (!fresh) {
    auto made = MakeFresh(op, session_.Home(), session_.Sysctls());
    BeHome(made.has_value());
    if (!made) return std::unexpected(std::move(made.error()));
    fresh = std::move(*made);
  }
  if (op.name) {
    if (auto named = netns::Attach(*op.name, fresh->ns.Get()); !named) return std::unexpected(std::move(named.error()));
  }
  places_[op.slot] = Place{.ns = std::move(fresh->ns), .rtnl = std::move(fresh->rtnl), .netfilter = std::nullopt, .unnumbered = true};
  return Output{fresh->identity};
}

Result<Output> Runner::Do(const netns::NetnsAttach &op) {
  const auto fd = NamespaceFd(op.slot);
  if (!fd) return std::unexpected(fd.error());
  return Nothing(netns::Attach(op.name, *fd));
}

Result<Output> Runner::Do(const netns::NetnsOpen &op) {
  auto ns = netns::Open(op);
  if (!ns && op.missing_ok && MeansGone(ns.error().code)) ns = UniqueFd();
  if (!ns) return std::unexpected(ns.error());
  places_[op.slot] = Place{.ns = std::move(*ns), .rtnl = std::nullopt, .netfilter = std::nullopt, .unnumbered = false};
  return Output{};
}

Result<Output> Runner::Do(const netns::NetnsDelete &op) {
  auto deleted = netns::Delete(op);
  const bool gone = !deleted && (deleted.error().code == ENOENT || deleted.error().code == netns::kOtherNetns);
  if (gone && (op.missing_ok || undoing_)) return Output{};
  return Nothing(std::move(deleted));
}

Result<Output> Runner::Do(const netns::NetnsIdentify &op) {
  const auto fd = NamespaceFd(op.ns);
  if (!fd) return std::unexpected(fd.error());
  auto identity = netns::Identify(*fd, session_.Home());
  BeHome(identity.has_value());
  if (!identity) return std::unexpected(identity.error());
  return Output{*identity};
}

Result<Output> Runner::Do(const NetnsKeep &op) {
  const auto place = places_.find(op.slot);
  if (place == places_.end() || !place->second.ns.Valid() || locks_.empty()) return netmode::Fail(EINVAL, {}, op.slot);
  AwaitComing();  // whoever takes it opens no socket here
  Reserve::Kept kept{.ns = std::move(place->second.ns), .lock = std::move(locks_.back().folder)};
  const bool is_kept = session_.Kept().Keep(op.key, kept);
  if (!is_kept) {
    place->second.ns = std::move(kept.ns);
    locks_.back().folder = std::move(kept.lock);
    return netmode::Fail(EEXIST, {}, op.key);
  }
  places_.erase(place);
  locks_.pop_back();
  return Output{};
}

Result<Output> Runner::Do(const NetnsTake &op) {
  auto kept = session_.Kept().Take(op.key);
  if (!kept) return netmode::Fail(ENOENT, {}, op.key);
  locks_.push_back({.folder = std::move(kept->lock), .path = {}});
  places_[op.slot] = Place{.ns = std::move(kept->ns), .rtnl = std::nullopt, .netfilter = std::nullopt, .unnumbered = false};
  return Output{};
}

Result<Output> Runner::Do(const netns::SysctlSet &op) {
  if (auto entered = Enter(op.ns); !entered) return std::unexpected(entered.error());
  auto overridden = undoing_ ? Result<std::vector<netns::Setting>>{} : netns::Overridden(op.key, op.value);
  auto before = overridden ? netns::WriteSysctl(op.key, op.value) : std::unexpected(overridden.error());
  if (!before) {
    if (before.error().code == ENOENT && op.missing_ok) return Output{};
    return std::unexpected(before.error());
  }
  if (*before && !undoing_) {
    overridden->insert(overridden->begin(), {.key = op.key, .value = std::move(**before)});
    saved_.push_back({.ns = op.ns, .settings = *std::move(overridden)});
  }
  return Output{};
}

Result<Output> Runner::Do(const netns::SysctlRestore &op) {
  const auto saved = std::ranges::find_if(saved_, [&](const Saved &one) { return one.ns == op.ns && one.settings.front().key == op.key; });
  if (saved == saved_.end()) return Output{};
  if (auto entered = Enter(op.ns); !entered) return std::unexpected(entered.error());
  for (const netns::Setting &setting : saved->settings) {
    auto written = netns::WriteSysctl(setting.key, setting.value);
    if (!written && written.error().code != ENOENT) return std::unexpected(written.error());
  }
  return Output{};
}

Result<Output> Runner::Do(const netns::SysctlGet &op) {
  if (auto entered = Enter(op.ns); !entered) return std::unexpected(entered.error());
  auto value = netns::ReadSysctl(op.key);
  if (!value) return std::unexpected(value.error());
  return Output{std::move(*value)};
}

Result<Output> Runner::Do(const SocketOpen &op) {
  if (auto entered = Enter(op.ns); !entered) return std::unexpected(entered.error());
  auto socket = netns::OpenSocket(op.request);
  if (!socket) return std::unexpected(socket.error());
  return Output{static_cast<std::uint32_t>(session_.HandOut(*std::move(socket)))};
}

Result<Output> Runner::Do(const Survey &op) {
  if (auto entered = Enter(kHost); !entered) return std::unexpected(entered.error());
  const auto host = Rtnl(kHost);
  if (!host) return std::unexpected(host.error());
  auto seen = Look(op, **host, session_.Home(), *this);
  if (!seen) return std::unexpected(std::move(seen.error()));
  return Output{std::move(*seen)};
}

Result<Output> Runner::Do(const state::FileWrite &op) {
  return op.how == state::FileWrite::How::kStart ? Found(state::Start(op)) : Nothing(state::Run(op));
}

Result<Output> Runner::Do(const state::FileLook &op) { return Found(state::Run(op)); }

Result<Output> Runner::Do(const state::ClaimList &op) { return Found(state::Run(op)); }

Result<Output> Runner::Do(const state::PortClaim &op) {
  if (op.probe) {
    if (auto entered = Enter(kHost); !entered) return std::unexpected(entered.error());
  }
  return Nothing(state::Run(op));
}

Result<Output> Runner::Do(const tap::TapAdd &op) {
  if (auto entered = Enter(op.ns); !entered) return std::unexpected(entered.error());
  const auto device = tap::Open(op);
  if (!device) return std::unexpected(device.error());
  const auto index = LinkIndex(op.ns, {.name = op.name, .index = std::nullopt});
  if (!index) return std::unexpected(index.error());
  if (op.link_group) {
    // Before it persists: if this process dies here, the device goes with it, and none is left without its group.
    netlink::Batch batch;
    rtnl::LinkSet mark;
    mark.ns = op.ns;
    mark.link = {.name = op.name, .index = *index};
    mark.group = op.link_group;
    if (auto encoded = rtnl::Encode(batch, mark, *this, 0); !encoded) return std::unexpected(encoded.error());
    const auto failures = (*Rtnl(op.ns))->Execute(batch);
    if (!failures) return std::unexpected(failures.error());
    if (!failures->empty()) return std::unexpected(failures->front().error);
  }
  if (auto kept = tap::Persist(*device); !kept) return std::unexpected(kept.error());
  return Output{*index};
}

Result<Output> Runner::Do(const rtnl::LinkDelete &op) {
  const auto socket = Rtnl(op.ns);
  if (!socket && rtnl::MeansMissing(socket.error().code) && (op.missing_ok || undoing_)) return Output{};
  if (!socket) return std::unexpected(socket.error());
  const auto failures = rtnl::Delete(**socket, op, *this, 0);
  if (!failures) return std::unexpected(failures.error());
  for (const auto &link : op.links) indexes_.erase({op.ns, link.name});
  for (const auto &failure : *failures) {
    if (rtnl::MeansMissing(failure.error.code) && (op.missing_ok || undoing_)) continue;
    return std::unexpected(failure.error);
  }
  return Output{};
}

Result<Output> Runner::Do(const rtnl::LinkExpect &op) {
  const auto index = LinkIndex(op.ns, op.link);
  if (!index) return std::unexpected(index.error());
  const auto socket = Rtnl(op.ns);
  if (!socket) return std::unexpected(socket.error());
  return Nothing(rtnl::Expect(**socket, op.link.name, *index));
}

Result<Output> Runner::Do(const rtnl::LinkSettle &op) {
  const auto socket = Rtnl(op.ns);
  if (!socket) return std::unexpected(socket.error());
  return Nothing(rtnl::Settle(**socket, op.link.name));
}

Result<Output> Runner::Do(const nft::ListVerb &op) {
  const auto socket = Netfilter(op.ns);
  if (!socket) return std::unexpected(socket.error());
  auto listing = nft::List(**socket, op);
  if (!listing) return std::unexpected(listing.error());
  return Output{std::move(*listing)};
}

Result<Output> Runner::Do(const nft::RulesVerb &op) {
  const auto socket = Netfilter();
  if (!socket) return std::unexpected(socket.error());
  auto rules = nft::ListRules(**socket, op);
  if (!rules) return std::unexpected(rules.error());
  return Output{std::move(*rules)};
}

Result<Output> Runner::Do(const conntrack::ConntrackFlush &op) {
  // The kept socket is the host's; only there are ports published.
  const auto socket = Netfilter();
  if (!socket) return std::unexpected(socket.error());
  const auto flushed = conntrack::Flush(**socket, op, [&](const IpAddress &address) -> Result<bool> {
    const auto rtnl = Rtnl(kHost);
    if (!rtnl) return std::unexpected(rtnl.error());
    return rtnl::IsLocal(**rtnl, address);
  });
  if (!flushed) return std::unexpected(flushed.error());
  return Output{static_cast<std::uint32_t>(*flushed)};
}

template <class Other>
Result<Output> Runner::Do(const Other &op) {
  if constexpr (requires { state::Run(op); }) {
    return Nothing(state::Run(op));
  } else {
    const auto socket = Rtnl(op.ns);
    if (!socket) return std::unexpected(socket.error());
    auto list = [&] {
      if constexpr (requires { rtnl::List(**socket, op, *this); }) {
        return rtnl::List(**socket, op, *this);
      } else {
        return rtnl::List(**socket, op);
      }
    }();
    if (!list) return std::unexpected(list.error());
    return Output{std::move(*list)};
  }
}

Result<Output> Runner::Do(const Immediate &verb) {
  return std::visit([this](const auto &op) { return Do(op); }, verb);
}

}  // namespace netmode::program

#include "program/runner.h"

#include <linux/netfilter.h>
#include <sched.h>

#include <algorithm>

#include "netns/visit.h"
#include "nft/library.h"

namespace netmode::program {
namespace {

const std::string kHost;  // the empty slot

template <class T>
concept Deletes = requires(const T &op) { op.missing_ok; };

// Whether the op said that finding nothing is fine.
template <class Verb>
bool MissingOk(const Verb &verb) {
  return std::visit(
      [](const auto &op) {
        if constexpr (Deletes<std::decay_t<decltype(op)>>) return op.missing_ok;
        return false;
      },
      verb);
}

// Whether a failed op may have changed something all the same: it is then taken back like one that was done.
bool MayBeHalfDone(const Op &op) {
  const auto *write = std::get_if<state::FileWrite>(&std::get<Immediate>(op.verb));
  return write != nullptr && write->how == state::FileWrite::How::kOverwrite;
}

// Whether a namespace that could not be opened is there no more: nothing at its place, or something else.
bool MeansGone(int code) { return code == ENOENT || code == ESRCH || code == netns::kNotANetns || code == netns::kOtherNetns; }

// Where an nft verb works; sets and elements are the host's only.
const std::string &SlotOf(const NftVerb &verb) {
  return std::visit(
      [](const auto &op) -> const std::string & {
        if constexpr (requires { op.ns; }) return op.ns;
        return kHost;
      },
      verb);
}

Result<Output> Nothing(Result<void> result) {
  if (!result) return std::unexpected(std::move(result.error()));
  return Output{};
}

}  // namespace

Runner::~Runner() {
  const auto host = places_.find(kHost);
  if (host != places_.end() && host->second.rtnl) session_.GiveBack(NETLINK_ROUTE, std::move(*host->second.rtnl));
  if (host != places_.end() && host->second.netfilter) session_.GiveBack(NETLINK_NETFILTER, std::move(*host->second.netfilter));
  for (UniqueFd &lock : locks_) state::Drop(std::move(lock));
}

Report Runner::Run(const std::vector<Step> &steps) {
  done_.assign(steps.size(), false);
  report_.outputs.resize(steps.size());
  for (std::size_t step = 0; step < steps.size() && !report_.failure; ++step) {
    if (cancelled_.load(std::memory_order_relaxed)) {
      Fail(step, steps[step].apply.name, Error{.code = ECANCELED, .syscall = {}, .detail = {}, .holder = {}, .offset = 0});
    } else {
      Apply(steps[step].apply, step);
    }
  }
  if (!report_.failure) Flush();
  if (report_.failure) Undo(steps);
  if (inside_ && !inside_->empty() && !Enter(kHost)) stranded_ = true;
  return std::move(report_);
}

void Runner::Undo(const std::vector<Step> &steps) {
  batch_.Clear();
  transaction_.Clear();
  queued_.clear();
  undoing_ = true;
  for (std::size_t step = steps.size(); step-- > 0;) {
    const auto &undo = steps[step].undo;
    if (!done_[step] || !undo) continue;
    // The journal's own undo comes last; while anything is left to heal, the record of it has to stay.
    if (steps[step].journal) {
      Flush();
      if (!report_.undo.empty()) continue;
    }
    Apply(*undo, step);
  }
  Flush();
}

void Runner::Apply(const Op &op, std::size_t step) {
  if (const auto *immediate = std::get_if<Immediate>(&op.verb)) {
    Flush();
    if (report_.failure && !undoing_) return;
    Settle(step, op, std::visit([this](const auto &verb) { return Do(verb); }, *immediate));
    return;
  }
  const auto *rtnl = std::get_if<RtnlVerb>(&op.verb);
  const auto queued = rtnl != nullptr ? Queue(*rtnl, step) : Queue(std::get<NftVerb>(op.verb), step);
  if (queued) {
    queued_.push_back({.step = step, .op = &op});
    return;
  }
  // A link that a verb is about may be gone, as what it asks for may be.
  const bool missing_ok = rtnl != nullptr && (undoing_ || (MissingOk(*rtnl) && !report_.failure));
  if (missing_ok && rtnl::MeansMissing(queued.error().code)) return;
  Fail(step, op.name, queued.error());
}

void Runner::Settle(std::size_t step, const Op &op, Result<Output> result) {
  if (!result) {
    if (!undoing_) done_[step] = MayBeHalfDone(op);
    return Fail(step, op.name, std::move(result.error()));
  }
  if (undoing_) return;
  report_.outputs[step] = std::move(*result);
  done_[step] = true;
}

void Runner::Fail(std::size_t step, const char *op, Error error) {
  // The verb is what the caller knows; the system call behind it is detail.
  if (!error.syscall.empty() && error.syscall != op)
    error.detail = error.detail.empty() ? error.syscall : error.syscall + ": " + error.detail;
  error.syscall = op;
  if (undoing_) {
    report_.undo.push_back({.step = step, .error = std::move(error)});
  } else if (!report_.failure) {
    report_.failure = Trouble{.step = step, .error = std::move(error)};
  }
}

// ------------------------------------------------------------------------------------------------ queued verbs

Result<void> Runner::Queue(const RtnlVerb &verb, std::size_t step) {
  const std::string &slot = std::visit([](const auto &op) -> const std::string & { return op.ns; }, verb);
  if (!transaction_.Empty() || (!batch_.Empty() && batch_slot_ != slot)) Flush();
  if (report_.failure && !undoing_) return std::unexpected(report_.failure->error);
  batch_slot_ = slot;
  if (const auto *set = std::get_if<rtnl::LinkSet>(&verb)) {
    // By index, never by name: messages of one send are not atomic, and behind a link.add that finds its name taken this one
    // would change somebody else's link.
    const auto index = LinkIndex(set->ns, set->link);
    if (!index) return std::unexpected(index.error());
    rtnl::LinkSet by_index = *set;
    by_index.link.index = *index;
    batch_slot_ = slot;
    return rtnl::Encode(batch_, by_index, *this, step);
  }
  return std::visit([&](const auto &op) { return rtnl::Encode(batch_, op, *this, step); }, verb);
}

Result<void> Runner::Queue(const NftVerb &verb, std::size_t step) {
  const std::string &slot = SlotOf(verb);
  if (!batch_.Empty() || (!transaction_.Empty() && transaction_slot_ != slot)) Flush();
  if (report_.failure && !undoing_) return std::unexpected(report_.failure->error);
  if (auto loaded = nft::Load(); !loaded) return loaded;
  transaction_slot_ = slot;
  return transaction_.Add(verb, step);
}

void Runner::Flush() {
  if (!batch_.Empty()) FlushRtnl();
  if (!transaction_.Empty()) FlushNft();
}

void Runner::FlushRtnl() {
  const auto queued = std::exchange(queued_, {});
  netlink::Batch batch = std::exchange(batch_, {});
  const auto op_of = [&](std::size_t step) { return std::ranges::find(queued, step, &Queued::step)->op; };

  const auto socket = Rtnl(batch_slot_);
  if (!socket) return Fail(queued.front().step, queued.front().op->name, socket.error());
  const auto failures = (*socket)->Execute(batch, [&](std::size_t step, const netlink::Message &message) {
    if (const auto created = rtnl::ParseCreated(message)) Remember(*op_of(step), step, *created);
  });
  if (!failures) {
    Fail(queued.front().step, queued.front().op->name, failures.error());
    // Answers to this send may still come; whoever asks next asks elsewhere.
    places_[batch_slot_].rtnl.reset();
    if (!undoing_) {
      for (const auto &[step, op] : queued) done_[step] = MayBeDone(*op);
    }
    return;
  }

  if (!undoing_) {
    for (const auto &[step, op] : queued) done_[step] = true;
  }
  for (const auto &[step, error] : *failures) {
    const Op &op = *op_of(step);
    if (rtnl::MeansMissing(error.code) && (undoing_ || MissingOk(std::get<RtnlVerb>(op.verb)))) continue;
    if (!undoing_) done_[step] = false;
    Fail(step, op.name, error);
  }
}

// Whether an op is to be taken back that was sent and not heard of again. Taking back what was not done is harmless, but for a link: one
// of that name may be somebody else's, unless it is in the group that ours are born in.
bool Runner::MayBeDone(const Op &op) {
  const auto *add = std::get_if<rtnl::LinkAdd>(&std::get<RtnlVerb>(op.verb));
  if (add == nullptr) return true;
  const std::string &slot = add->born_in ? *add->born_in : add->ns;
  const auto socket = Rtnl(slot);
  if (!socket || !add->group) return false;
  const auto links = rtnl::List(**socket, rtnl::LinkList{.ns = slot, .name = add->name, .master = {}}, *this);
  return links && links->size() == 1 && links->front().group == *add->group;
}

void Runner::FlushNft() {
  const auto queued = std::exchange(queued_, {});
  nft::Transaction transaction = std::exchange(transaction_, {});
  const auto op_of = [&](std::size_t step) { return std::ranges::find(queued, step, &Queued::step)->op; };

  const auto socket = Netfilter(transaction_slot_);
  const auto failures = socket ? transaction.Commit(**socket) : std::unexpected(socket.error());
  if (failures && failures->empty()) {
    if (!undoing_) {
      for (const auto &[step, op] : queued) done_[step] = true;
    }
    return;
  }
  if (socket && !failures) places_.at(transaction_slot_).netfilter.reset();
  if (undoing_ && queued.size() > 1) return UndoOneByOne(queued);
  if (!failures) {
    Fail(queued.front().step, queued.front().op->name, failures.error());
    // Sent and not heard of again: it may have been taken.
    if (socket && !undoing_) {
      for (const auto &[step, op] : queued) done_[step] = true;
    }
    return;
  }
  for (const auto &[step, error] : *failures) {
    if (undoing_ && error.code == ENOENT) continue;
    Fail(step, op_of(step)->name, error);
  }
}

// A transaction is taken as a whole or not at all; what one verb spoils must not keep the others from being undone.
void Runner::UndoOneByOne(const std::vector<Queued> &queued) {
  for (const auto &one : queued) {
    if (transaction_.Add(std::get<NftVerb>(one.op->verb), one.step)) {
      queued_.push_back(one);
      FlushNft();
    }
  }
}

void Runner::Remember(const Op &op, std::size_t step, const rtnl::CreatedLink &created) {
  const auto *add = std::get_if<rtnl::LinkAdd>(&std::get<RtnlVerb>(op.verb));
  if (add == nullptr) return;
  const std::string &slot = add->born_in ? *add->born_in : add->ns;
  indexes_[{slot, add->name}] = created.index;
  if (add->peer && created.peer_index) indexes_[{add->peer->ns, add->peer->name}] = *created.peer_index;
  if (!undoing_) report_.outputs[step] = created.index;
}

// ------------------------------------------------------------------------------------------------ names and places

Result<int> Runner::NamespaceFd(const std::string &slot) {
  if (slot.empty()) return session_.Home();
  const auto place = places_.find(slot);
  if (place == places_.end()) return netmode::Fail(EINVAL, {}, "no namespace is open as '" + slot + "' in this plan");
  if (!place->second.ns.Valid()) return netmode::Fail(ENODEV, {}, "the namespace of '" + slot + "' is gone");
  return place->second.ns.Get();
}

Result<std::uint32_t> Runner::LinkIndex(const std::string &slot, const rtnl::LinkRef &link) {
  if (link.index) return *link.index;
  const std::pair key(slot, link.name);
  auto known = indexes_.find(key);
  if (known == indexes_.end() && !batch_.Empty()) {
    // The link may be one that is about to be made.
    Flush();
    if (report_.failure && !undoing_) return std::unexpected(report_.failure->error);
    known = indexes_.find(key);
  }
  if (known != indexes_.end()) return known->second;
  const auto socket = Rtnl(slot);
  if (!socket) return std::unexpected(socket.error());
  auto index = rtnl::LinkIndexByName(**socket, link.name);
  if (!index) {
    index.error().detail = "no link called " + link.name;
  } else {
    indexes_[key] = *index;
  }
  return index;
}

Result<void> Runner::Enter(const std::string &slot) {
  if (inside_ == slot) return {};
  const auto fd = NamespaceFd(slot);
  if (!fd) return std::unexpected(fd.error());
  if (setns(*fd, CLONE_NEWNET) != 0) return FailErrno("setns");
  inside_ = slot;
  return {};
}

Result<netlink::Socket *> Runner::Rtnl(const std::string &slot) { return Open(slot, NETLINK_ROUTE, &Place::rtnl); }

Result<netlink::Socket *> Runner::Netfilter(const std::string &slot) { return Open(slot, NETLINK_NETFILTER, &Place::netfilter); }

// The socket of a place, opened there on first need; the host's are those that the session keeps.
Result<netlink::Socket *> Runner::Open(const std::string &slot, int protocol, std::optional<netlink::Socket> Place::*which) {
  auto place = places_.find(slot);
  if (place == places_.end()) {
    if (!slot.empty()) return std::unexpected(NamespaceFd(slot).error());
    place = places_.try_emplace(kHost).first;
  }
  auto &kept = place->second.*which;
  if (!kept) {
    if (auto entered = Enter(slot); !entered) return std::unexpected(entered.error());
    auto socket = slot.empty() ? session_.Take(protocol) : netlink::Socket::Open(protocol);
    if (!socket) return std::unexpected(socket.error());
    kept.emplace(std::move(*socket));
  }
  return &*kept;
}

// ------------------------------------------------------------------------------------------------ immediate verbs

Result<Output> Runner::Do(const state::Lock &op) {
  // Whoever waits to be alone holds the gate meanwhile, so that nobody new gets in; who shares lets go of it at once.
  Result<UniqueFd> gate;
  if (op.gate) {
    gate = state::Acquire({.path = *op.gate, .mode = op.mode, .immediate = op.immediate}, &cancelled_);
    if (!gate) return std::unexpected(gate.error());
  }
  auto lock = state::Acquire(op, &cancelled_);
  const bool keep = lock && op.mode == state::Lock::Mode::kExclusive;
  if (op.gate && keep) {
    locks_.push_back(std::move(*gate));
  } else if (op.gate) {
    state::Drop(std::move(*gate));
  }
  if (!lock) return std::unexpected(lock.error());
  locks_.push_back(std::move(*lock));
  return Output{};
}

Result<Output> Runner::Do(const netns::NetnsCreate &op) {
  // One that is to be kept is nobody's hurry: the one that was ordered is for somebody else.
  auto fresh = op.name ? session_.TakeOrdered(op) : std::nullopt;
  if (!fresh) {
    auto made = MakeFresh(op, session_.Home());
    inside_ = kHost;
    stranded_ = stranded_ || netns::Stranded();
    if (!made) return std::unexpected(std::move(made.error()));
    fresh = std::move(*made);
  }
  if (op.name) {
    if (auto named = netns::Attach(*op.name, fresh->ns.Get()); !named) return std::unexpected(std::move(named.error()));
  }
  places_[op.slot] = Place{.ns = std::move(fresh->ns), .rtnl = std::move(fresh->rtnl), .netfilter = std::nullopt};
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
  places_[op.slot] = Place{.ns = std::move(*ns), .rtnl = std::nullopt, .netfilter = std::nullopt};
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
  inside_ = kHost;
  stranded_ = stranded_ || netns::Stranded();
  if (!identity) return std::unexpected(identity.error());
  return Output{*identity};
}

Result<Output> Runner::Do(const NetnsKeep &op) {
  const auto place = places_.find(op.slot);
  if (place == places_.end() || !place->second.ns.Valid() || locks_.empty()) return netmode::Fail(EINVAL, {}, op.slot);
  Reserve::Kept kept{.ns = std::move(place->second.ns), .lock = std::move(locks_.back())};
  const bool is_kept = session_.Kept().Keep(op.key, kept);
  if (!is_kept) {
    place->second.ns = std::move(kept.ns);
    locks_.back() = std::move(kept.lock);
    return netmode::Fail(EEXIST, {}, op.key);
  }
  places_.erase(place);
  locks_.pop_back();
  return Output{};
}

Result<Output> Runner::Do(const NetnsTake &op) {
  auto kept = session_.Kept().Take(op.key);
  if (!kept) return netmode::Fail(ENOENT, {}, op.key);
  locks_.push_back(std::move(kept->lock));
  places_[op.slot] = Place{.ns = std::move(kept->ns), .rtnl = std::nullopt, .netfilter = std::nullopt};
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
  return Output{static_cast<std::uint32_t>(socket->Release())};
}

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

}  // namespace netmode::program

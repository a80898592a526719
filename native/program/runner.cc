#include "program/runner.h"

#include <linux/netfilter.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <thread>

#include "netns/visit.h"
#include "nft/library.h"

namespace netmode::program {
namespace {

const std::string kHost;  // the empty slot

// How long is waited for an address that the kernel has taken, and after how long it is asked again.
constexpr std::chrono::seconds kLongestWait{10};
constexpr std::chrono::microseconds kAskAgain{200};

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

// Where an nft verb works; sets and elements are the host's only.
const std::string &SlotOf(const NftVerb &verb) {
  return std::visit(
      [](const auto &op) -> const std::string & {
        if constexpr (requires { op.ns; }) return op.ns;
        return kHost;
      },
      verb);
}

}  // namespace

Runner::~Runner() { LetGo(); }

void Runner::Unlock() {
  for (HeldLock &lock : std::exchange(locks_, {})) Drop(std::move(lock));
}

// Of what others may be waiting for.
void Runner::LetGo() {
  const auto host = places_.extract(kHost);
  if (!host.empty() && host.mapped().rtnl) session_.GiveBack(NETLINK_ROUTE, std::move(*host.mapped().rtnl));
  if (!host.empty() && host.mapped().netfilter) session_.GiveBack(NETLINK_NETFILTER, std::move(*host.mapped().netfilter));
  Unlock();
}

Result<Runner::HeldLock> Runner::Acquire(const state::Lock &lock, bool keep) {
  const auto given_up = [this] { return cancelled_.load(std::memory_order_relaxed) || session_.Leaving(); };
  auto folder = state::Acquire(lock, given_up, keep ? session_.TakeFolder(lock.path) : UniqueFd());
  if (!folder) return std::unexpected(std::move(folder.error()));
  return HeldLock{.folder = std::move(*folder), .path = keep ? lock.path : std::string()};
}

void Runner::Drop(HeldLock lock) {
  UniqueFd folder = state::Drop(std::move(lock.folder));
  if (!lock.path.empty() && folder.Valid()) session_.GiveBackFolder(lock.path, std::move(folder));
}

Report Runner::Run(const std::vector<Step> &steps) {
  Begin(steps);
  RunTo(steps.size());
  Finish();
  return TakeReport();
}

void Runner::Begin(const std::vector<Step> &steps) {
  steps_ = &steps;
  done_.assign(steps.size(), false);
  report_.outputs.resize(steps.size());
}

void Runner::RunTo(std::size_t end) {
  for (; next_ < end && !report_.failure; ++next_) {
    const Step &step = (*steps_)[next_];
    if (step.when == When::kBehind) continue;
    if (cancelled_.load(std::memory_order_relaxed)) {
      Fail(next_, step.apply.name, Error{.code = ECANCELED, .syscall = {}, .detail = {}, .holder = {}, .offset = 0});
    } else {
      Apply(step.apply, next_);
    }
  }
}

void Runner::Finish() {
  if (!report_.failure) Flush();
  if (report_.failure) Undo(*steps_);
  steps_ = report_.failure ? nullptr : steps_;
  Unlock();
  if (!report_.failure) AwaitComing();
  GoHome();
  LetGo();
}

void Runner::Behind() {
  if (steps_ == nullptr) return;
  report_.outputs.resize(steps_->size());
  for (std::size_t step = 0; step < steps_->size() && !report_.failure; ++step) {
    if ((*steps_)[step].when == When::kBehind) Apply((*steps_)[step].apply, step);
  }
  if (!report_.failure) Flush();
  GoHome();
  session_.Sysctls().Renew();
}

void Runner::BeHome(bool done) {
  if (!done) static_cast<void>(netns::GoHome(session_.Home()));  // a failure shows in netns::Stranded()
  inside_ = kHost;
}

void Runner::GoHome() {
  // A failure shows in netns::Stranded().
  if (inside_ && !inside_->empty()) static_cast<void>(netns::GoHome(session_.Home()));
  inside_.reset();
}

// ------------------------------------------------------------------------------------------------ with another one ahead

void Runner::Take(std::size_t step, Result<Fresh> fresh) {
  const Op &op = (*steps_)[step].apply;
  if (!fresh) return Fail(step, op.name, std::move(fresh.error()));
  const auto &create = std::get<netns::NetnsCreate>(std::get<Immediate>(op.verb));
  places_[create.slot] = Place{.ns = std::move(fresh->ns), .rtnl = std::move(fresh->rtnl), .netfilter = std::nullopt, .unnumbered = true};
  report_.outputs[step] = fresh->identity;
  next_ = step + 1;
}

void Runner::Name(std::size_t step, int fd) {
  if (report_.failure) return;
  const Op &op = (*steps_)[step].apply;
  const auto &create = std::get<netns::NetnsCreate>(std::get<Immediate>(op.verb));
  Flush();
  if (report_.failure) return;
  auto named = create.name ? netns::Attach(*create.name, fd) : Result<void>{};
  if (!named) return Fail(step, op.name, std::move(named.error()));
  done_[step] = true;
}

void Runner::Adopt(Runner &ahead, std::size_t first, std::size_t last) {
  ahead.GoHome();
  places_.merge(ahead.places_);
  indexes_.merge(ahead.indexes_);
  std::ranges::move(std::exchange(ahead.coming_, {}), std::back_inserter(coming_));
  for (std::size_t step = first; step < last; ++step) {
    report_.outputs[step] = std::move(ahead.report_.outputs[step]);
    done_[step] = done_[step] || ahead.done_[step];
  }
  if (!report_.failure) report_.failure = std::move(ahead.report_.failure);
  next_ = std::max(next_, last);
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
    Settle(step, op, Do(*immediate));
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
    // A link that was made and refuses what it was to be given is there.
    if (!undoing_) done_[step] = std::holds_alternative<std::uint32_t>(report_.outputs[step]);
    Fail(step, op.name, error);
  }
  if (undoing_ || report_.failure) return;
  for (const auto &one : queued) NoteComing(*one.op);
}

// An IPv6 address that needs no look for duplicates gets its route and its multicast group from a work queue that all namespaces of the
// machine share, and that waits for the lock of all links: where much is going on, whole seconds after it was acknowledged.
void Runner::NoteComing(const Op &op) {
  const auto *verb = std::get_if<rtnl::AddressVerb>(&std::get<RtnlVerb>(op.verb));
  if (verb == nullptr || verb->verb == rtnl::Verb::kDelete || !verb->no_dad) return;
  const auto address = ParseIp(verb->address);
  const auto link = LinkIndex(verb->ns, verb->link);
  if (address && address->family == AF_INET6 && link) coming_.push_back({.slot = verb->ns, .link = *link, .address = *address});
}

// Who has been answered may send to these addresses. One that doesn't come has been taken away meanwhile, or the kernel is worse off than
// a plan could mend: that is no failure.
void Runner::AwaitComing() {
  const auto until = std::chrono::steady_clock::now() + kLongestWait;
  for (const auto &[slot, link, address] : std::exchange(coming_, {})) {
    const auto socket = Rtnl(slot);
    if (!socket) continue;
    while (!cancelled_.load(std::memory_order_relaxed)) {
      const auto local = rtnl::IsLocal(**socket, address, link);
      if (!local) places_[slot].rtnl.reset();  // the answer may still come
      if (!local || *local || std::chrono::steady_clock::now() > until) break;
      std::this_thread::sleep_for(kAskAgain);
    }
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
  const auto links = rtnl::List(**socket, rtnl::LinkList{.ns = slot, .name = add->name, .master = {}, .partial_ok = false}, *this);
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
    if (transaction.MayBeTaken() && !undoing_) {
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

std::optional<std::uint32_t> Runner::NumberFor(const std::string &slot, const std::string &where) {
  const auto place = places_.find(slot);
  if (!where.empty() || place == places_.end() || !std::exchange(place->second.unnumbered, false)) return std::nullopt;
  const auto socket = Rtnl(kHost);
  if (!socket) return std::nullopt;
  const auto number = session_.NextNumber(**socket);
  if (!number) places_[kHost].rtnl.reset();  // the answer may still come
  return number.value_or(std::nullopt);
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
  if (!kept && slot.empty()) kept = session_.Take(protocol);
  if (!kept) {
    if (auto entered = Enter(slot); !entered) return std::unexpected(entered.error());
    auto socket = netlink::Socket::Open(protocol);
    if (!socket) return std::unexpected(socket.error());
    kept.emplace(std::move(*socket));
  }
  return &*kept;
}

}  // namespace netmode::program

// Runner: runs one plan on the calling thread: ops become messages, acks become results, and after a failure the undo ops of
// what was done run in reverse. Whatever happens, the thread is back in the host namespace afterwards, or netns::Stranded() says so.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/inet.h"
#include "netlink/batch.h"
#include "netlink/socket.h"
#include "nft/transaction.h"
#include "program/plan.h"
#include "program/session.h"
#include "rtnl/names.h"

namespace netmode::program {

class Runner final : public rtnl::Names {
 public:
  Runner(Session &session, const std::atomic<bool> &cancelled) : session_(session), cancelled_(cancelled) {}
  ~Runner() override;
  Runner(const Runner &) = delete;
  Runner &operator=(const Runner &) = delete;

  // The whole plan but for what is to be done behind.
  [[nodiscard]] Report Run(const std::vector<Step> &steps);

  // The same in pieces, between which it may change to another thread (see PlanRun). `steps` stay where they are.
  void Begin(const std::vector<Step> &steps);
  [[nodiscard]] bool Failed() const noexcept { return report_.failure.has_value(); }
  // Runs what comes before `end` and was not run yet, up to the first failure.
  void RunTo(std::size_t end);
  // Sends what is queued, or takes everything back. Locks are free afterwards.
  void Finish();
  [[nodiscard]] Report TakeReport() { return std::exchange(report_, {}); }
  // What is to be done once the plan has been answered for.
  void Behind();
  // The calling thread leaves the namespace that it is in.
  void GoHome();

  // Of two runners of the same plan, one is ahead: it has Take() the namespace of the step without naming it, and run what follows.
  // The other one names it, and adopts what the first has come to.
  void Take(std::size_t step, Result<Fresh> fresh);
  void Name(std::size_t step, int fd);
  void Adopt(Runner &ahead, std::size_t first, std::size_t last);
  void Flush();

  [[nodiscard]] Result<int> NamespaceFd(const std::string &slot) override;
  [[nodiscard]] Result<std::uint32_t> LinkIndex(const std::string &slot, const rtnl::LinkRef &link) override;
  [[nodiscard]] std::optional<std::uint32_t> NumberFor(const std::string &slot, const std::string &where) override;

 private:
  struct Place {  // a namespace that the plan works in
    UniqueFd ns;
    std::optional<netlink::Socket> rtnl;
    std::optional<netlink::Socket> netfilter;
    bool unnumbered = false;  // it was just made: the host has no number for it
  };
  struct Saved {  // what sysctls were before the plan wrote the first of them; the others are those that the kernel changes with it
    std::string ns;
    std::vector<netns::Setting> settings;
  };

  struct Queued {
    std::size_t step;
    const Op *op;
  };

  struct Coming {  // an address that the kernel has taken and may not answer for yet
    std::string slot;
    std::uint32_t link;  // index
    IpAddress address;
  };

  // A lock of a folder that plans lock again and again has its path; the others have none.
  struct HeldLock {
    UniqueFd folder;
    std::string path;
  };

  [[nodiscard]] Result<HeldLock> Acquire(const state::Lock &lock, bool keep);
  void Drop(HeldLock lock);
  void Unlock();
  void LetGo();
  void NoteComing(const Op &op);
  void AwaitComing();
  void Apply(const Op &op, std::size_t step);
  void Undo(const std::vector<Step> &steps);
  void FlushRtnl();
  void FlushNft();
  [[nodiscard]] bool MayBeDone(const Op &op);
  void UndoOneByOne(const std::vector<Queued> &queued);
  void Remember(const Op &op, std::size_t step, const rtnl::CreatedLink &created);
  void Fail(std::size_t step, const char *op, Error error);
  void Settle(std::size_t step, const Op &op, Result<Output> result);

  [[nodiscard]] Result<void> Enter(const std::string &slot);
  // Behind a verb that goes elsewhere by itself: it is back when it is done, and anywhere when it has failed.
  void BeHome(bool done);
  [[nodiscard]] Result<netlink::Socket *> Open(const std::string &slot, int protocol, std::optional<netlink::Socket> Place::*which);
  [[nodiscard]] Result<netlink::Socket *> Rtnl(const std::string &slot);
  [[nodiscard]] Result<netlink::Socket *> Netfilter(const std::string &slot = {});

  [[nodiscard]] Result<void> Queue(const RtnlVerb &verb, std::size_t step);
  [[nodiscard]] Result<void> Queue(const NftVerb &verb, std::size_t step);

  [[nodiscard]] Result<Output> Do(const Immediate &verb);
  // One for each alternative of it.
  [[nodiscard]] Result<Output> Do(const state::Lock &op);
  [[nodiscard]] Result<Output> Do(const netns::NetnsCreate &op);
  [[nodiscard]] Result<Output> Do(const netns::NetnsAttach &op);
  [[nodiscard]] Result<Output> Do(const netns::NetnsOpen &op);
  [[nodiscard]] Result<Output> Do(const netns::NetnsDelete &op);
  [[nodiscard]] Result<Output> Do(const netns::NetnsIdentify &op);
  [[nodiscard]] Result<Output> Do(const NetnsKeep &op);
  [[nodiscard]] Result<Output> Do(const NetnsTake &op);
  [[nodiscard]] Result<Output> Do(const netns::SysctlSet &op);
  [[nodiscard]] Result<Output> Do(const netns::SysctlRestore &op);
  [[nodiscard]] Result<Output> Do(const netns::SysctlGet &op);
  [[nodiscard]] Result<Output> Do(const SocketOpen &op);
  [[nodiscard]] Result<Output> Do(const Survey &op);
  [[nodiscard]] Result<Output> Do(const state::FileWrite &op);
  [[nodiscard]] Result<Output> Do(const state::FileLook &op);
  [[nodiscard]] Result<Output> Do(const state::ClaimList &op);
  [[nodiscard]] Result<Output> Do(const state::PortClaim &op);
  [[nodiscard]] Result<Output> Do(const tap::TapAdd &op);
  [[nodiscard]] Result<Output> Do(const rtnl::LinkDelete &op);
  [[nodiscard]] Result<Output> Do(const rtnl::LinkExpect &op);
  [[nodiscard]] Result<Output> Do(const rtnl::LinkSettle &op);
  [[nodiscard]] Result<Output> Do(const nft::ListVerb &op);
  [[nodiscard]] Result<Output> Do(const nft::RulesVerb &op);
  [[nodiscard]] Result<Output> Do(const conntrack::ConntrackFlush &op);
  template <class Other>  // files, claims and the lists of rtnl
  [[nodiscard]] Result<Output> Do(const Other &op);

  Session &session_;
  const std::atomic<bool> &cancelled_;
  const std::vector<Step> *steps_ = nullptr;
  std::size_t next_ = 0;
  bool undoing_ = false;
  std::optional<std::string> inside_;  // the slot that the thread is in; nothing: wherever the last plan left it

  std::map<std::string, Place> places_;                                   // by slot; the host's is the empty one
  std::map<std::pair<std::string, std::string>, std::uint32_t> indexes_;  // (slot, name) of links that this plan made or looked up
  std::vector<HeldLock> locks_;
  std::vector<Saved> saved_;
  std::vector<Coming> coming_;

  // What is queued and not yet sent. One of the two at most.
  netlink::Batch batch_;
  std::string batch_slot_;
  nft::Transaction transaction_;
  std::string transaction_slot_;

  std::vector<Queued> queued_;
  std::vector<bool> done_;
  Report report_;
};

}  // namespace netmode::program

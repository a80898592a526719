#include "full.h"

#include <atomic>
#include <iterator>
#include <string>
#include <utility>

#include "nft/verb.h"
#include "program/runner.h"

namespace netmode::bench {

namespace {

using program::Immediate;
using program::NftVerb;
using program::Op;
using program::RtnlVerb;
using program::Step;

const char kSlot[] = "sandbox";

Op Now(const char *name, Immediate verb) { return {.name = name, .verb = std::move(verb)}; }
Op Routed(const char *name, RtnlVerb verb) { return {.name = name, .verb = std::move(verb)}; }
Op Element(nft::ElementVerb verb) {
  return {.name = verb.action == nft::Action::kAdd ? "nft.element.add" : "nft.element.delete", .verb = NftVerb{std::move(verb)}};
}

// One sandbox's plans, piece by piece; every function is named after the one in lib/ that it repeats.
class Draft {
public:
  Draft(const Ground &ground, const Sample &sample)
      : ground_(ground), sample_(sample), folder_(ground.state_folder + "/sandboxes/" + sample.name), record_path_(folder_ + "/state.json"),
        lease_(ground.state_folder + "/leases/" + ground.network_id + "/" + sample.address) {}

  [[nodiscard]] std::vector<Step> Create() const {
    std::vector<Step> plan;
    plan.push_back({.apply = LockRoot(), .undo = {}});
    plan.push_back({.apply = Now("folder.create", state::FolderCreate{.path = folder_}), .undo = RemoveFolder(), .journal = true});
    plan.push_back({.apply = LockFolder(), .undo = {}});
    plan.push_back({.apply = Write("creating", state::FileWrite::How::kCreate), .undo = {}});
    plan.push_back({.apply = Now("claim", state::Claim{.path = lease_, .holder = sample_.name}), .undo = Release()});
    plan.push_back({.apply = ClaimPort(), .undo = ReleasePort()});
    EnterNamespace(plan);
    Attach(plan);
    for (const nft::ElementVerb &element : Elements()) {
      plan.push_back({.apply = Element(element), .undo = Element(Deleted(element))});
    }
    plan.push_back({.apply = Write("ready", state::FileWrite::How::kReplace), .undo = {}});
    return plan;
  }

  [[nodiscard]] std::vector<Step> Remove() const {
    std::vector<Op> ops{LockRoot(),
                        LockFolder(),
                        Now("expect.empty", state::ExpectEmpty{.path = folder_ + "/sharers"}),
                        Now("expect.unchanged", state::ExpectUnchanged{.path = record_path_, .text = Record("ready")}),
                        Write("removing", state::FileWrite::How::kReplace)};
    for (const nft::ElementVerb &element : Elements()) ops.push_back(Element(Deleted(element)));
    ops.push_back(ReleasePort());
    ops.push_back(DeleteLink());
    ops.push_back(DeleteNamespace());
    ops.push_back(Release());
    ops.push_back(RemoveFolder());
    std::vector<Step> plan;
    for (Op &op : ops) plan.push_back({.apply = std::move(op), .undo = {}});
    return plan;
  }

private:
  [[nodiscard]] Op LockRoot() const {
    return Now("lock", state::Lock{.path = ground_.state_folder, .mode = state::Lock::Mode::kShared});
  }
  [[nodiscard]] Op LockFolder() const { return Now("lock", state::Lock{.path = folder_}); }
  [[nodiscard]] Op RemoveFolder() const { return Now("folder.remove", state::FolderRemove{.path = folder_}); }
  [[nodiscard]] Op Release() const { return Now("release", state::Release{.path = lease_, .holder = sample_.name}); }
  [[nodiscard]] Op DeleteNamespace() const { return Now("netns.delete", netns::NetnsDelete{.name = sample_.name, .missing_ok = true}); }
  [[nodiscard]] Op DeleteLink() const {
    rtnl::LinkDelete removal;
    removal.links = {{.name = sample_.host_ifname, .index = {}}};
    removal.missing_ok = true;
    return Now("link.delete", removal);
  }

  // The record in another phase: the text that came is in `creating`.
  [[nodiscard]] std::string Record(const char *phase) const {
    std::string text = sample_.record;
    const std::string creating = R"("phase":"creating")";
    const std::size_t at = text.find(creating);
    if (at != std::string::npos) text.replace(at, creating.size(), std::string(R"("phase":")") + phase + '"');
    return text + "\n";
  }
  [[nodiscard]] Op Write(const char *phase, state::FileWrite::How how) const {
    return Now("file.write", state::FileWrite{.path = record_path_, .text = Record(phase), .how = how});
  }

  [[nodiscard]] Op ClaimPort() const {
    return Now("port.claim", state::PortClaim{.folder = ground_.state_folder + "/ports",
                                              .protocol = state::Protocol::kTcp,
                                              .address = "0.0.0.0",
                                              .port = sample_.port,
                                              .holder = sample_.name,
                                              .probe = true});
  }
  [[nodiscard]] Op ReleasePort() const {
    return Now("port.release", state::PortRelease{.folder = ground_.state_folder + "/ports",
                                                  .protocol = state::Protocol::kTcp,
                                                  .address = "0.0.0.0",
                                                  .port = sample_.port,
                                                  .holder = sample_.name});
  }

  void EnterNamespace(std::vector<Step> &plan) const {
    plan.push_back({.apply = Now("netns.create", netns::NetnsCreate{.name = sample_.name, .slot = kSlot}), .undo = DeleteNamespace()});
    rtnl::LinkSet loopback;
    loopback.ns = kSlot;
    loopback.link = {.name = "lo", .index = 1};
    loopback.up = true;
    plan.push_back({.apply = Routed("link.set", loopback), .undo = {}});
  }

  void Attach(std::vector<Step> &plan) const {
    const rtnl::LinkRef inside{.name = kIfname, .index = {}};
    rtnl::LinkAdd pair;
    pair.name = sample_.host_ifname;
    pair.mtu = ground_.mtu;
    pair.master = {.name = ground_.bridge, .index = ground_.bridge_index};
    pair.up = true;
    pair.group = kLinkGroup;
    pair.queues = 1;
    pair.peer = rtnl::VethPeer{.ns = kSlot, .name = kIfname, .mac = sample_.mac, .mtu = ground_.mtu};
    plan.push_back({.apply = Routed("link.add", pair), .undo = DeleteLink()});

    rtnl::LinkSet tag;
    tag.link = {.name = sample_.host_ifname, .index = {}};
    tag.alias = "netmode:" + sample_.name + "/" + ground_.network;
    tag.port = rtnl::PortOptions{};
    tag.port->hairpin = true;
    tag.port->isolated = false;
    plan.push_back({.apply = Routed("link.set", tag), .undo = {}});

    for (const char *key : {"net/ipv4/conf/eth0/arp_notify", "net/ipv6/conf/eth0/disable_ipv6"}) {
      plan.push_back({.apply = Now("sysctl.set", netns::SysctlSet{.ns = kSlot, .key = key, .value = "1", .missing_ok = true}), .undo = {}});
    }

    rtnl::AddressVerb address;
    address.ns = kSlot;
    address.link = inside;
    address.address = sample_.address;
    address.prefix = ground_.prefix;
    address.broadcast = ground_.broadcast;
    plan.push_back({.apply = Routed("address.add", address), .undo = {}});

    rtnl::LinkSet up;
    up.ns = kSlot;
    up.link = inside;
    up.up = true;
    plan.push_back({.apply = Routed("link.set", up), .undo = {}});

    rtnl::RouteVerb route;
    route.ns = kSlot;
    route.to = "default";
    route.via = ground_.gateway;
    route.link = inside;
    plan.push_back({.apply = Routed("route.add", route), .undo = {}});
  }

  [[nodiscard]] std::vector<nft::ElementVerb> Elements() const {
    nft::ElementVerb published;
    published.table = "netmode";
    published.comment = sample_.name;
    nft::ElementVerb exposed = published;
    published.set = "publish4_any";
    exposed.set = "exposed4";
    // Nothing of this can fail: the values are the driver's own.
    static_cast<void>(published.key.AppendProtocol("tcp") && published.key.AppendPort(sample_.port));
    static_cast<void>(published.data.AppendIp4(sample_.address) && published.data.AppendPort(kContainerPort));
    static_cast<void>(exposed.key.AppendProtocol("tcp") && exposed.key.AppendIp4(sample_.address) && exposed.key.AppendPort(kContainerPort));
    return {published, exposed};
  }
  [[nodiscard]] static nft::ElementVerb Deleted(const nft::ElementVerb &element) {
    nft::ElementVerb deleted;
    deleted.action = nft::Action::kDelete;
    deleted.table = element.table;
    deleted.set = element.set;
    deleted.key = element.key;
    deleted.missing_ok = true;
    return deleted;
  }

  const Ground &ground_;
  const Sample &sample_;
  std::string folder_;
  std::string record_path_;
  std::string lease_;
};

} // namespace

void Full::Prepare(const Sample &sample) {
  const Draft draft(ground_, sample);
  plan_ = draft.Create();
  removal_ = draft.Remove();
}

Result<void> Full::Run(const std::vector<program::Step> &plan) {
  const std::atomic<bool> cancelled = false;
  program::Report report;
  {
    program::Runner runner(session_, cancelled);
    report = runner.Run(plan);
  }
  if (!report.failure) return {};
  report.failure->error.detail += " (step " + std::to_string(report.failure->step) + ")";
  return std::unexpected(std::move(report.failure->error));
}

} // namespace netmode::bench

#include "binding/read_plan.h"

#include <string_view>
#include <utility>

#include "binding/read_netns.h"
#include "binding/read_nft.h"
#include "binding/read_rtnl.h"
#include "binding/read_state.h"

namespace netmode::binding {
namespace {

using program::Immediate;
using program::Op;
using program::RtnlVerb;

template <auto kRead>
Op Now(const char *name, Object &object) {
  return {.name = name, .verb = Immediate{kRead(object)}};
}

template <auto kRead>
Op Routed(const char *name, Object &object) {
  return {.name = name, .verb = RtnlVerb{kRead(object)}};
}

Op Nft(const char *name, Object &object) {
  auto verb = ReadNft(name, object);
  if (!verb) object.MarkBad("op");
  return {.name = name, .verb = verb ? std::move(*verb) : nft::Verb{}};
}

nft::ListVerb ReadList(Object &object) {
  auto verb = ReadNftList(object);
  if (!verb) object.MarkBad("op");
  return verb.value_or(nft::ListVerb{});
}

state::FileRemove ReadFileRemove(Object &object) { return {.path = object.String("path")}; }

state::FileRename ReadFileRename(Object &object) {
  return {.path = object.String("path"), .to = object.String("to"), .exclusive = object.Flag("exclusive")};
}

state::ExpectAbsent ReadExpectAbsent(Object &object) { return {.path = object.String("path")}; }

state::ExpectNames ReadExpectNames(Object &object) {
  state::ExpectNames op{.path = object.String("path")};
  object.ForEachString("names", [&](std::string_view name) { op.names.emplace_back(name); });
  return op;
}

state::ExpectUnchanged ReadExpectUnchanged(Object &object) {
  return {.path = object.String("path"), .text = object.OptionalString("text"), .follow = object.Flag("follow")};
}

state::ExpectVersion ReadExpectVersion(Object &object) { return {.path = object.String("path"), .version = object.String("version")}; }

program::SocketOpen ReadSocketOpen(Object &object) {
  return {.ns = object.OptionalString("ns").value_or(""), .request = ReadSocketRequest(object)};
}

tap::TapAdd ReadTapAdd(Object &object) {
  return {.ns = object.OptionalString("ns").value_or(""),
          .name = object.String("name"),
          .owner = object.OptionalU32("owner"),
          .group = object.OptionalU32("group"),
          .vnet_hdr = object.Flag("vnetHdr"),
          .multi_queue = object.Flag("multiQueue"),
          .link_group = object.OptionalU32("linkGroup")};
}

struct Reader {
  std::string_view name;
  Op (*read)(const char *name, Object &object);
};

// The ops of lib/plan/op.ts, the frequent ones first.
constexpr Reader kReaders[] = {
    {"address.add", Routed<ReadAddressVerb>},
    {"link.set", Routed<ReadLinkSet>},
    {"link.add", Routed<ReadLinkAdd>},
    {"route.add", Routed<ReadRouteVerb>},
    {"nft.element.add", Nft},
    {"nft.element.delete", Nft},
    {"lock", Now<ReadLock>},
    {"file.write", Now<ReadFileWrite>},
    {"file.remove", Now<ReadFileRemove>},
    {"file.rename", Now<ReadFileRename>},
    {"expect.absent", Now<ReadExpectAbsent>},
    {"expect.link", Now<ReadLinkExpect>},
    {"link.settle", Now<ReadLinkSettle>},
    {"expect.names", Now<ReadExpectNames>},
    {"expect.unchanged", Now<ReadExpectUnchanged>},
    {"expect.version", Now<ReadExpectVersion>},
    {"claim", Now<ReadClaim>},
    {"release", Now<ReadRelease>},
    {"port.claim", Now<ReadPortClaim>},
    {"port.release", Now<ReadPortRelease>},
    {"sysctl.set", Now<ReadSysctlSet>},
    {"sysctl.restore", Now<ReadSysctlRestore>},
    {"link.delete", Now<ReadLinkDelete>},
    {"netns.create", Now<ReadNetnsCreate>},
    {"netns.attach", Now<ReadNetnsAttach>},
    {"netns.delete", Now<ReadNetnsDelete>},
    {"netns.open", Now<ReadNetnsOpen>},
    {"netns.keep", Now<ReadNetnsKeep>},
    {"netns.take", Now<ReadNetnsTake>},
    {"folder.create", Now<ReadFolderCreate>},
    {"folder.remove", Now<ReadFolderRemove>},
    {"conntrack.flush", Now<ReadConntrackFlush>},
    {"socket.open", Now<ReadSocketOpen>},
    {"tap.add", Now<ReadTapAdd>},
    {"netns.identify", Now<ReadNetnsIdentify>},
    {"file.look", Now<ReadFileLook>},
    {"claim.list", Now<ReadClaimList>},
    {"survey", Now<ReadSurvey>},
    {"sysctl.get", Now<ReadSysctlGet>},
    {"link.list", Now<ReadLinkList>},
    {"address.replace", Routed<ReadAddressVerb>},
    {"address.delete", Routed<ReadAddressVerb>},
    {"address.list", Now<ReadAddressList>},
    {"route.replace", Routed<ReadRouteVerb>},
    {"route.delete", Routed<ReadRouteVerb>},
    {"route.list", Now<ReadRouteList>},
    {"neighbor.add", Routed<ReadNeighborVerb>},
    {"neighbor.replace", Routed<ReadNeighborVerb>},
    {"neighbor.delete", Routed<ReadNeighborVerb>},
    {"fdb.replace", Routed<ReadFdbReplace>},
    {"neighbor.list", Now<ReadNeighborList>},
    {"neighbor.tables", Now<ReadNeighborTableList>},
    {"rule.add", Routed<ReadRuleVerb>},
    {"rule.delete", Routed<ReadRuleVerb>},
    {"rule.list", Now<ReadRuleList>},
    {"nft.table.add", Nft},
    {"nft.table.delete", Nft},
    {"nft.chain.add", Nft},
    {"nft.set.add", Nft},
    {"nft.rule.add", Nft},
    {"nft.list", Now<ReadList>},
    {"nft.rules", Now<ReadNftRules>},
};

program::When ReadWhen(Object &step) {
  const auto when = step.OptionalString("when");
  if (!when) return program::When::kInTurn;
  if (*when == "behind") return program::When::kBehind;
  if (*when != "ahead") step.MarkBad("when");
  return program::When::kAhead;
}

std::optional<Op> ReadOp(Object &step, const char *key, std::string &bad) {
  auto object = step.OptionalObject(key);
  if (!object) {
    bad = key;
    return std::nullopt;
  }
  const std::string name = object->String("op");
  for (const Reader &reader : kReaders) {
    if (name != reader.name) continue;
    Op op = reader.read(reader.name.data(), *object);
    if (object->Bad().empty()) return op;
    bad = std::string(key) + "." + object->Bad();
    return std::nullopt;
  }
  bad = std::string(key) + ".op";
  return std::nullopt;
}

}  // namespace

Result<std::vector<program::Step>> Read(std::string text) {
  const auto malformed = [](const std::string &what) { return Fail(EINVAL, "plan", "malformed plan at " + what); };
  const auto plan = json::Parse(std::move(text));
  if (!plan) return malformed(plan.error().detail);
  if (plan->Root().kind != json::Kind::kArray) return malformed("steps");
  std::vector<program::Step> steps;
  steps.reserve(plan->Root().items.size());
  for (const json::Value &item : plan->Root().items) {
    Object step(item);
    std::string bad;
    auto apply = ReadOp(step, "apply", bad);
    std::optional<Op> undo;
    if (apply && step.Has("undo")) undo = ReadOp(step, "undo", bad);
    const bool journal = step.Flag("journal");
    const program::When when = ReadWhen(step);
    if (bad.empty()) bad = step.Bad();
    if (!bad.empty()) return malformed("steps[" + std::to_string(steps.size()) + "]." + bad);
    steps.push_back({.apply = std::move(*apply), .undo = std::move(undo), .journal = journal, .when = when});
  }
  return steps;
}

}  // namespace netmode::binding

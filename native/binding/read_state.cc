#include "binding/read_state.h"

#include <array>
#include <string_view>

namespace netmode::binding {

namespace {

template <class Value>
struct Choice {
  std::string_view name;
  Value value;
};

// One of a few words.
template <class Value, std::size_t size>
[[nodiscard]] Value ReadChoice(Object &object, const char *key, const std::array<Choice<Value>, size> &choices) {
  const std::string word = object.String(key);
  for (const auto &choice : choices) {
    if (word == choice.name) return choice.value;
  }
  object.MarkBad(key);
  return choices[0].value;
}

[[nodiscard]] std::uint16_t ReadPort(Object &object) {
  const std::uint32_t port = object.U32("port");
  if (port == 0 || port > UINT16_MAX) object.MarkBad("port");
  return static_cast<std::uint16_t>(port);
}

// The fields that port.claim and port.release share.
template <class Op>
[[nodiscard]] Op ReadPortOp(Object &object) {
  using state::Protocol;
  constexpr std::array<Choice<Protocol>, 3> kProtocols{{{"tcp", Protocol::kTcp}, {"udp", Protocol::kUdp}, {"sctp", Protocol::kSctp}}};
  Op op;
  op.folder = object.String("folder");
  op.protocol = ReadChoice(object, "protocol", kProtocols);
  op.address = object.String("address");
  op.port = ReadPort(object);
  op.holder = object.String("holder");
  return op;
}

}  // namespace

state::Lock ReadLock(Object &object) {
  using Mode = state::Lock::Mode;
  constexpr std::array<Choice<Mode>, 2> kModes{{{"shared", Mode::kShared}, {"exclusive", Mode::kExclusive}}};
  return {.path = object.String("path"),
          .mode = ReadChoice(object, "mode", kModes),
          .immediate = object.Flag("immediate"),
          .gate = object.OptionalString("gate")};
}

state::FolderCreate ReadFolderCreate(Object &object) { return {.path = object.String("path"), .ensure = object.Flag("ensure")}; }

state::FolderRemove ReadFolderRemove(Object &object) { return {.path = object.String("path")}; }

state::FileWrite ReadFileWrite(Object &object) {
  using How = state::FileWrite::How;
  constexpr std::array<Choice<How>, 5> kHows{{{"create", How::kCreate},
                                              {"unseen", How::kUnseen},
                                              {"start", How::kStart},
                                              {"replace", How::kReplace},
                                              {"overwrite", How::kOverwrite}}};
  return {.path = object.String("path"), .text = object.String("text"), .how = ReadChoice(object, "how", kHows)};
}

state::FileLook ReadFileLook(Object &object) {
  state::FileLook op;
  object.ForEachString("paths", [&](std::string_view path) { op.paths.emplace_back(path); });
  if (object.Has("known")) {
    auto &known = op.known.emplace();
    object.ForEachString("known", [&](std::string_view version) { known.emplace_back(version); });
    if (known.size() != op.paths.size()) object.MarkBad("known");
  }
  return op;
}

program::Survey ReadSurvey(Object &object) {
  program::Survey op;
  if (object.Has("from")) {
    auto from = object.OptionalObject("from");
    if (!from) return op;
    op.from = {.path = from->String("path"), .line = from->U32("line")};
    if (!from->Bad().empty()) object.MarkBad("from." + from->Bad());
  }
  object.ForEachObject("items", [&](Object &one) {
    program::Survey::Item &item = op.items.emplace_back();
    const auto read = [&](const char *key, std::vector<std::string> &texts) {
      if (one.Has(key)) one.ForEachString(key, [&](std::string_view text) { texts.emplace_back(text); });
    };
    read("files", item.files);
    read("links", item.links);
    read("inside", item.inside);
    item.netns = one.OptionalString("netns");
  });
  op.group = object.OptionalU32("group");
  return op;
}

state::ClaimList ReadClaimList(Object &object) { return {.path = object.String("path")}; }

state::Claim ReadClaim(Object &object) {
  return {.path = object.String("path"), .holder = object.String("holder"), .from = object.OptionalString("from")};
}

state::Release ReadRelease(Object &object) { return {.path = object.String("path"), .holder = object.String("holder")}; }

state::PortClaim ReadPortClaim(Object &object) {
  auto op = ReadPortOp<state::PortClaim>(object);
  op.probe = object.Flag("probe");
  return op;
}

state::PortRelease ReadPortRelease(Object &object) { return ReadPortOp<state::PortRelease>(object); }

}  // namespace netmode::binding

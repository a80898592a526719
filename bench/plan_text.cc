#include "plan_text.h"

#include <cstdlib>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace netmode::bench {

namespace {

using program::Immediate;
using program::NftVerb;
using program::Op;
using program::RtnlVerb;
using program::Step;

struct Value {
  std::string text;
  bool read = false;
};

// The fields of a step, or of a part of it. Each remembers that it was read: one that nobody asked for is a plan not understood.
class Fields {
 public:
  using Values = std::map<std::string, Value, std::less<>>;
  Fields(Values &values, std::string prefix) : values_(values), prefix_(std::move(prefix)) {}

  [[nodiscard]] std::optional<std::string> Maybe(std::string_view key) const {
    const auto found = values_.find(prefix_ + std::string(key));
    if (found == values_.end()) return std::nullopt;
    found->second.read = true;
    return found->second.text;
  }
  [[nodiscard]] std::string Text(std::string_view key) const { return Maybe(key).value_or(""); }
  [[nodiscard]] bool Flag(std::string_view key) const { return Text(key) == "true"; }
  [[nodiscard]] std::optional<bool> MaybeFlag(std::string_view key) const {
    return Maybe(key).transform([](const std::string &text) { return text == "true"; });
  }
  [[nodiscard]] std::optional<std::uint32_t> Number(std::string_view key) const {
    return Maybe(key).transform(
        [](const std::string &text) { return static_cast<std::uint32_t>(std::strtoul(text.c_str(), nullptr, 10)); });
  }
  [[nodiscard]] Fields In(std::string_view key) const { return {values_, prefix_ + std::string(key) + "."}; }
  [[nodiscard]] bool Any() const {
    const auto first = values_.lower_bound(prefix_);
    return first != values_.end() && first->first.starts_with(prefix_);
  }

 private:
  Values &values_;
  std::string prefix_;
};

rtnl::LinkRef Link(const Fields &op) { return {.name = op.Text("name"), .index = op.Number("index")}; }

state::Protocol ProtocolOf(const Fields &op) {
  const std::string name = op.Text("protocol");
  return name == "udp" ? state::Protocol::kUdp : name == "sctp" ? state::Protocol::kSctp : state::Protocol::kTcp;
}

Immediate FileWrite(const Fields &op) {
  using How = state::FileWrite::How;
  const std::string how = op.Text("how");
  return state::FileWrite{.path = op.Text("path"),
                          .text = op.Text("text"),
                          .how = how == "create"    ? How::kCreate
                                 : how == "replace" ? How::kReplace
                                                    : How::kOverwrite};
}

Immediate LinkDelete(const Fields &op) {
  rtnl::LinkDelete removal;
  for (int i = 0; op.In("links." + std::to_string(i)).Any(); ++i) removal.links.push_back(Link(op.In("links." + std::to_string(i))));
  removal.missing_ok = op.Flag("missingOk");
  return removal;
}

Immediate NetnsCreate(const Fields &op) {
  netns::NetnsCreate create{.name = op.Text("name"), .slot = op.Text("slot"), .loopback = op.Flag("loopback")};
  for (int i = 0; op.In("settings." + std::to_string(i)).Any(); ++i) {
    const Fields setting = op.In("settings." + std::to_string(i));
    create.settings.push_back({.key = setting.Text("key"), .value = setting.Text("value")});
  }
  return create;
}

std::optional<Immediate> ReadImmediate(std::string_view name, const Fields &op) {
  const std::string path = op.Text("path");
  if (name == "lock") {
    const auto mode = op.Text("mode") == "shared" ? state::Lock::Mode::kShared : state::Lock::Mode::kExclusive;
    return state::Lock{.path = path, .mode = mode, .immediate = op.Flag("immediate"), .gate = op.Maybe("gate")};
  }
  if (name == "folder.create") return state::FolderCreate{.path = path, .ensure = op.Flag("ensure")};
  if (name == "folder.remove") return state::FolderRemove{.path = path};
  if (name == "file.write") return FileWrite(op);
  if (name == "claim") return state::Claim{.path = path, .holder = op.Text("holder")};
  if (name == "release") return state::Release{.path = path, .holder = op.Text("holder")};
  const auto port = static_cast<std::uint16_t>(op.Number("port").value_or(0));
  if (name == "port.claim") {
    return state::PortClaim{.folder = op.Text("folder"),
                            .protocol = ProtocolOf(op),
                            .address = op.Text("address"),
                            .port = port,
                            .holder = op.Text("holder"),
                            .probe = op.Flag("probe")};
  }
  if (name == "port.release") {
    return state::PortRelease{
        .folder = op.Text("folder"), .protocol = ProtocolOf(op), .address = op.Text("address"), .port = port, .holder = op.Text("holder")};
  }
  if (name == "file.rename") return state::FileRename{.path = path, .to = op.Text("to")};
  if (name == "expect.absent") return state::ExpectAbsent{.path = path};
  if (name == "netns.create") return NetnsCreate(op);
  if (name == "netns.delete") return netns::NetnsDelete{.name = op.Text("name"), .missing_ok = op.Flag("missingOk")};
  if (name == "sysctl.set") {
    return netns::SysctlSet{.ns = op.Text("ns"), .key = op.Text("key"), .value = op.Text("value"), .missing_ok = op.Flag("missingOk")};
  }
  if (name == "link.delete") return LinkDelete(op);
  return std::nullopt;
}

std::optional<rtnl::PortOptions> Port(const Fields &port) {
  if (!port.Any()) return std::nullopt;
  rtnl::PortOptions options;
  options.hairpin = port.MaybeFlag("hairpin");
  options.isolated = port.MaybeFlag("isolated");
  return options;
}

RtnlVerb LinkAdd(const Fields &op) {
  rtnl::LinkAdd add;
  add.ns = op.Text("ns");
  add.name = op.Text("name");
  add.mac = op.Maybe("mac");
  add.mtu = op.Number("mtu");
  if (op.In("master").Any()) add.master = Link(op.In("master"));
  add.up = op.Flag("up");
  add.group = op.Number("group");
  add.queues = op.Number("queues");
  add.alias = op.Maybe("alias");
  add.port = Port(op.In("port"));
  const Fields peer = op.In("peer");
  if (peer.Any())
    add.peer = rtnl::VethPeer{.ns = peer.Text("ns"), .name = peer.Text("name"), .mac = peer.Maybe("mac"), .mtu = peer.Number("mtu")};
  return add;
}

std::optional<RtnlVerb> ReadRtnl(std::string_view name, const Fields &op) {
  const std::string ns = op.Text("ns");
  const rtnl::LinkRef link = Link(op.In("link"));
  if (name == "link.add" && op.Text("kind") == "veth") return LinkAdd(op);
  if (name == "link.set") {
    rtnl::LinkSet set;
    set.ns = ns;
    set.link = link;
    set.mac = op.Maybe("mac");
    set.up = op.MaybeFlag("up");
    set.alias = op.Maybe("alias");
    set.settle = op.Flag("settle");
    set.port = Port(op.In("port"));
    return set;
  }
  if (name == "address.add") {
    rtnl::AddressVerb add;
    add.ns = ns;
    add.link = link;
    add.address = op.Text("address");
    add.prefix = op.Number("prefix").value_or(0);
    add.broadcast = op.Maybe("broadcast");
    add.no_dad = op.Flag("noDad");
    return add;
  }
  if (name == "route.add") {
    rtnl::RouteVerb add;
    add.ns = ns;
    add.to = op.Text("to");
    add.via = op.Maybe("via");
    add.link = link;
    return add;
  }
  return std::nullopt;
}

// False for a field that the tuple can't hold.
bool Append(nft::Tuple &tuple, const Fields &data) {
  for (int i = 0; data.In(std::to_string(i)).Any(); ++i) {
    const Fields datum = data.In(std::to_string(i));
    const bool known = datum.Maybe("ip4")        ? tuple.AppendIp4(datum.Text("ip4"))
                       : datum.Maybe("protocol") ? tuple.AppendProtocol(datum.Text("protocol"))
                       : datum.Maybe("port")     ? tuple.AppendPort(datum.Number("port").value_or(0))
                                                 : false;
    if (!known) return false;
  }
  return true;
}

std::optional<NftVerb> ReadElement(std::string_view name, const Fields &op) {
  if (name != "nft.element.add" && name != "nft.element.delete") return std::nullopt;
  const auto family = nft::FamilyByName(op.Text("family"));
  if (!family) return std::nullopt;
  nft::ElementVerb element;
  element.action = name == "nft.element.add" ? nft::Action::kAdd : nft::Action::kDelete;
  element.family = *family;
  element.table = op.Text("table");
  element.set = op.Text("set");
  element.comment = op.Maybe("comment");
  element.exclusive = op.Flag("exclusive");
  element.missing_ok = op.Flag("missingOk");
  if (!Append(element.key, op.In("key")) || !Append(element.data, op.In("data"))) return std::nullopt;
  return NftVerb{std::move(element)};
}

Result<Op> ReadOp(const Fields &op) {
  const std::string name = op.Text("op");
  if (auto verb = ReadImmediate(name, op)) return Op{.name = "op", .verb = std::move(*verb)};
  if (auto verb = ReadRtnl(name, op)) return Op{.name = "op", .verb = std::move(*verb)};
  if (auto verb = ReadElement(name, op)) return Op{.name = "op", .verb = std::move(*verb)};
  return Fail(EINVAL, "plan", "unknown op '" + name + "'");
}

Result<Step> ReadStep(Fields::Values &values) {
  const Fields step(values, "");
  auto apply = ReadOp(step.In("apply"));
  if (!apply) return std::unexpected(apply.error());
  std::optional<Op> undo;
  if (step.In("undo").Any()) {
    auto read = ReadOp(step.In("undo"));
    if (!read) return std::unexpected(read.error());
    undo = std::move(*read);
  }
  const bool journal = step.Flag("journal");
  for (const auto &[key, value] : values) {
    if (!value.read) return Fail(EINVAL, "plan", "unknown field " + key + " of " + step.Text("apply.op"));
  }
  return Step{.apply = std::move(*apply), .undo = std::move(undo), .journal = journal};
}

// Tabs and newlines come as \t and \n, backslashes doubled.
std::string Unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      plain += text[i];
      continue;
    }
    const char code = text[++i];
    plain += code == 't' ? '\t' : code == 'n' ? '\n' : code;
  }
  return plain;
}

}  // namespace

Result<std::vector<Step>> ReadPlan(std::span<const std::string> fields) {
  std::vector<Step> plan;
  Fields::Values values;
  for (const std::string &field : fields) {
    if (field != ";") {
      const std::size_t equals = field.find('=');
      if (equals == std::string::npos) return Fail(EINVAL, "plan", field);
      values.insert_or_assign(field.substr(0, equals), Value{.text = Unescape(std::string_view(field).substr(equals + 1))});
      continue;
    }
    auto step = ReadStep(values);
    if (!step) return std::unexpected(step.error());
    plan.push_back(std::move(*step));
    values.clear();
  }
  return plan;
}

}  // namespace netmode::bench

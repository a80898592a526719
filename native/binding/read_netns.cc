#include "binding/read_netns.h"

namespace netmode::binding {

namespace {

// Absent: the host.
[[nodiscard]] std::string ReadNs(Object &object) { return object.OptionalString("ns").value_or(""); }

}  // namespace

netns::NetnsCreate ReadNetnsCreate(Object &object) {
  netns::NetnsCreate op{.name = object.OptionalString("name"), .slot = object.String("slot")};
  if (object.Has("settings")) {
    object.ForEachObject("settings",
                         [&](Object &setting) { op.settings.push_back({.key = setting.String("key"), .value = setting.String("value")}); });
  }
  return op;
}

netns::NetnsAttach ReadNetnsAttach(Object &object) { return {.name = object.String("name"), .slot = object.String("slot")}; }

program::NetnsKeep ReadNetnsKeep(Object &object) { return {.key = object.String("key"), .slot = object.String("slot")}; }

program::NetnsTake ReadNetnsTake(Object &object) { return {.key = object.String("key"), .slot = object.String("slot")}; }

netns::NetnsOpen ReadNetnsOpen(Object &object) {
  return {.slot = object.String("slot"),
          .path = object.OptionalString("path"),
          .pid = object.OptionalU32("pid"),
          .fd = object.OptionalI32("fd"),
          .inode = object.OptionalU64("inode"),
          .missing_ok = object.Flag("missingOk")};
}

netns::NetnsDelete ReadNetnsDelete(Object &object) {
  return {.name = object.String("name"), .inode = object.OptionalU64("inode"), .missing_ok = object.Flag("missingOk")};
}

netns::NetnsIdentify ReadNetnsIdentify(Object &object) { return {.ns = ReadNs(object)}; }

netns::SysctlSet ReadSysctlSet(Object &object) {
  return {.ns = ReadNs(object), .key = object.String("key"), .value = object.String("value"), .missing_ok = object.Flag("missingOk")};
}

netns::SysctlRestore ReadSysctlRestore(Object &object) { return {.ns = ReadNs(object), .key = object.String("key")}; }

netns::SysctlGet ReadSysctlGet(Object &object) { return {.ns = ReadNs(object), .key = object.String("key")}; }

netns::SocketRequest ReadSocketRequest(Object &object) {
  using Type = netns::SocketRequest::Type;
  const std::uint32_t family = object.U32("family");
  if (family != 4 && family != 6) object.MarkBad("family");
  const std::string type = object.String("type");
  if (type != "stream" && type != "datagram") object.MarkBad("type");
  const auto port = object.OptionalU32("port");
  if (port.value_or(0) > UINT16_MAX) object.MarkBad("port");
  netns::SocketRequest request{.family = static_cast<int>(family),
                               .type = type == "stream" ? Type::kStream : Type::kDatagram,
                               .address = object.OptionalString("address"),
                               .backlog = object.OptionalI32("backlog"),
                               .ipv6_only = object.Flag("ipv6Only"),
                               .free_bind = object.Flag("freeBind")};
  if (port) request.port = static_cast<std::uint16_t>(*port);
  return request;
}

}  // namespace netmode::binding

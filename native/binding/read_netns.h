// Reads the ops on namespaces and sysctls (lib/plan/op.ts), and requests for sockets, into their native structs. Wrong
// fields are marked on the object.
#pragma once

#include "binding/object.h"
#include "netns/namespace.h"
#include "netns/socket.h"
#include "netns/sysctl.h"
#include "program/reserve.h"

namespace netmode::binding {

[[nodiscard]] netns::NetnsCreate ReadNetnsCreate(Object &object);
[[nodiscard]] netns::NetnsAttach ReadNetnsAttach(Object &object);
[[nodiscard]] netns::NetnsOpen ReadNetnsOpen(Object &object);
[[nodiscard]] program::NetnsKeep ReadNetnsKeep(Object &object);
[[nodiscard]] program::NetnsTake ReadNetnsTake(Object &object);
[[nodiscard]] netns::NetnsDelete ReadNetnsDelete(Object &object);
[[nodiscard]] netns::NetnsIdentify ReadNetnsIdentify(Object &object);
[[nodiscard]] netns::SysctlSet ReadSysctlSet(Object &object);
[[nodiscard]] netns::SysctlRestore ReadSysctlRestore(Object &object);
[[nodiscard]] netns::SysctlGet ReadSysctlGet(Object &object);

// `{ family: 4 | 6, type: 'stream' | 'datagram', address?, port?, backlog?, ipv6Only? }`
[[nodiscard]] netns::SocketRequest ReadSocketRequest(Object &object);

}  // namespace netmode::binding

// Writes kernel objects as plain JavaScript objects; their shapes are the interfaces of lib/plan/kernel-objects.ts.
#pragma once

#include <napi.h>

#include <vector>

#include "rtnl/address.h"
#include "rtnl/link.h"
#include "rtnl/neighbor.h"
#include "rtnl/neighbor_table.h"
#include "rtnl/route.h"
#include "rtnl/rule.h"

namespace netmode::binding {

[[nodiscard]] Napi::Object Write(Napi::Env env, const rtnl::Link &link);
[[nodiscard]] Napi::Object Write(Napi::Env env, const rtnl::Address &address);
[[nodiscard]] Napi::Object Write(Napi::Env env, const rtnl::Route &route);
[[nodiscard]] Napi::Object Write(Napi::Env env, const rtnl::Neighbor &neighbor);
[[nodiscard]] Napi::Object Write(Napi::Env env, const rtnl::NeighborTable &table);
[[nodiscard]] Napi::Object Write(Napi::Env env, const rtnl::Rule &rule);

// The objects in an array, in order.
template <class T>
[[nodiscard]] Napi::Array Write(Napi::Env env, const std::vector<T> &objects) {
  Napi::Array array = Napi::Array::New(env, objects.size());
  std::uint32_t position = 0;
  for (const T &object : objects) array.Set(position++, Write(env, object));
  return array;
}

}  // namespace netmode::binding

// PlanText: a plan of lib/ as the driver sends it, back into steps. One field per value of the plan's plain data, named by the way
// to it (`apply.peer.name=eth0`), a field `;` behind each step. It knows the ops that make a sandbox on a bridge; any other is EINVAL.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "program/plan.h"

namespace netmode::bench {

[[nodiscard]] Result<std::vector<program::Step>> ReadPlan(std::span<const std::string> fields);

}  // namespace netmode::bench

// read_plan: a plan, from plain JavaScript objects to structs.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "program/plan.h"

namespace netmode::binding {

// Nothing wrong: `bad` is empty. Else `bad` says where: "steps[3].apply.link.name".
struct ReadPlan {
  std::vector<program::Step> steps;
  std::string bad;
};
[[nodiscard]] ReadPlan Read(const Napi::Array &plan);

}  // namespace netmode::binding

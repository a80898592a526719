// read_plan: a plan, from its text to structs. No N-API here and in what it uses: the benchmarks' programs read plans too.
#pragma once

#include <string>
#include <vector>

#include "program/plan.h"

namespace netmode::binding {

// Nothing wrong: `bad` is empty. Else `bad` says where: "steps[3].apply.link.name".
struct ReadPlan {
  std::vector<program::Step> steps;
  std::string bad;
};
// Of the JSON of lib/plan/op.ts's Plan.
[[nodiscard]] ReadPlan Read(std::string text);

}  // namespace netmode::binding

// read_plan: a plan, from its text to structs. No N-API here and in what it uses: it is done on the threads of the pool, and the
// benchmarks' programs read plans too.
#pragma once

#include <string>
#include <vector>

#include "program/plan.h"

namespace netmode::binding {

// Of the JSON of lib/plan/op.ts's Plan. EINVAL where it is none, which says where: "steps[3].apply.link.name".
[[nodiscard]] Result<std::vector<program::Step>> Read(std::string text);

}  // namespace netmode::binding

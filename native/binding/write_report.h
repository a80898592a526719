// write_report: what became of a plan, as plain JavaScript objects (the types are in lib/native.ts).
#pragma once

#include <napi.h>

#include "program/plan.h"

namespace netmode::binding {

// `{ outputs, failure?: { step, errno, syscall, detail?, holder?, offset? }, undo: [...] }`
[[nodiscard]] Napi::Object Write(Napi::Env env, const program::Report &report);

}  // namespace netmode::binding

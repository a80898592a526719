// Reads the ops of the state folder (lib/plan/op.ts) into their native structs. Wrong fields are marked on the object.
#pragma once

#include "binding/object.h"
#include "program/survey.h"
#include "state/folder.h"
#include "state/look.h"
#include "state/port.h"

namespace netmode::binding {

[[nodiscard]] state::Lock ReadLock(Object &object);
[[nodiscard]] state::FolderCreate ReadFolderCreate(Object &object);
[[nodiscard]] state::FolderRemove ReadFolderRemove(Object &object);
[[nodiscard]] state::FileWrite ReadFileWrite(Object &object);
[[nodiscard]] state::FileLook ReadFileLook(Object &object);
[[nodiscard]] program::Survey ReadSurvey(Object &object);
[[nodiscard]] state::ClaimList ReadClaimList(Object &object);
[[nodiscard]] state::Claim ReadClaim(Object &object);
[[nodiscard]] state::Release ReadRelease(Object &object);
[[nodiscard]] state::PortClaim ReadPortClaim(Object &object);
[[nodiscard]] state::PortRelease ReadPortRelease(Object &object);

}  // namespace netmode::binding

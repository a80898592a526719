// The ops of the state folder, all of them.
#pragma once

#include "state/folder.h"  // IWYU pragma: export
#include "state/port.h"    // IWYU pragma: export

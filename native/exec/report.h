// Report: what netmode-exec says on its error descriptor, one JSON object a line. Nothing and then the end: the command runs.
#pragma once

#include "base/result.h"

namespace netmode::exec {

// {"stage":"setns","errno":22,"detail":"…"}: the last line, the command will not run.
void ReportFailure(int fd, const Error &error);
// {"skipped":"mount","errno":2,"detail":"/etc/hosts"}: gone on without it.
void ReportSkipped(int fd, const Error &error);

}  // namespace netmode::exec

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Loading an update, and taking it back if something fails soon afterwards
// (tools/watch/watch.h): `instarctl load --watch`.
//
// The health command is run once before the update: one that fails then says
// nothing of the update, which is not loaded. It finds INSTAR_PROGRAM,
// INSTAR_PID (of one process) and INSTAR_UPDATE in its environment.
//
// Ctrl-C ends the watch; the update stays applied.
//
// Threads: one.

#ifndef INSTAR_TOOLS_INSTARCTL_WATCHED_LOAD_H_
#define INSTAR_TOOLS_INSTARCTL_WATCHED_LOAD_H_

#include "manager/control/protocol.h"
#include "manager/control/socket_directory.h"
#include "tools/instarctl/processes.h"
#include "tools/watch/watch.h"

namespace instar {
namespace instarctl {

// Each says what comes of it, and answers the exit code.
int LoadUnderWatch(const RunningProgram& program, const Request& load,
                   const WatchOptions& options);

// One process first, for the whole time; then the others, and all of them for
// that time again.
int LoadAllUnderWatch(Processes& processes, const Request& load,
                      const WatchOptions& options);

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_INSTARCTL_WATCHED_LOAD_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Loading and undoing in one process, as instarctl shows it.
//
// Threads: one.

#ifndef INSTAR_TOOLS_INSTARCTL_UPDATE_COMMAND_H_
#define INSTAR_TOOLS_INSTARCTL_UPDATE_COMMAND_H_

#include <optional>

#include "absl/status/status.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"
#include "manager/control/protocol.h"
#include "tools/instarctl/console.h"

namespace instar {
namespace instarctl {

struct UpdateOutcome {
  ExitCode code = kDone;
  absl::Status error;                                 // to be said
  std::optional<UpdateReport> report = std::nullopt;  // of kDone
};

// Sends a request to load or undo, and shows what happens until the reply, and
// that; with `json` the report alone, for programs. Ctrl-C cancels the update.
UpdateOutcome RunUpdate(ControlClient& client, const Request& request,
                        bool json);

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_INSTARCTL_UPDATE_COMMAND_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the commands of instarctl have in common: exit codes, messages, the
// style of what is printed, and signals.
//
// Threads: one.

#ifndef INSTAR_TOOLS_INSTARCTL_CONSOLE_H_
#define INSTAR_TOOLS_INSTARCTL_CONSOLE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "manager/control/control_client.h"
#include "tools/instarctl/display.h"
#include "tools/instarctl/output.h"

namespace instar {
namespace instarctl {

enum ExitCode {
  kDone = 0,
  kRefused = 1,
  kUsage = 2,
  kUnreachable = 3,
  kTimedOut = 4,
  kCancelled = 5,
  kFailedUnderWatch = 6,
  kStillApplied = 7,
  kLeftUnwatched = 8,
};

// Of what a program has answered.
ExitCode CodeOf(const absl::Status& error);

// Says what is wrong, on standard error; answers the code.
int Fail(ExitCode code, absl::string_view message);
// What the program answered.
int Fail(const absl::Status& error);
// What came of a call of `client` that is answered at once: a program that
// does not cannot be reached.
int Fail(const ControlClient& client, const absl::Status& error);

void Print(const Lines& lines);

Style OutputStyle();
ScreenSize SizeFor(const Style& style);

// From now on a signal that asks for an end is counted, and interrupts waits.
void CountInterruptions();
int Interruptions();

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_INSTARCTL_CONSOLE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "examples/cases/program.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/quiescence/when_quiescent.h"
#include "updates/thread_updates.h"
#include "updates/update_module.h"

namespace cases {
namespace {

void NewVisit(const std::string& who) {
  Say("new: " + who + " comes");
  if (who == "guest") return;
  while (DoVisitLine()) {
  }
  Say("new: " + who + " leaves");
}

absl::Status Describe(instar::ThreadUpdates& threads) {
  instar::ChangeOptions options(instar::Stacks::kControlledThreads);
  // Longer than the test takes.
  options.forced_quiescence = std::chrono::seconds(100);
  threads.Start(instar::Redefine(&Visit, &NewVisit), options);
  return absl::OkStatus();
}

INSTAR_THREAD_UPDATES_MODULE("force_visit", Describe);
}  // namespace
}  // namespace cases

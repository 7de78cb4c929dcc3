// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Takes effect at a named update point, which the update add_point brings.

#include "absl/status/status.h"
#include "examples/cases/program.h"
#include "threads/update_request.h"
#include "updates/mechanisms/redefine.h"
#include "updates/thread_updates.h"
#include "updates/update_module.h"

namespace cases {
namespace {

void ByeAfterGreeting() { Say("bye, and greetings"); }

absl::Status Describe(instar::ThreadUpdates& threads) {
  instar::UpdateOptions where;
  where.point = "after a greeting";
  threads.Add("worker", instar::Redefine(&Bye, &ByeAfterGreeting), {}, where);
  return absl::OkStatus();
}

INSTAR_THREAD_UPDATES_MODULE("at_point", Describe);
}  // namespace
}  // namespace cases

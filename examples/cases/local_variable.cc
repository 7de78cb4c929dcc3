// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "examples/cases/program.h"
#include "stack/exposed_values.h"
#include "threads/attempt.h"
#include "threads/update_request.h"
#include "updates/thread_updates.h"
#include "updates/update_module.h"

namespace cases {
namespace {

// In each activation that is alive; those to come are as they were.
instar::Attempt SetTexts(const std::string& to) {
  const absl::StatusOr<std::vector<std::string*>> texts =
      instar::FindAllExposed<std::string>("text");
  if (absl::IsNotFound(texts.status())) {
    return instar::Attempt::NotYet("nobody talks");
  }
  if (!texts.ok()) return instar::Attempt::Failed(texts.status());
  for (std::string* const text : *texts) *text = to;
  return instar::Attempt::Done();
}

absl::Status Describe(instar::ThreadUpdates& threads) {
  instar::UpdateOptions options;
  options.interrupt_blocking_calls = true;
  threads.SetUpdateFunction(
      "worker", [](instar::UpdateContext&) { return SetTexts("hi"); },
      // Nothing of it is left when they have ended.
      [](instar::UpdateContext&) {
        const instar::Attempt undone = SetTexts("hello");
        return undone.is_not_yet() ? instar::Attempt::Done() : undone;
      },
      options);
  return absl::OkStatus();
}

INSTAR_THREAD_UPDATES_MODULE("local_variable", Describe);
}  // namespace
}  // namespace cases

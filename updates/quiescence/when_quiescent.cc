// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/when_quiescent.h"

#include <utility>

#include "base/error_text.h"
#include "updates/quiescence/internal/look.h"
#include "updates/quiescence/internal/obstacles.h"

namespace instar {

Attempt WhenQuiescent(
    const WatchedFunctions& watched, Stacks stacks,
    absl::FunctionRef<absl::Status(OtherThreads others)> change,
    std::optional<std::chrono::nanoseconds> limit, QuiescenceReport* report) {
  StopOptions options;
  options.stacks = stacks;
  options.limit = limit.value_or(
      stacks == Stacks::kAllThreads ? kStopLimit : kRendezvousLimit);
  StoppedWorld world(std::move(options));
  updates_internal::Obstacles obstacles(/*most=*/1);
  absl::Status status;
  if (world.Stop(obstacles) &&
      updates_internal::IsQuiescent(world, {&watched}, obstacles)) {
    status = change(world.others());
  }
  world.Release();
  if (report != nullptr)
    *report = {world.stopped_for(), obstacles.needs_time()};
  if (!obstacles.empty()) return obstacles.ToAttempt();
  return status.ok() ? Attempt::Done()
                     : Attempt::Failed(WithText(std::move(status)));
}

}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/internal/reboot_targets.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/no_allocation.h"
#include "code/symbols/function.h"
#include "stack/exposed_values.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {
namespace {

Blocker Describe(const ThreadRef& thread, const RebootObstacle& obstacle) {
  Blocker blocker;
  blocker.thread = thread.name();
  blocker.tid = thread.tid();
  blocker.reason =
      absl::StrCat("it is to be rebooted, and ", obstacle.ToString());
  switch (obstacle.kind) {
    case RebootObstacle::Kind::kStack: {
      const absl::StatusOr<Function> function =
          Function::Containing(obstacle.safety.frame.lookup_pc);
      if (function.ok()) blocker.function = function->name();
      blocker.frame = obstacle.safety.frame.depth;
      blocker.remedy =
          obstacle.safety.verdict == UnwindSafety::Verdict::kThroughC
              ? "an update point that is not called by C, or "
                "RebootOptions::through_c"
              : "an update point outside of noexcept functions and destructors";
      break;
    }
    case RebootObstacle::Kind::kInterrupted:
      blocker.remedy =
          "put the call that waits into Blocking(), or release "
          "what it waits for";
      break;
    case RebootObstacle::Kind::kNoBase:
      blocker.remedy = "run what it does by RunControlled()";
      break;
    default:
      break;
  }
  return blocker;
}

}  // namespace

void RebootTargets::MakeRoom(const std::vector<ThreadRef>& threads) {
  prepared_.clear();
  targets_.clear();
  obstacles_.clear();
  for (const ThreadRef& thread : threads) {
    prepared_.push_back(HeldReboot::Prepare(thread));
  }
  targets_.reserve(threads.size());
  obstacles_.reserve(threads.size() + 1);
}

Attempt RebootTargets::Find(absl::Span<const HeldThread> threads,
                            absl::FunctionRef<bool(const ThreadRef&)> wanted,
                            const ThreadMain& main) {
  for (const HeldThread& thread : threads) {
    if (!wanted(thread.thread)) continue;
    if (obstacles_.size() == obstacles_.capacity()) break;
    RebootObstacle obstacle = FindRebootObstacle(thread, main.options_);
    if (obstacle.kind == RebootObstacle::Kind::kEnded) continue;
    if (obstacle.kind != RebootObstacle::Kind::kNone) {
      obstacles_.push_back({thread.thread, obstacle, {}});
      continue;
    }
    const auto prepared = std::find_if(
        prepared_.begin(), prepared_.end(), [&](const HeldReboot& reboot) {
          return reboot.IsPreparedFor(thread.thread);
        });
    if (prepared == prepared_.end()) {
      obstacles_.push_back({thread.thread, {}, {}, /*has_just_begun=*/true});
      continue;
    }
    stack_internal::ExposedNode** const exposed =
        thread.thread.record()->exposed_values;
    const stack_internal::ScopedExposedValues scope(
        exposed == nullptr ? nullptr : *exposed);
    const AuthorsCode its_main;
    absl::StatusOr<ThreadMain::Function> made = main.make_(thread);
    if (absl::IsNotFound(made.status())) {
      obstacles_.push_back({thread.thread, {}, made.status()});
    } else if (!made.ok()) {
      return Attempt::Failed(made.status());
    } else {
      targets_.push_back(Target{thread.thread, std::move(*prepared),
                                *std::move(made), main.options_,
                                obstacle.safety.catch_all_frames > 0});
    }
  }
  // Blockers() say it.
  return obstacles_.empty() ? Attempt::Done() : Attempt::NotYet("");
}

std::vector<Blocker> RebootTargets::Blockers() const {
  std::vector<Blocker> blockers;
  for (const Obstacle& obstacle : obstacles_) {
    if (obstacle.error.ok() && !obstacle.has_just_begun) {
      blockers.push_back(Describe(obstacle.thread, obstacle.obstacle));
      continue;
    }
    Blocker& blocker = blockers.emplace_back();
    blocker.thread = obstacle.thread.name();
    blocker.tid = obstacle.thread.tid();
    if (obstacle.has_just_begun) {
      blocker.reason = "it has just begun";
      continue;
    }
    blocker.reason = std::string(obstacle.error.message());
    blocker.remedy = "wait until the function that exposes it has begun";
  }
  return blockers;
}

std::uintptr_t RebootTargets::UnwindsUpTo(const ThreadRef& thread) const {
  const bool ends = std::any_of(
      targets_.begin(), targets_.end(),
      [&](const Target& t) { return t.thread == thread && !t.may_be_caught; });
  return ends ? StoppedWorld::kNothingCounts : StoppedWorld::kAllCounts;
}

Attempt RebootTargets::RebootHere(UpdateContext& context,
                                  const ThreadMain& main) {
  const HeldThread here{context.thread(), false,
                        absl::MakeConstSpan(&context.stack(), 1)};
  absl::StatusOr<ThreadMain::Function> made = main.make_(here);
  if (absl::IsNotFound(made.status())) {
    return Attempt::NotYet(std::string(made.status().message()));
  }
  if (!made.ok()) return Attempt::Failed(made.status());
  return context.Reboot(*std::move(made), main.options_);
}

void RebootTargets::Begin() {
  for (Target& target : targets_) {
    target.reboot.Begin(std::move(target.main), target.options);
  }
}

void RebootTargets::Cancel() {
  for (Target& target : targets_) target.reboot.Cancel();
}

void RebootTargets::Released() {
  for (Target& target : targets_) target.reboot.Released();
  targets_.clear();
  prepared_.clear();
}

}  // namespace instar

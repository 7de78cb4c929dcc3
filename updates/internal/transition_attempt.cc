// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An attempt: what is done while threads stand still, and what came of it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/error_text.h"
#include "base/linux/deadline.h"
#include "base/no_allocation.h"
#include "updates/internal/author_calls.h"
#include "updates/internal/transition.h"
#include "updates/mechanisms/internal/background_work.h"
#include "updates/quiescence/internal/look.h"

namespace instar {
namespace updates_internal {
namespace {

// How long an attempt waits until nothing is converted in the background, and
// one that others wait for.
constexpr std::chrono::milliseconds kPortionLimit(500);
constexpr std::chrono::milliseconds kShortLimit(10);

// Of one that is not done.
absl::Status ErrorOf(const Attempt& attempt) {
  return attempt.is_not_yet()
             ? absl::UnavailableError(
                   absl::StrCat("it is not possible now: ", attempt.reason()))
             : WithText(attempt.status());
}

}  // namespace

Attempt Transition::Try(Direction direction, TryOptions options,
                        Retries* retries, Obstacles& obstacles) {
  // Others may have redefined the functions, or loaded objects, since.
  absl::Status status = FindCode(options.thorough);
  if (!status.ok()) return Attempt::Failed(std::move(status));
  std::string why_not;
  const bool runs_authors =
      std::any_of(parts_.begin(), parts_.end(),
                  [](const Part& part) { return part.RunsAuthors(); });
  // A redefinition in one thread, or with all stopped, has to do with none.
  const bool pauses =
      runs_authors || options.stop.stacks == Stacks::kControlledThreads;
  std::optional<BackgroundPause> pause =
      !pauses ? std::nullopt
      : options.never_wait
          ? BackgroundPause::Try(DeadlineAfter(kShortLimit), &why_not)
          : BackgroundPause::Until(DeadlineAfter(kPortionLimit), &why_not);
  if (pauses && !pause.has_value()) {
    obstacles.AddReason(std::move(why_not));
    if (retries != nullptr) retries->NoteOther(Retries::Clock::now());
    return Attempt::NotYet("");
  }
  status = BeforeStop();
  if (!status.ok()) {
    AfterStop(AttemptResult::kNothing);
    return Attempt::Failed(std::move(status));
  }
  const std::vector<const WatchedFunctions*> watched = AllWatched();
  if (retries != nullptr) retries->Prepare(options.stop);
  options.stop.for_authors_code = runs_authors;
  options.stop.looks_for_deaf = !options.thorough;
  options.stop.needs = [this](const ThreadRef& thread) {
    return NeedsOf(thread);
  };
  if (calls_.own() != nullptr) {
    options.stop.conversion_watch = &calls_.own()->conversion();
  }
  locks_are_free_ = !options.stop.point.empty();
  auto world = std::make_unique<StoppedWorld>(std::move(options.stop));
  Verdict verdict = Verdict::kNotYet;
  bool is_cancelled = false;
  bool has_begun = false;
  if (world->Stop(obstacles)) {
    world_ = &*world;
    if (options.when_stopped != nullptr) options.when_stopped();
    verdict = AskAll(direction, *world);
    // What is on stacks is told as well if a mechanism is not ready.
    if (verdict != Verdict::kFailed &&
        !IsQuiescent(
            *world, watched, obstacles,
            [this](const ThreadRef& thread) { return CountsFrom(thread); })) {
      verdict = Verdict::kNotYet;
    }
    if (verdict == Verdict::kDone && direction != Direction::kCheck) {
      is_cancelled = options.is_cancelled != nullptr && options.is_cancelled();
      has_begun = !is_cancelled;
      if (has_begun) verdict = ChangeAll(direction, *world);
    }
  }
  world->Release();
  world_ = nullptr;
  time_stopped_ += world->stopped_for();
  pause.reset();  // what follows may not return
  const bool took_effect = verdict == Verdict::kDone && !is_cancelled &&
                           direction != Direction::kCheck;
  if (took_effect) {
    is_applied_.store(direction == Direction::kApply,
                      std::memory_order_release);
    calls_.SetEffect(direction == Direction::kApply
                         ? WatchedCalls::Effect::kApplied
                         : WatchedCalls::Effect::kUndone);
    last_world_ = std::move(world);
  } else if (verdict == Verdict::kFailed &&
             (is_broken_ || !failure_->not_rolled_back.empty())) {
    calls_.SetEffect(WatchedCalls::Effect::kUnknown);
  }
  absl::Status error;
  if (verdict == Verdict::kFailed) error = Explain(direction);
  if (verdict == Verdict::kNotYet) {
    Explain(obstacles);
    if (retries != nullptr) {
      retries->Note(Retries::Clock::now(), Retries::StopOf(*world), obstacles);
    }
  }
  // Whatever was begun when the threads were released under it stays so.
  if (!threads_were_released() || !is_broken_) {
    AfterStop(!has_begun                       ? AttemptResult::kNothing
              : !took_effect                   ? AttemptResult::kRolledBack
              : direction == Direction::kApply ? AttemptResult::kApplied
                                               : AttemptResult::kUndone);
  }
  if (is_cancelled) error = absl::CancelledError("the update was cancelled");
  if (!obstacles.failure().ok()) error = obstacles.failure();
  if (!error.ok()) return Attempt::Failed(std::move(error));
  return verdict == Verdict::kDone ? Attempt::Done() : Attempt::NotYet("");
}

std::vector<const WatchedFunctions*> Transition::AllWatched() const {
  std::vector<const WatchedFunctions*> watched;
  for (const auto& set : watched_) {
    if (!set->is_empty()) watched.push_back(&*set);
  }
  return watched;
}

bool Transition::IsQuiescentNow(StopOptions stop, Obstacles& obstacles) const {
  const std::vector<const WatchedFunctions*> watched = AllWatched();
  StoppedWorld world(std::move(stop));
  return world.Stop(obstacles) && IsQuiescent(world, watched, obstacles);
}

// --- While threads stand still.

absl::Status Transition::Call(const Part& part,
                              absl::FunctionRef<absl::Status()> function) {
  const AuthorsPart authors_part(locks_are_free_ ? nullptr : part.name.c_str());
  if (!part.RunsAuthors()) return CallAuthor(function);
  const auto call = [&] {
    std::optional<AuthorsCode> its_own;
    if (part.traits.authors == AuthorsCodeIn::kEverything) its_own.emplace();
    return function();
  };
  if (calls_.own() == nullptr) return CallAuthor(call);
  return calls_.own()->Call(*world_, part.name, call);
}

Attempt Transition::Call(const Part& part,
                         absl::FunctionRef<Attempt()> function) {
  Attempt attempt = Attempt::Done();
  absl::Status status = Call(part, [&]() -> absl::Status {
    attempt = function();
    return absl::OkStatus();
  });
  if (status.ok()) return attempt;
  const AuthorsCode its_error;
  return Attempt::Failed(std::move(status));
}

std::uintptr_t Transition::CountsFrom(const ThreadRef& thread) const {
  std::uintptr_t from = StoppedWorld::kAllCounts;
  for (const Unwinding& each : unwinding_) {
    if (each.thread == &*thread.record()) from = std::max(from, each.up_to);
  }
  return from;
}

Transition::Verdict Transition::AskAll(Direction direction,
                                       const StoppedWorld& world) {
  for (const Part& part : parts_) {
    Attempt attempt =
        Call(part, [&] { return part.mechanism->Ready(world, direction); });
    if (threads_were_released()) {
      // Nothing had been changed.
      const AuthorsCode its_error;
      attempt = Attempt::Failed(absl::DeadlineExceededError(
          "had not said whether it is ready when the time was up, with the "
          "threads held"));
    }
    if (attempt.is_failed()) {
      failure_->part = &part;
      failure_->attempt = std::move(attempt);
      return Verdict::kFailed;
    }
    if (attempt.is_not_yet()) not_yet_.emplace_back(&part, std::move(attempt));
  }
  unwinding_.clear();
  for (const HeldThread& thread : world.threads()) {
    for (const Part& part : parts_) {
      std::uintptr_t up_to = StoppedWorld::kAllCounts;
      absl::Status status = Call(part, [&]() -> absl::Status {
        up_to = part.mechanism->UnwindsUpTo(thread.thread);
        return absl::OkStatus();
      });
      if (!status.ok()) {
        const AuthorsCode its_error;
        failure_->part = &part;
        failure_->attempt = Attempt::Failed(std::move(status));
        return Verdict::kFailed;
      }
      if (up_to == StoppedWorld::kAllCounts) continue;
      const std::uintptr_t before = CountsFrom(thread.thread);
      if (before != StoppedWorld::kAllCounts &&
          std::min(before, up_to) != StoppedWorld::kNothingCounts) {
        // It would go on in one of them, through frames of the other.
        const AuthorsCode its_error;
        failure_->part = &part;
        failure_->attempt = Attempt::Failed(absl::InvalidArgumentError(
            absl::StrCat("thread '", thread.thread.name(),
                         "' has another part of the update already that "
                         "replaces its activation or reboots it: an update can "
                         "do one of these to a thread")));
        return Verdict::kFailed;
      }
      // Without memory for it, it is looked at.
      static_cast<void>(
          unwinding_.Add(Unwinding{&*thread.thread.record(), up_to}));
    }
  }
  return not_yet_.empty() ? Verdict::kDone : Verdict::kNotYet;
}

Attempt Transition::Change(const Part& part, Direction direction,
                           const StoppedWorld& world) {
  return Call(part, [&] {
    return direction == Direction::kApply ? part.mechanism->Apply(world)
                                          : part.mechanism->Undo(world);
  });
}

Attempt Transition::RollBack(const Part& part, Direction direction,
                             const StoppedWorld& world) {
  return Call(part, [&] { return part.mechanism->RollBack(world, direction); });
}

Transition::Verdict Transition::ChangeAll(Direction direction,
                                          const StoppedWorld& world) {
  const bool applies = direction == Direction::kApply;
  const std::size_t count = parts_.size();
  const auto part_at = [&](std::size_t i) -> const Part& {
    return parts_[applies ? i : count - 1 - i];
  };
  for (std::size_t i = 0; i < count; ++i) {
    Attempt attempt = Change(part_at(i), direction, world);
    if (attempt.is_done() && !threads_were_released()) continue;
    // What they answered is kept, and freed when the threads run.
    failure_->part = &part_at(i);
    failure_->attempt = std::move(attempt);
    // The threads run: whatever is done now could be done under them.
    is_broken_ = threads_were_released();
    while (i-- > 0 && !threads_were_released()) {
      const Part& before = part_at(i);
      Attempt rolled_back = RollBack(before, direction, world);
      if (rolled_back.is_done()) continue;
      is_broken_ |= !applies || !absl::IsUnimplemented(rolled_back.status());
      failure_->not_rolled_back.emplace_back(&before, std::move(rolled_back));
    }
    if (!failure_->attempt.is_not_yet() || !failure_->not_rolled_back.empty()) {
      return Verdict::kFailed;
    }
    not_yet_.emplace_back(failure_->part, std::move(failure_->attempt));
    return Verdict::kNotYet;
  }
  return Verdict::kDone;
}

// --- When they run again.

absl::Status Transition::Explain(Direction direction) const {
  absl::Status result =
      In(failure_->part->mechanism->name(), ErrorOf(failure_->attempt));
  for (const auto& [part, attempt] : failure_->not_rolled_back) {
    const std::string name = part->mechanism->name();
    if (direction == Direction::kApply &&
        absl::IsUnimplemented(attempt.status())) {
      result = absl::Status(
          result.code(),
          absl::StrCat(result.message(), "; what the ", name,
                       " did stays in effect: it has nothing that undoes it"));
      continue;
    }
    result = absl::DataLossError(
        absl::StrCat(result.message(),
                     direction == Direction::kUndo
                         ? "; and what had been undone could not be put back: "
                         : "; and what had been done could not be taken back: ",
                     In(name, ErrorOf(attempt)).message()));
  }
  return result;
}

void Transition::Explain(Obstacles& obstacles) const {
  for (const auto& [part, attempt] : not_yet_) {
    std::vector<Blocker> own;
    const Mechanism& mechanism = *part->mechanism;
    TellUnheld(*part, "Blockers()", [&] {
      own = mechanism.Blockers();
    }).IgnoreError();
    if (own.empty()) own.emplace_back().reason = attempt.reason();
    for (Blocker& blocker : own) {
      blocker.reason = absl::StrCat(mechanism.name(), ": ", blocker.reason);
      obstacles.Add(std::move(blocker));
    }
  }
}

std::vector<std::chrono::nanoseconds> Transition::HoldTimes() const {
  if (last_world_ == nullptr) return {};
  return last_world_->HoldTimes();
}

std::size_t Transition::stopped_by_signal() const {
  return last_world_ == nullptr ? 0 : last_world_->stopped_by_signal();
}

std::chrono::nanoseconds Transition::stopping_for() const {
  return last_world_ == nullptr ? std::chrono::nanoseconds(0)
                                : last_world_->stopping_for();
}

}  // namespace updates_internal
}  // namespace instar

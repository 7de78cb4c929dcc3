// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/transition.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/at_fork.h"
#include "base/check.h"
#include "base/error_text.h"
#include "base/linux/deadline.h"
#include "base/no_allocation.h"
#include "base/status_macros.h"
#include "updates/internal/author_calls.h"
#include "updates/mechanisms/internal/background_work.h"
#include "updates/quiescence/look.h"

namespace instar {
namespace updates_internal {
namespace {

// How long an attempt waits until nothing is converted in the background, and
// one that others wait for.
constexpr std::chrono::milliseconds kPortionLimit(500);
constexpr std::chrono::milliseconds kShortLimit(10);

absl::Status In(const std::string& name, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(name, ": ", status.message()));
}

// Of one that is not done.
absl::Status ErrorOf(const Attempt& attempt) {
  return attempt.is_not_yet()
             ? absl::UnavailableError(
                   absl::StrCat("it is not possible now: ", attempt.reason()))
             : WithText(attempt.status());
}

}  // namespace

bool Transition::Part::RunsAuthors() const {
  return built_in == nullptr ||
         built_in->authors() != BuiltInMechanism::Authors::kNothing;
}
bool Transition::Part::IsAuthors() const {
  return built_in == nullptr ||
         built_in->authors() == BuiltInMechanism::Authors::kAlways;
}

Transition::Transition(std::vector<std::shared_ptr<Mechanism>> mechanisms) {
  for (std::shared_ptr<Mechanism>& mechanism : mechanisms) {
    INSTAR_CHECK(mechanism != nullptr) << "a mechanism is an object";
    auto* const built_in = dynamic_cast<BuiltInMechanism*>(&*mechanism);
    parts_.push_back(Part{std::move(mechanism), built_in, {}});
  }
}
Transition::~Transition() { EndWatch(); }

// --- The watch.

absl::Status Transition::StartWatch(WatchOptions options) {
  if (watch_ != nullptr) {
    if (watch_generation_ == ForkGeneration()) return absl::OkStatus();
    EndWatch();
  }
  bool is_needed = options.in_any_case;
  for (Part& part : parts_) {
    is_needed |= options.for_questions ? part.IsAuthors() : part.RunsAuthors();
  }
  if (!is_needed) return absl::OkStatus();
  auto watch = std::make_shared<AuthorWatch>(
      options.until, std::move(options.is_cancelled), options.at_least);
  INSTAR_RETURN_IF_ERROR(watch->Start());
  for (const Part& part : parts_) {
    if (part.built_in != nullptr) part.built_in->WatchBy(&watch->conversion());
  }
  watch_generation_ = ForkGeneration();
  std::lock_guard<std::mutex> lock(lock_);
  watch_ = std::move(watch);
  return absl::OkStatus();
}

void Transition::EndWatch() {
  if (watch_ == nullptr) return;
  for (const Part& part : parts_) {
    if (part.built_in != nullptr) part.built_in->WatchBy(nullptr);
  }
  std::shared_ptr<AuthorWatch> watch;  // ends when the lock is free
  std::lock_guard<std::mutex> lock(lock_);
  watch = std::move(watch_);
  if (watch_generation_ == ForkGeneration()) return;
  // In a child of fork() its thread is not there to be joined: it is left as it
  // is, for good.
  static_cast<void>(new std::shared_ptr<AuthorWatch>(std::move(watch)));
}

std::shared_ptr<AuthorWatch> Transition::watch() const {
  std::lock_guard<std::mutex> lock(lock_);
  return watch_;
}

const char* Transition::TextOf(Effect effect) {
  switch (effect) {
    case Effect::kNone:
      return "nothing was changed";
    case Effect::kApplied:
      return "the update has taken effect";
    case Effect::kUndone:
      return "the update has been undone";
    case Effect::kUnknown:
      break;
  }
  return "the state of the program is unknown";
}

absl::Status Transition::CallUnheld(
    const std::string& what, absl::FunctionRef<absl::Status()> function) const {
  if (watch_ == nullptr) return CallAuthor(function);
  absl::Status status = watch_->Call(what, function);
  if (!watch_->gave_up()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), "; ", TextOf(effect())));
}

absl::Status Transition::CallUnheld(
    const Part& part, const char* what,
    absl::FunctionRef<absl::Status()> function) const {
  if (watch_ == nullptr || !part.IsAuthors()) {
    const absl::Status status = CallAuthor(function);
    return status.ok() ? status : In(part.mechanism->name(), status);
  }
  const absl::Status status =
      CallUnheld(absl::StrCat(what, " of ", part.mechanism->name()), function);
  return status.ok() || watch_->gave_up() ? status
                                          : In(part.mechanism->name(), status);
}

// Of what answers nothing: an exception is said on standard error. An error is
// that it has been given up.
absl::Status Transition::TellUnheld(const Part& part, const char* what,
                                    absl::FunctionRef<void()> function) const {
  absl::Status status = CallUnheld(part, what, [&] {
    function();
    return absl::OkStatus();
  });
  if (status.ok() || (watch_ != nullptr && watch_->gave_up())) return status;
  const std::string message = absl::StrCat("instar: ", status.message(), "\n");
  std::fwrite(message.data(), 1, message.size(), stderr);
  return absl::OkStatus();
}

// --- While threads run.

absl::Status Transition::Prepare(UpdateForecast& forecast) {
  for (const Part& part : parts_) {
    forecast.steps.push_back(part.mechanism->name());
    INSTAR_RETURN_IF_ERROR(CallUnheld(
        part, "Prepare()", [&] { return part.mechanism->Prepare(forecast); }));
  }
  return FindCode(/*thorough=*/false);
}

absl::Status Transition::CanUndo() const {
  for (const Part& part : parts_) {
    const auto ask = [&] { return part.mechanism->CanUndo(); };
    INSTAR_RETURN_IF_ERROR(
        part.IsAuthors()
            ? CallUnheld(absl::StrCat("CanUndo() of ", part.mechanism->name()),
                         ask)
            : CallAuthor(ask));
  }
  return absl::OkStatus();
}

std::vector<std::string> Transition::LostByUndo() const {
  std::vector<std::string> all;
  for (const Part& part : parts_) {
    const std::string name = part.mechanism->name();
    std::vector<std::string> lost;
    const auto ask = [&] {
      lost = part.mechanism->LostByUndo();
      return absl::OkStatus();
    };
    const absl::Status asked =
        part.IsAuthors()
            ? CallUnheld(absl::StrCat("LostByUndo() of ", name), ask)
            : CallAuthor(ask);
    if (!asked.ok()) {
      lost.push_back(absl::StrCat("it is not known what: ", asked.message()));
    }
    for (const std::string& each : lost) {
      all.push_back(absl::StrCat(name, ": ", each));
    }
  }
  return all;
}

std::vector<ThreadRef> Transition::StartedThreads() const {
  std::vector<ThreadRef> started;
  for (const Part& part : parts_) {
    for (ThreadRef& thread : part.mechanism->StartedThreads()) {
      started.push_back(std::move(thread));
    }
  }
  return started;
}

BuiltInMechanism::Progress Transition::progress() const {
  BuiltInMechanism::Progress sum;
  for (const Part& part : parts_) {
    if (part.built_in == nullptr) continue;
    const BuiltInMechanism::Progress own = part.built_in->progress();
    sum.converted += own.converted;
    sum.total += own.total;
    sum.is_converting |= own.is_converting;
  }
  return sum;
}

absl::Status Transition::BeginAttempts() {
  for (const Part& part : parts_) {
    if (part.built_in == nullptr) continue;
    const absl::Status status = part.built_in->BeginAttempts();
    if (!status.ok()) return In(part.mechanism->name(), status);
  }
  return absl::OkStatus();
}

void Transition::EndAttempts() {
  for (const Part& part : parts_) {
    if (part.built_in != nullptr) part.built_in->EndAttempts();
  }
}

absl::Status Transition::Functions::Watch(std::vector<Function> wanted,
                                          bool ignore_unknown_copies) {
  if (watched != nullptr && wanted == functions && version->IsCurrent()) {
    return absl::OkStatus();
  }
  // Before anything is looked up: what changes meanwhile is seen next time.
  const CodeVersion looked_up_at;
  WatchedFunctions::Options options;
  options.ignore_unknown_copies = ignore_unknown_copies;
  INSTAR_ASSIGN_OR_RETURN(WatchedFunctions made,
                          WatchedFunctions::Make(wanted, options));
  watched = std::make_shared<WatchedFunctions>(std::move(made));
  version = looked_up_at;
  functions = std::move(wanted);
  return absl::OkStatus();
}

absl::Status Transition::FindCode(bool thorough) {
  std::vector<Function> redefined, others;
  watched_.clear();
  for (const Part& part : parts_) {
    std::vector<Function>& functions =
        part.built_in == nullptr ? others : redefined;
    const auto ask = [&]() -> absl::Status {
      INSTAR_ASSIGN_OR_RETURN(QuiescentCode own,
                              part.mechanism->MustBeQuiescent(thorough));
      functions.insert(functions.end(), own.functions.begin(),
                       own.functions.end());
      for (auto& set : own.sets) watched_.push_back(std::move(set));
      return absl::OkStatus();
    };
    INSTAR_RETURN_IF_ERROR(
        CallUnheld(part, "what says which functions must not be active", ask));
  }
  INSTAR_RETURN_IF_ERROR(redefined_.Watch(std::move(redefined),
                                          /*ignore_unknown_copies=*/true));
  watched_.push_back(redefined_.watched);
  if (others.empty()) return absl::OkStatus();
  INSTAR_RETURN_IF_ERROR(
      others_.Watch(std::move(others), /*ignore_unknown_copies=*/false));
  watched_.push_back(others_.watched);
  return absl::OkStatus();
}

PointAllows Transition::NeedsOf(const ThreadRef& thread) const {
  PointAllows most = PointAllows::kHold;
  for (const Part& part : parts_) {
    most = std::max(most, part.built_in == nullptr
                              ? PointAllows::kMemory
                              : part.built_in->NeedsOf(thread));
  }
  return most;
}

absl::Status Transition::BeforeStop() {
  for (Part& part : parts_) {
    part.authors_part = part.built_in == nullptr ? part.mechanism->name()
                                                 : part.built_in->AuthorsPart();
    INSTAR_RETURN_IF_ERROR(CallUnheld(
        part, "BeforeStop()", [&] { return part.mechanism->BeforeStop(); }));
  }
  not_yet_.clear();
  not_yet_.reserve(parts_.size());
  failure_.reset();
  failure_.emplace(Failure());
  failure_->not_rolled_back.reserve(parts_.size());
  return absl::OkStatus();
}

void Transition::AfterStop(AttemptResult result) {
  for (const Part& part : parts_) {
    TellUnheld(part, "AfterStop()", [&] {
      part.mechanism->AfterStop(result);
    }).IgnoreError();
  }
}

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
    if (retries != nullptr) retries->NoteOther();
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
  options.stop.needs = [this](const ThreadRef& thread) {
    return NeedsOf(thread);
  };
  locks_are_free_ = !options.stop.point.empty();
  auto world = std::make_unique<StoppedWorld>(std::move(options.stop));
  Verdict verdict = Verdict::kNotYet;
  bool is_cancelled = false;
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
      if (!is_cancelled) verdict = ChangeAll(direction, *world);
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
    effect_.store(
        direction == Direction::kApply ? Effect::kApplied : Effect::kUndone,
        std::memory_order_relaxed);
    last_world_ = std::move(world);
  } else if (verdict == Verdict::kFailed &&
             (is_broken_ || !failure_->not_rolled_back.empty())) {
    effect_.store(Effect::kUnknown, std::memory_order_relaxed);
  }
  absl::Status error;
  if (verdict == Verdict::kFailed) error = Explain(direction);
  if (verdict == Verdict::kNotYet) {
    Explain(obstacles);
    if (retries != nullptr) retries->Note(*world, obstacles);
  }
  // Whatever was begun when the threads were released under it stays so.
  if (!threads_were_released() || !is_broken_) {
    AfterStop(took_effect ? AttemptResult::kTookEffect
                          : AttemptResult::kNothing);
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
  const AuthorsPart authors_part(locks_are_free_ ? nullptr
                                                 : part.authors_part.c_str());
  if (!part.RunsAuthors()) return CallAuthor(function);
  const auto call = [&] {
    std::optional<AuthorsCode> its_own;
    if (part.built_in == nullptr) its_own.emplace();
    return function();
  };
  if (watch_ == nullptr) return CallAuthor(call);
  return watch_->Call(*world_, part.authors_part, call);
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
      bool ends = false;
      absl::Status status = Call(part, [&]() -> absl::Status {
        ends = part.mechanism->EndsFunctionOf(thread.thread);
        return absl::OkStatus();
      });
      if (!status.ok()) {
        const AuthorsCode its_error;
        failure_->part = &part;
        failure_->attempt = Attempt::Failed(std::move(status));
        return Verdict::kFailed;
      }
      const std::uintptr_t up_to =
          ends                       ? StoppedWorld::kNothingCounts
          : part.built_in != nullptr ? part.built_in->UnwindsUpTo(thread.thread)
                                     : StoppedWorld::kAllCounts;
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

Transition::Verdict Transition::ChangeAll(Direction direction,
                                          const StoppedWorld& world) {
  const bool applies = direction == Direction::kApply;
  const Direction back = applies ? Direction::kUndo : Direction::kApply;
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
      Attempt rolled_back = Change(before, back, world);
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

}  // namespace updates_internal
}  // namespace instar

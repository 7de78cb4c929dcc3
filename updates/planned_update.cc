// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/planned_update.h"

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/error_text.h"
#include "base/linux/deadline.h"
#include "base/linux/mapped_array.h"
#include "base/linux/tasks.h"
#include "base/no_allocation.h"
#include "base/status_macros.h"
#include "stack/activity.h"
#include "stack/interrupted_thread.h"
#include "stack/stack_snapshot.h"
#include "updates/author_calls.h"
#include "updates/background_work.h"
#include "updates/quiescence/own_stacks.h"
#include "updates/quiescence/pacing.h"

namespace instar {
namespace updates_internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// For how long a rendezvous waits for its threads, while those that have come
// stand still. Grows where several are late: they have to meet.
constexpr nanoseconds kLastLimit = milliseconds(160);
Pacing::Options PacingOfPlans() {
  Pacing::Options options;
  options.last_limit = kLastLimit;
  return options;
}
// At least one attempt is a fair one.
constexpr nanoseconds kFairLimit = milliseconds(10);
// One thread that comes late is waited for alone: for how long, how often
// before all are asked again, and the pause in between, in which others may
// hold threads.
constexpr nanoseconds kAloneLimit = milliseconds(50);
constexpr int kTimesAlone = 10;
constexpr nanoseconds kAlonePause = milliseconds(10);
// How long an attempt waits until nothing is converted in the background.
constexpr nanoseconds kPortionLimit = milliseconds(500);
// How often requirements are asked again.
constexpr nanoseconds kAskAgain = milliseconds(4);
// A rehearsal asks one thread after the other: for how long each is waited for,
// and all of them.
constexpr nanoseconds kRehearsalLimit = milliseconds(100);
constexpr nanoseconds kRehearsalOfAll = std::chrono::seconds(2);
// To see where others are: how long a signal may take, and what of a stack is
// looked at.
constexpr nanoseconds kSignalLimit = milliseconds(5);
constexpr std::size_t kCopiedStack = 256 << 10;
// What the author's code may take of that, before threads are released.
constexpr nanoseconds kRehearsedCode = std::chrono::seconds(2);

const ConversionPlanStep* AsConversion(const PlanStep& step) {
  return dynamic_cast<const ConversionPlanStep*>(&step);
}
// Whether code of the plan's author runs when the step is applied or undone. Of
// a conversion that is Convert(), and constructors.
bool RunsAuthors(const PlanStep& step) {
  return dynamic_cast<const RedefinitionStep*>(&step) == nullptr;
}
// Whether it runs also when the step is asked.
bool IsAuthors(const PlanStep& step) {
  return RunsAuthors(step) && AsConversion(step) == nullptr;
}
// What is said to run then.
std::string CodeOf(const PlanStep& step) {
  const ConversionPlanStep* const conversion = AsConversion(step);
  return conversion == nullptr
             ? step.name()
             : absl::StrCat("Convert() of ", conversion->change());
}
// Of those: what is the library's own, and says where the author's code runs.
bool CallsAuthorItself(const PlanStep& step) {
  return dynamic_cast<const RebootStep*>(&step) != nullptr ||
         dynamic_cast<const StartStep*>(&step) != nullptr ||
         AsConversion(step) != nullptr;
}
const std::string& NameOf(const ThreadRef& thread) { return thread.name(); }
const std::string& NameOf(const HeldThread& held) { return held.thread.name(); }

// Whether it is about threads that are not among these.
template <typename Threads>
bool IsForNoneOf(const PlanStep& step, const Threads& threads) {
  const auto* const reboot = dynamic_cast<const RebootStep*>(&step);
  if (reboot == nullptr) return false;
  for (const auto& thread : threads) {
    if (NameOf(thread) == reboot->thread_name()) return false;
  }
  return true;
}

absl::Status InStep(const PlanStep& step, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(step.name(), ": ", status.message()));
}

}  // namespace

struct PlannedUpdate::Look {
  // A function on a stack.
  struct Found {
    // None: the thread that asks. It is one of the rendezvous, which lives for
    // as long as this.
    const ThreadRef* thread = nullptr;
    const WatchedFunctions* watched = nullptr;  // which set it is of
    Activity activity;
  };

  bool is_safe() const {
    return steps.empty() && found.empty() && has_memory && !is_too_deep;
  }

  std::vector<MissingThread> missing;
  MappedArray<Found> found;
  bool has_memory = true;    // for that
  bool is_too_deep = false;  // the stack of the thread that asks
  std::vector<std::pair<const PlanStep*, Attempt>> steps;  // not yet
  Failure failure;
  std::vector<std::string> others;
  // Asked first, alone.
  std::optional<ThreadRef> first;
  // From when to when threads stood still, if any did.
  std::optional<Clock::time_point> stopped;
  Clock::time_point released;
  std::optional<Rendezvous> held;  // released
};

PlannedUpdate::PlannedUpdate(Parts parts)
    : parts_(std::move(parts)), run_(parts_.name) {}
PlannedUpdate::~PlannedUpdate() = default;

// --- While the program runs.

absl::Status PlannedUpdate::PrepareSteps(UpdateForecast& forecast) {
  for (const auto& step : parts_.steps) {
    forecast.steps.push_back(step->name());
    INSTAR_RETURN_IF_ERROR(CallUnheld(*step, "Prepare()",
                                      [&] { return step->Prepare(forecast); }));
  }
  return FindCode(/*thorough=*/false);
}

absl::Status PlannedUpdate::FindCode(bool thorough) {
  std::vector<Function> functions;
  watched_.clear();
  for (const auto& step : parts_.steps) {
    const auto ask = [&]() -> absl::Status {
      INSTAR_ASSIGN_OR_RETURN(const std::vector<Function> own,
                              step->QuiescentFunctions());
      functions.insert(functions.end(), own.begin(), own.end());
      INSTAR_ASSIGN_OR_RETURN(auto code, step->QuiescentCode(thorough));
      if (code != nullptr) watched_.push_back(std::move(code));
      return absl::OkStatus();
    };
    INSTAR_RETURN_IF_ERROR(
        CallUnheld(*step, "what says which functions must not be active", ask));
  }
  if (watched_functions_ == nullptr || functions != functions_ ||
      !code_version_->IsCurrent()) {
    // Before anything is looked up: what changes meanwhile is seen next time.
    code_version_.emplace();
    WatchedFunctions::Options options;
    options.ignore_unknown_copies = true;  // Redirection::Prepare() asked
    INSTAR_ASSIGN_OR_RETURN(WatchedFunctions watched,
                            WatchedFunctions::Make(functions, options));
    watched_functions_ = std::make_shared<WatchedFunctions>(std::move(watched));
    functions_ = std::move(functions);
  }
  watched_.push_back(watched_functions_);
  return absl::OkStatus();
}

absl::StatusOr<UpdateForecast> PlannedUpdate::Prepare() {
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared));
  UpdateForecast forecast;
  absl::Status status = PrepareSteps(forecast);
  if (status.ok()) {
    absl::StatusOr<std::vector<std::string>> unmet = AskRequirements();
    status = unmet.status();
    if (unmet.ok()) {
      for (std::string& reason : *unmet) {
        forecast.obstacles.push_back(std::move(reason));
      }
    }
  }
  run_.End(status.ok() ? UpdatePhase::kPrepared : UpdatePhase::kNew);
  if (!status.ok()) return status;
  return forecast;
}

absl::StatusOr<std::vector<std::string>> PlannedUpdate::AskRequirements()
    const {
  std::vector<std::string> unmet;
  for (const auto& requirement : parts_.requirements) {
    Attempt attempt = Attempt::Done();
    const absl::Status status = CallUnheld("a requirement", [&] {
      attempt = TryAuthor(requirement);
      return absl::OkStatus();
    });
    if (!status.ok()) return status;  // given up
    if (attempt.is_failed()) {
      return absl::FailedPreconditionError(attempt.reason());
    }
    if (attempt.is_not_yet()) unmet.push_back(attempt.reason());
  }
  return unmet;
}

Attempt PlannedUpdate::Requirements() {
  const absl::StatusOr<std::vector<std::string>> unmet = AskRequirements();
  if (!unmet.ok()) return Attempt::Failed(unmet.status());
  if (unmet->empty()) return Attempt::Done();
  return Attempt::NotYet(absl::StrJoin(*unmet, "; "));
}

absl::StatusOr<std::vector<Blocker>> PlannedUpdate::Rehearse(
    const ApplyOptions& options) {
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared));
  UpdateForecast forecast;
  absl::Status status = PrepareSteps(forecast);
  if (!status.ok()) {
    run_.End(UpdatePhase::kNew);
    return status;
  }
  const absl::Cleanup end = [this] { run_.End(UpdatePhase::kPrepared); };
  INSTAR_ASSIGN_OR_RETURN(std::vector<std::string> unmet, AskRequirements());
  Look look;
  look.others = std::move(unmet);
  if (!look.others.empty() || options.without_stacks) return Explain(look);
  INSTAR_RETURN_IF_ERROR(
      StartWatch(DeadlineAfter(kRehearsedCode), &IsAuthors, options));
  const absl::Cleanup end_watch = [this] { EndWatch(); };
  bool is_active = false;
  std::vector<Blocker> blockers;
  INSTAR_RETURN_IF_ERROR(
      AskEach(options, /*thorough=*/false, blockers, is_active));
  if (is_active) {  // in functions that may not all have been known
    blockers.clear();
    INSTAR_RETURN_IF_ERROR(
        AskEach(options, /*thorough=*/true, blockers, is_active));
  }
  return blockers;
}

absl::Status PlannedUpdate::AskEach(const ApplyOptions& options, bool thorough,
                                    std::vector<Blocker>& blockers,
                                    bool& is_active) {
  INSTAR_RETURN_IF_ERROR(FindCode(thorough));
  const auto add = [&](const Look& look) {
    is_active |= !look.found.empty();
    for (Blocker& blocker : Explain(look)) {
      const bool is_known =
          std::any_of(blockers.begin(), blockers.end(), [&](const Blocker& b) {
            return b.tid == blocker.tid && b.reason == blocker.reason;
          });
      if (!is_known) blockers.push_back(std::move(blocker));
    }
  };
  INSTAR_ASSIGN_OR_RETURN(
      std::vector<ThreadRef> threads,
      ThreadsOf(Direction::kRehearse, options, /*all=*/ControlledThreads()));
  const Clock::time_point until = DeadlineAfter(kRehearsalOfAll);
  for (const ThreadRef& thread : threads) {
    Look look;
    std::string why_not;
    const std::optional<BackgroundPause> pause =
        BackgroundPause::Until(DeadlineAfter(kPortionLimit), &why_not);
    if (!pause.has_value()) {
      look.others.push_back(std::move(why_not));
      add(look);
      break;
    }
    INSTAR_RETURN_IF_ERROR(MakeRoom(look));
    RendezvousOptions hold_options;
    hold_options.limit = std::clamp<nanoseconds>(
        until - Clock::now(), milliseconds(1),
        std::max(kFairLimit, std::min(options.timeout, kRehearsalLimit)));
    hold_options.point = parts_.point;
    hold_options.missing = &look.missing;
    absl::StatusOr<Rendezvous> rendezvous =
        Rendezvous::Hold({thread}, std::move(hold_options));
    if (!rendezvous.ok()) {
      if (!absl::IsDeadlineExceeded(rendezvous.status())) {
        return rendezvous.status();
      }
      if (look.missing.empty()) {
        look.others.emplace_back(rendezvous.status().message());
      }
      add(look);
      continue;
    }
    rendezvous_ = &*rendezvous;
    const Verdict verdict = AskSteps(Direction::kRehearse, *rendezvous, look);
    rendezvous->Release();
    rendezvous_ = nullptr;
    if (verdict == Verdict::kFailed) {
      return Explain(look.failure, Direction::kRehearse);
    }
    add(look);
  }
  if (options.remarks != nullptr) {
    options.remarks->clear();
    LookAtOthers(threads, *options.remarks);
  }
  Look look;
  INSTAR_RETURN_IF_ERROR(MakeRoom(look));
  LookAtOwn(look);
  for (const auto& step : parts_.steps) {
    // What no thread was there to be asked for.
    if (!threads.empty() && !IsForNoneOf(*step, threads)) continue;
    Attempt attempt = Attempt::Done();
    INSTAR_RETURN_IF_ERROR(CallUnheld(*step, "Ready()", [&] {
      attempt = step->Ready({});
      return attempt.status();
    }));
    if (attempt.is_not_yet()) look.steps.push_back({step.get(), attempt});
  }
  add(look);
  return absl::OkStatus();
}

void PlannedUpdate::LookAtOthers(absl::Span<const ThreadRef> threads,
                                 std::vector<std::string>& remarks) const {
  std::vector<pid_t> known = {static_cast<pid_t>(syscall(SYS_gettid))};
  for (const ThreadRef& thread : threads) known.push_back(thread.tid());
  std::vector<pid_t> others;
  VisitTasks([&](pid_t tid) {
    if (std::find(known.begin(), known.end(), tid) == known.end()) {
      others.push_back(tid);
    }
    return true;
  });
  const Clock::time_point until = DeadlineAfter(kRehearsalOfAll);
  std::vector<char> room(kCopiedStack);
  for (const pid_t tid : others) {
    if (Clock::now() >= until) break;
    const absl::StatusOr<StackSnapshot> copy =
        CopyThread(tid, kSignalLimit, room.data(), room.size());
    if (!copy.ok()) continue;
    for (const auto& watched : watched_) {
      const Activity activity = watched->FindOn(*copy);
      if (activity.kind != ActivityKind::kActive) continue;
      remarks.push_back(absl::StrCat(
          "thread ", tid, " is not registered, and is not waited for: ",
          watched->Describe(activity),
          "; it goes on in the old version until it returns from there"));
      break;
    }
  }
}

absl::Status PlannedUpdate::Apply(const ApplyOptions& options) {
  const UpdatePhase before = run_.phase();
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kPrepared));
  const Clock::time_point until = DeadlineAfter(run_.begin(), options.timeout);
  absl::Status status = StartWatch(until, &RunsAuthors, options);
  const absl::Cleanup end_watch = [this] { EndWatch(); };
  if (!status.ok()) {
    run_.End(before);
    return status;
  }
  // Also if it was prepared: the program has gone on meanwhile.
  UpdateForecast forecast;
  status = PrepareSteps(forecast);
  if (!status.ok()) {
    run_.End(UpdatePhase::kNew);
    return status;
  }
  status = Run(Direction::kApply, options, until);
  if (status.ok() && options.remarks != nullptr) {
    *options.remarks = std::move(forecast.warnings);
    const absl::StatusOr<std::vector<ThreadRef>> threads =
        ThreadsOf(Direction::kApply, options, ControlledThreads());
    if (threads.ok()) LookAtOthers(*threads, *options.remarks);
  }
  run_.End(status.ok()  ? UpdatePhase::kApplied
           : is_broken_ ? UpdatePhase::kBroken
                        : UpdatePhase::kPrepared);
  return status;
}

absl::Status PlannedUpdate::CanUndo() const {
  if (run_.phase() != UpdatePhase::kApplied) {
    return absl::FailedPreconditionError(
        absl::StrCat("update '", name(), "' is not applied"));
  }
  return AskCanUndo();
}

absl::Status PlannedUpdate::AskCanUndo() const {
  for (const auto& step : parts_.steps) {
    const absl::Status status =
        IsAuthors(*step)
            ? CallUnheld(absl::StrCat("CanUndo() of ", step->name()),
                         [&] { return step->CanUndo(); })
            : CallAuthor([&] { return step->CanUndo(); });
    if (!status.ok()) {
      return absl::Status(status.code(), absl::StrCat("update '", name(),
                                                      "' cannot be undone: ",
                                                      status.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status PlannedUpdate::Undo(const ApplyOptions& options) {
  if (run_.phase() != UpdatePhase::kApplied) return CanUndo();
  INSTAR_RETURN_IF_ERROR(Begin(UpdatePhase::kApplied));
  const Clock::time_point until = DeadlineAfter(run_.begin(), options.timeout);
  absl::Status status = StartWatch(until, &RunsAuthors, options);
  const absl::Cleanup end_watch = [this] { EndWatch(); };
  if (status.ok()) status = AskCanUndo();
  if (status.ok()) status = Run(Direction::kUndo, options, until);
  run_.End(status.ok()  ? UpdatePhase::kPrepared
           : is_broken_ ? UpdatePhase::kBroken
                        : UpdatePhase::kApplied);
  return status;
}

std::vector<ThreadRef> PlannedUpdate::StartedThreads() const {
  std::vector<ThreadRef> started;
  for (const auto& step : parts_.steps) {
    for (ThreadRef& thread : step->StartedThreads()) {
      started.push_back(std::move(thread));
    }
  }
  return started;
}

absl::Status PlannedUpdate::Run(Direction direction,
                                const ApplyOptions& options,
                                Clock::time_point until) {
  const absl::Cleanup settle = [this] {
    for (const auto& step : parts_.steps) {
      TellUnheld(*step, "Settle()", [&] { step->Settle(); }).IgnoreError();
    }
  };
  for (const auto& step : parts_.steps) {
    INSTAR_RETURN_IF_ERROR(
        CallUnheld(*step, "Stage()", [&] { return step->Stage(); }));
  }
  Pacing pacing(PacingOfPlans());
  std::vector<MissingThread> late;  // when all were last asked
  std::size_t alone = 0;            // attempts with one of them asked first
  bool is_first = true;
  while (true) {
    if (run_.is_cancelled())
      return absl::CancelledError("the update was cancelled");
    run_.Enter(UpdatePhase::kWaiting);
    Look look;
    if (alone < kTimesAlone) look.first = NextToAsk(late, alone);
    const nanoseconds left =
        std::max<nanoseconds>(until - Clock::now(), kFairLimit);
    const Attempt attempt = TryOnce(
        direction, options, std::min(pacing.limit(), left), !is_first, look);
    is_first = false;
    run_.CountAttempts(1);
    if (attempt.is_done()) {
      SetBlockers({});
      return absl::OkStatus();
    }
    run_.Enter(UpdatePhase::kWaiting);
    if (attempt.is_failed()) return attempt.status();
    Clock::time_point next = Clock::now() + kAlonePause;
    if (!look.first.has_value() || look.stopped.has_value()) {
      // All were asked.
      late = look.missing;
      alone = 0;
      // One that is late is waited for alone.
      const bool must_meet = late.size() > 1 || look.first.has_value();
      if (look.stopped.has_value()) {
        pacing.Note(*look.stopped, look.released, !late.empty() && must_meet);
        next = pacing.next();
      } else {
        next = Clock::now() + kAskAgain;
      }
    } else {
      // It has not come; of the others is known what was known.
      look.missing = late;
      if (++alone == kTimesAlone) next = std::max(next, pacing.next());
    }
    SetBlockers(Explain(look));
    run_.WaitUntil(std::min(until, next));
    if (!run_.is_cancelled() && Clock::now() >= until) {
      return run_.TimeIsUp(direction == Direction::kUndo
                               ? UpdateDirection::kUndo
                               : UpdateDirection::kApply,
                           Progress());
    }
  }
}

std::optional<ThreadRef> PlannedUpdate::NextToAsk(
    const std::vector<MissingThread>& late, std::size_t attempt) {
  for (std::size_t i = 0; i < late.size(); ++i) {
    const ThreadRef& thread = late[(attempt + i) % late.size()].thread;
    // The entries of all functions would have to be intercepted meanwhile.
    if (thread.kind() == ThreadKind::kPassive) return thread;
  }
  return std::nullopt;
}

absl::Status PlannedUpdate::StartWatch(Clock::time_point until,
                                       bool (*is_watched)(const PlanStep&),
                                       const ApplyOptions& options) {
  if (parts_.requirements.empty() && options.threads == nullptr &&
      std::none_of(parts_.steps.begin(), parts_.steps.end(),
                   [&](const auto& step) { return is_watched(*step); })) {
    return absl::OkStatus();
  }
  names_.clear();
  for (const auto& step : parts_.steps) names_.push_back(CodeOf(*step));
  auto watch = std::make_shared<AuthorWatch>(
      until, [this] { return run_.is_cancelled(); });
  INSTAR_RETURN_IF_ERROR(watch->Start());
  for (const ConversionPlanStep* conversion : parts_.conversions) {
    conversion->WatchBy(&watch->conversion());
  }
  std::lock_guard<std::mutex> lock(lock_);
  watch_ = std::move(watch);
  return absl::OkStatus();
}

void PlannedUpdate::EndWatch() {
  for (const ConversionPlanStep* conversion : parts_.conversions) {
    conversion->WatchBy(nullptr);
  }
  std::shared_ptr<AuthorWatch> watch;  // ends when the lock is free
  std::lock_guard<std::mutex> lock(lock_);
  watch = std::move(watch_);
}

absl::StatusOr<std::vector<ThreadRef>> PlannedUpdate::ThreadsOf(
    Direction direction, const ApplyOptions& options,
    std::vector<ThreadRef> all) const {
  if (options.threads == nullptr) return all;
  std::vector<ThreadRef> threads;
  INSTAR_RETURN_IF_ERROR(CallUnheld("what says which threads to hold", [&] {
    threads = options.threads();
    if (direction == Direction::kUndo) {
      for (ThreadRef& thread : StartedThreads()) {
        threads.push_back(std::move(thread));
      }
    }
    return absl::OkStatus();
  }));
  return threads;
}

Attempt PlannedUpdate::TryOnce(Direction direction, const ApplyOptions& options,
                               nanoseconds limit, bool thorough, Look& look) {
  if (direction == Direction::kApply) {
    absl::StatusOr<std::vector<std::string>> unmet = AskRequirements();
    if (!unmet.ok()) return Attempt::Failed(unmet.status());
    look.others = *std::move(unmet);
    if (!look.others.empty()) return Attempt::NotYet("a requirement");
  }
  // Others may have redefined the functions, or loaded objects, since.
  absl::Status status = FindCode(thorough);
  if (!status.ok()) return Attempt::Failed(std::move(status));

  std::string why_not;
  std::optional<BackgroundPause> pause =
      BackgroundPause::Until(DeadlineAfter(kPortionLimit), &why_not);
  if (!pause.has_value()) {
    look.others.push_back(why_not);
    return Attempt::NotYet(std::move(why_not));
  }
  status = MakeRoom(look);
  if (!status.ok()) return Attempt::Failed(std::move(status));
  std::vector<ThreadRef> threads;
  if (options.threads != nullptr) {
    absl::StatusOr<std::vector<ThreadRef>> asked =
        ThreadsOf(direction, options, {});
    if (!asked.ok()) return Attempt::Failed(asked.status());
    threads = *std::move(asked);
  }
  RendezvousOptions hold_options;
  hold_options.limit = limit;
  hold_options.point = parts_.point;
  hold_options.missing = &look.missing;
  hold_options.first = look.first;
  hold_options.first_limit = std::max(limit, kAloneLimit);
  hold_options.asked_all = &look.stopped;
  std::optional<Clock::time_point> released;
  hold_options.released = &released;
  absl::StatusOr<Rendezvous> rendezvous =
      options.threads == nullptr
          ? Rendezvous::HoldAll(std::move(hold_options))
          : Rendezvous::Hold(threads, std::move(hold_options));
  if (!rendezvous.ok()) {
    look.released = released.value_or(Clock::now());
    if (!absl::IsDeadlineExceeded(rendezvous.status())) {
      return Attempt::Failed(rendezvous.status());
    }
    if (look.missing.empty() && !look.first.has_value()) {
      look.others.emplace_back(rendezvous.status().message());
    }
    return Attempt::NotYet("a thread did not come");
  }
  run_.Enter(UpdatePhase::kChanging);
  rendezvous_ = &*rendezvous;
  Verdict verdict = AskSteps(direction, *rendezvous, look);
  if (verdict != Verdict::kFailed) {
    LookAtOwn(look);
    if (!look.is_safe()) verdict = Verdict::kNotYet;
  }
  const bool is_cancelled = verdict == Verdict::kDone && run_.is_cancelled();
  if (verdict == Verdict::kDone && !is_cancelled) {
    const bool ok = direction == Direction::kApply ? ApplySteps(look.failure)
                                                   : UndoSteps(look.failure);
    if (!ok) verdict = Verdict::kFailed;
  }
  rendezvous->Release();
  rendezvous_ = nullptr;
  look.released = Clock::now();
  pause.reset();  // what follows may not return
  look.held = *std::move(rendezvous);
  if (is_cancelled) {
    return Attempt::Failed(absl::CancelledError("the update was cancelled"));
  }
  if (verdict == Verdict::kFailed) {
    if (is_broken_ || !look.failure.not_taken_back.empty()) {
      effect_.store(Effect::kUnknown, std::memory_order_relaxed);
    }
    return Attempt::Failed(Explain(look.failure, direction));
  }
  if (verdict == Verdict::kNotYet) return Attempt::NotYet("it is not safe");
  effect_.store(
      direction == Direction::kApply ? Effect::kApplied : Effect::kUndone,
      std::memory_order_relaxed);
  for (const auto& step : parts_.steps) {
    TellUnheld(*step, "Released()", [&] { step->Released(); }).IgnoreError();
  }
  last_hold_ = std::move(look.held);
  return Attempt::Done();
}

absl::Status PlannedUpdate::MakeRoom(Look& look) const {
  for (const auto& step : parts_.steps) {
    INSTAR_RETURN_IF_ERROR(
        TellUnheld(*step, "BeforeAttempt()", [&] { step->BeforeAttempt(); }));
  }
  look.steps.reserve(parts_.steps.size());
  look.failure.not_taken_back.reserve(parts_.steps.size());
  return absl::OkStatus();
}

absl::Status PlannedUpdate::CallUnheld(
    const std::string& what, absl::FunctionRef<absl::Status()> function) const {
  if (watch_ == nullptr) return CallAuthor(function);
  absl::Status status = watch_->Call(what, function);
  if (!watch_->gave_up()) return status;
  return absl::Status(
      status.code(),
      absl::StrCat(status.message(), "; ",
                   TextOf(effect_.load(std::memory_order_relaxed))));
}

absl::Status PlannedUpdate::CallUnheld(
    const PlanStep& step, const char* what,
    absl::FunctionRef<absl::Status()> function) const {
  if (watch_ == nullptr || !IsAuthors(step)) {
    const absl::Status status = CallAuthor(function);
    return status.ok() ? status : InStep(step, status);
  }
  const absl::Status status =
      CallUnheld(absl::StrCat(what, " of ", step.name()), function);
  return status.ok() || watch_->gave_up() ? status : InStep(step, status);
}

absl::Status PlannedUpdate::TellUnheld(
    const PlanStep& step, const char* what,
    absl::FunctionRef<void()> function) const {
  absl::Status status = CallUnheld(step, what, [&] {
    function();
    return absl::OkStatus();
  });
  if (status.ok() || (watch_ != nullptr && watch_->gave_up())) return status;
  const std::string message = absl::StrCat("instar: ", status.message(), "\n");
  std::fwrite(message.data(), 1, message.size(), stderr);
  return absl::OkStatus();
}

const char* PlannedUpdate::TextOf(Effect effect) {
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

// --- While the threads are held.

absl::Status PlannedUpdate::Call(const PlanStep& step,
                                 absl::FunctionRef<absl::Status()> function) {
  if (!RunsAuthors(step)) return CallAuthor(function);
  const auto call = [&] {
    std::optional<AuthorsCode> its_own;
    if (!CallsAuthorItself(step)) its_own.emplace();
    return function();
  };
  if (watch_ == nullptr) return CallAuthor(call);
  std::size_t i = 0;
  while (&*parts_.steps[i] != &step) ++i;
  return watch_->Call(*rendezvous_, names_[i], call);
}

PlannedUpdate::Verdict PlannedUpdate::AskSteps(Direction direction,
                                               const Rendezvous& rendezvous,
                                               Look& look) {
  const absl::Span<const HeldThread> threads = rendezvous.threads();
  for (const auto& step : parts_.steps) {
    // One thread is asked for at a time then.
    if (direction == Direction::kRehearse && IsForNoneOf(*step, threads)) {
      continue;
    }
    Attempt attempt = Attempt::Done();
    absl::Status status = Call(*step, [&] {
      attempt = direction == Direction::kUndo ? step->ReadyToUndo(threads)
                                              : step->Ready(threads);
      return absl::OkStatus();
    });
    if (status.ok()) status = attempt.status();
    if (!status.ok()) {
      look.failure.step = step.get();
      look.failure.status = std::move(status);
      if (threads_were_released()) {
        // Nothing had been changed.
        look.failure.status = absl::DeadlineExceededError(
            "had not said whether it is ready when the time was up, with the "
            "threads held");
      }
      return Verdict::kFailed;
    }
    if (attempt.is_not_yet()) {
      look.steps.push_back({step.get(), std::move(attempt)});
    }
  }
  const Verdict verdict = LookAtStacks(threads, look);
  if (verdict != Verdict::kDone) return verdict;
  return look.is_safe() ? Verdict::kDone : Verdict::kNotYet;
}

void PlannedUpdate::LookAt(const StackSnapshot& stack, const ThreadRef* thread,
                           Look& look) const {
  for (const auto& watched : watched_) {
    const Activity activity =
        thread != nullptr ? watched->FindOn(stack) : watched->FindOnOwn(stack);
    if (activity.quiescent()) continue;
    look.has_memory &= look.found.Add({thread, &*watched, activity});
    if (activity.kind == ActivityKind::kUnknown) return;  // for all sets
  }
}

PlannedUpdate::Verdict PlannedUpdate::LookAtStacks(
    absl::Span<const HeldThread> threads, Look& look) {
  for (const HeldThread& thread : threads) {
    bool ends = false;
    for (const auto& step : parts_.steps) {
      absl::Status status = Call(*step, [&] {
        ends = ends || step->EndsFunctionOf(thread.thread);
        return absl::OkStatus();
      });
      if (status.ok()) continue;
      look.failure.step = step.get();
      look.failure.status = std::move(status);
      return Verdict::kFailed;
    }
    if (ends) continue;
    for (const StackSnapshot& stack : thread.stacks) {
      LookAt(stack, &thread.thread, look);
    }
  }
  return Verdict::kDone;
}

void PlannedUpdate::LookAtOwn(Look& look) const {
  look.is_too_deep = !VisitOwnStacks(
      [&](const StackSnapshot& stack) { LookAt(stack, nullptr, look); });
}

bool PlannedUpdate::ApplySteps(Failure& failure) {
  for (std::size_t i = 0; i < parts_.steps.size(); ++i) {
    failure.step = &*parts_.steps[i];
    failure.status =
        Call(*parts_.steps[i], [&] { return parts_.steps[i]->Apply(); });
    if (failure.status.ok()) continue;
    // The threads run: whatever is done now could be done under them.
    is_broken_ = threads_were_released();
    while (i-- > 0 && !threads_were_released()) {
      PlanStep& step = *parts_.steps[i];
      absl::Status taken_back = Call(step, [&] { return step.CancelApply(); });
      is_broken_ |= !taken_back.ok();
      if (!taken_back.ok() || !step.CancelsApply()) {
        failure.not_taken_back.emplace_back(&step, std::move(taken_back));
      }
    }
    return false;
  }
  return true;
}

bool PlannedUpdate::UndoSteps(Failure& failure) {
  for (std::size_t i = parts_.steps.size(); i-- > 0;) {
    failure.step = &*parts_.steps[i];
    failure.status =
        Call(*parts_.steps[i], [&] { return parts_.steps[i]->Undo(); });
    if (failure.status.ok()) continue;
    is_broken_ = threads_were_released();
    while (++i < parts_.steps.size() && !threads_were_released()) {
      PlanStep& step = *parts_.steps[i];
      absl::Status put_back = Call(step, [&] { return step.CancelUndo(); });
      if (put_back.ok()) continue;
      is_broken_ = true;
      failure.not_taken_back.emplace_back(&step, std::move(put_back));
    }
    return false;
  }
  return true;
}

// --- What others see.

absl::Status PlannedUpdate::Explain(const Failure& failure,
                                    Direction direction) const {
  absl::Status result = InStep(*failure.step, WithText(failure.status));
  for (const auto& [step, status] : failure.not_taken_back) {
    if (status.ok()) {
      result = absl::Status(
          result.code(),
          absl::StrCat(result.message(), "; what the ", step->name(),
                       " did stays in effect: it has nothing that undoes it"));
      continue;
    }
    result = absl::DataLossError(
        absl::StrCat(result.message(),
                     direction == Direction::kUndo
                         ? "; and what had been undone could not be put back: "
                         : "; and what had been done could not be taken back: ",
                     InStep(*step, WithText(status)).message()));
  }
  return result;
}

std::vector<Blocker> PlannedUpdate::Explain(const Look& look) const {
  std::vector<Blocker> blockers;
  for (const MissingThread& missing : look.missing) {
    Blocker& blocker = blockers.emplace_back();
    blocker.thread = missing.thread.name();
    blocker.tid = missing.thread.tid();
    if (!missing.functions.empty()) {
      blocker.function = missing.functions.front();
      blocker.frame = 0;
    }
    const bool is_there = missing.state == ThreadState::kAtUpdatePoint ||
                          missing.state == ThreadState::kInUpdateFunction;
    blocker.reason = absl::StrCat(
        is_there ? "it is at an update point, and was not run in time"
                 : "it comes to no update point",
        is_there || parts_.point.empty()
            ? ""
            : absl::StrCat(" '", parts_.point, "'"),
        missing.functions.empty()
            ? ""
            : absl::StrCat("; it is in ",
                           absl::StrJoin(missing.functions, " <- ")));
    blocker.remedy = is_there ? "wait: the machine is busy"
                              : "an UpdatePoint() in its loop, and Blocking() "
                                "around calls that wait";
  }
  for (const Look::Found& found : look.found) {
    Blocker& blocker = blockers.emplace_back();
    if (found.thread != nullptr) {
      blocker.thread = found.thread->name();
      blocker.tid = found.thread->tid();
    }
    blocker.reason = found.watched->Describe(found.activity);
    if (found.activity.kind == ActivityKind::kActive) {
      blocker.function = found.watched->NameOf(found.activity);
      blocker.frame = found.activity.depth;
      blocker.remedy = found.thread != nullptr
                           ? "wait until it returns; if it never does, let the "
                             "plan reboot the thread"
                           : "apply the update from another function";
    } else if (found.thread != nullptr) {
      blocker.remedy = "wait until it is elsewhere";
    }
  }
  if (!look.has_memory) {
    blockers.emplace_back().reason =
        "there is no memory to note what is on stacks";
  }
  if (look.is_too_deep) {
    blockers.emplace_back().reason = TooDeep();
  }
  for (const auto& asked : look.steps) {
    const PlanStep* const step = asked.first;
    std::vector<Blocker> own;
    TellUnheld(*step, "Blockers()", [&] {
      own = step->Blockers();
    }).IgnoreError();
    if (own.empty()) own.emplace_back().reason = asked.second.reason();
    for (Blocker& blocker : own) {
      blocker.reason = absl::StrCat(step->name(), ": ", blocker.reason);
      blockers.push_back(std::move(blocker));
    }
  }
  for (const std::string& other : look.others) {
    blockers.emplace_back().reason = other;
  }
  return blockers;
}

void PlannedUpdate::SetBlockers(std::vector<Blocker> blockers) {
  const Clock::time_point now = Clock::now();
  std::map<std::string, Clock::time_point> since;
  std::lock_guard<std::mutex> lock(lock_);
  for (Blocker& blocker : blockers) {
    // The frame and the place in a loop may change while the reason does not.
    const std::string key =
        absl::StrCat(blocker.tid, blocker.tid == 0 ? blocker.reason : "");
    const auto known = since_.find(key);
    const Clock::time_point first = known == since_.end() ? now : known->second;
    since[key] = first;
    blocker.since = now - first;
  }
  since_ = std::move(since);
  blockers_ = std::move(blockers);
}

absl::Status PlannedUpdate::Begin(UpdatePhase required) {
  INSTAR_RETURN_IF_ERROR(run_.Begin(required));
  effect_.store(Effect::kNone, std::memory_order_relaxed);
  std::lock_guard<std::mutex> lock(lock_);
  blockers_.clear();
  since_.clear();
  return absl::OkStatus();
}

UpdateProgress PlannedUpdate::Progress() const {
  UpdateProgress progress = run_.Progress();
  for (const ConversionPlanStep* conversion : parts_.conversions) {
    progress.objects_converted += conversion->converted();
    progress.objects_total += conversion->total();
    progress.is_converting |= conversion->is_converting();
  }
  std::shared_ptr<AuthorWatch> watch;
  {
    std::lock_guard<std::mutex> lock(lock_);
    progress.blockers = blockers_;
    watch = watch_;
  }
  bool released = false;
  std::string running = watch == nullptr ? "" : watch->running(&released);
  if (running.empty()) return progress;
  progress.phase = UpdatePhase::kBroken;
  progress.blockers.clear();
  Blocker& blocker = progress.blockers.emplace_back();
  if (released) {
    blocker.reason = absl::StrCat(
        running,
        "; the threads have been released, and the state of the program is "
        "unknown");
    blocker.remedy =
        "code that takes no lock of the program, or a plan that holds the "
        "threads where they own none (AtUpdatePoint())";
    return progress;
  }
  const Effect effect = effect_.load(std::memory_order_relaxed);
  progress.is_unchanged = effect == Effect::kNone;
  blocker.reason = absl::StrCat(running, "; ", TextOf(effect));
  blocker.remedy = "code that returns";
  return progress;
}

HoldTimes PlannedUpdate::hold_times() const {
  return last_hold_.has_value() ? HoldTimesOf(last_hold_->HoldTimes())
                                : HoldTimes();
}

}  // namespace updates_internal
}  // namespace instar

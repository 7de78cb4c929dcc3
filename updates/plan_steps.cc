// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/plan_steps.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "code/coroutine.h"
#include "code/find_functions.h"
#include "code/function.h"
#include "updates/background_work.h"

namespace instar {
namespace updates_internal {

namespace {

// What is as true once the update is applied.
void Warn(UpdateForecast& forecast, std::string warning) {
  forecast.remarks.push_back(warning);
  forecast.warnings.push_back(std::move(warning));
}

// Once in a forecast.
void RemarkOnUnknownCopies(UpdateForecast& forecast) {
  const std::string unknown = CodeOfUnknownCopies();
  if (unknown.empty()) return;
  std::string remark = absl::StrCat(
      "inline functions, and those of the classes, may have been inlined where "
      "nobody knows: ",
      unknown);
  if (std::find(forecast.remarks.begin(), forecast.remarks.end(), remark) ==
      forecast.remarks.end()) {
    forecast.remarks.push_back(std::move(remark));
  }
}

}  // namespace

// --- Redefinitions.

std::string RedefinitionStep::name() const {
  return absl::StrCat("redefine ", absl::StrJoin(redefinitions_.names(), ", "));
}

absl::Status RedefinitionStep::Prepare(UpdateForecast& forecast) {
  std::vector<Function> functions;
  for (const EntryRedirection& entry : redefinitions_.entries()) {
    functions.push_back(entry.from);
  }
  for (const Function& function : CoroutinesAmong(functions)) {
    Warn(forecast,
         absl::StrCat(
             function.name(),
             " is a coroutine: those that are suspended are on no stack, so "
             "nobody waits for them, and they go on in the old version"));
  }
  if (!prepared_.has_value()) {
    auto prepared = PreparedRedefinitions::Make(redefinitions_, options_);
    INSTAR_RETURN_IF_ERROR(prepared.status());
    prepared_.emplace(*std::move(prepared));
  }
  for (const Function& function : functions) {
    if (function.binding() != SymbolBinding::kWeak) continue;
    RemarkOnUnknownCopies(forecast);
    break;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Function>> RedefinitionStep::QuiescentFunctions() {
  INSTAR_CHECK(prepared_.has_value()) << "it has not been prepared";
  return prepared_->QuiescentFunctions();
}

// Threads that are not controlled may be anywhere.
absl::Status RedefinitionStep::Apply() {
  return prepared_->Apply(OtherThreads::kRunning);
}
absl::Status RedefinitionStep::Undo() {
  return prepared_->Undo(OtherThreads::kRunning);
}

// --- Conversions.

ConversionPlanStep::ConversionPlanStep(
    std::unique_ptr<ConversionStep> step, std::shared_ptr<ClassWatch> watch,
    std::shared_ptr<std::atomic<std::size_t>> converted)
    : step_(std::move(step)),
      watch_(std::move(watch)),
      converted_(std::move(converted)) {
  AddBackgroundWork(step_);
}

ConversionPlanStep::~ConversionPlanStep() {
  // What is applied stays in effect, and so does its background work.
  if (!is_applied_) RemoveBackgroundWork(step_.get());
}

std::string ConversionPlanStep::name() const {
  return absl::StrCat("convert ", step_->name());
}

absl::Status ConversionPlanStep::Prepare(UpdateForecast& forecast) {
  INSTAR_ASSIGN_OR_RETURN(const ConversionForecast conversion, step_->Check());
  INSTAR_RETURN_IF_ERROR(step_->Prepare());
  forecast.remarks.push_back(
      absl::StrCat(step_->name(), ": ", conversion.objects, " objects"));
  for (const std::string& remark : conversion.remarks) {
    forecast.remarks.push_back(absl::StrCat(step_->name(), ": ", remark));
  }
  if (conversion.lacks_proxies) {
    Warn(forecast,
         absl::StrCat(step_->name(),
                      ": no object has been used through a LazyProxy so far, "
                      "and an object that never is keeps its version"));
  }
  RemarkOnUnknownCopies(forecast);
  if (const auto watched = watch_->Get(/*thorough=*/false); watched.ok()) {
    for (const Function& function : CoroutinesAmong((*watched)->functions())) {
      Warn(forecast,
           absl::StrCat(step_->name(), ": ", function.name(),
                        " is a coroutine: those that are suspended are on no "
                        "stack, and objects are converted under them"));
    }
  }
  if (converted_ != nullptr) {
    converted_->store(0, std::memory_order_relaxed);
    total_.store(
        conversion.objects - conversion.of_subclasses - conversion.automatic,
        std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

absl::StatusOr<WatchedSet> ConversionPlanStep::QuiescentCode(bool thorough) {
  return watch_->Get(thorough);
}

absl::Status ConversionPlanStep::Apply() {
  INSTAR_RETURN_IF_ERROR(step_->Apply());
  is_applied_ = true;
  return absl::OkStatus();
}

void ConversionPlanStep::Released() {
  if (is_applied_) RememberWatch(watch_);
}

absl::Status ConversionPlanStep::Undo() {
  INSTAR_RETURN_IF_ERROR(step_->Undo());
  is_applied_ = false;
  if (converted_ != nullptr) converted_->store(0, std::memory_order_relaxed);
  return absl::OkStatus();
}

std::size_t ConversionPlanStep::converted() const {
  return converted_ == nullptr ? 0
                               : converted_->load(std::memory_order_relaxed);
}

// --- Reboots.

RebootStep::RebootStep(std::string thread_name, ThreadMain new_main,
                       ThreadMain main_when_undone)
    : thread_name_(std::move(thread_name)),
      new_main_(std::move(new_main)),
      main_when_undone_(std::move(main_when_undone)) {}

std::string RebootStep::name() const {
  return absl::StrCat("reboot thread '", thread_name_, "'");
}

std::string RebootStep::NoSuchThread() const {
  std::vector<std::string> names;
  for (const ThreadRef& thread : ControlledThreads()) {
    names.push_back(absl::StrCat("'", thread.name(), "'"));
  }
  return absl::StrCat(
      "there is no controlled thread '", thread_name_, "'; there ",
      names.empty() ? "are none"
                    : absl::StrCat("are ", absl::StrJoin(names, ", ")));
}

absl::Status RebootStep::Prepare(UpdateForecast& forecast) {
  if (!new_main_) {
    return absl::InvalidArgumentError(
        absl::StrCat("thread '", thread_name_,
                     "' is to be rebooted into a function that is empty"));
  }
  PrepareToFindRebootObstacles();
  if (ControlledThreads(thread_name_).empty()) {
    forecast.obstacles.push_back(NoSuchThread());
  }
  return absl::OkStatus();
}

Attempt RebootStep::Find(absl::Span<const HeldThread> threads,
                         const ThreadMain& main) {
  Attempt found = targets_.Find(
      threads,
      [this](const ThreadRef& thread) { return thread.name() == thread_name_; },
      main);
  no_thread_ = found.is_done() && targets_.size() == 0;
  return no_thread_ ? Attempt::NotYet("") : found;  // Blockers() say it
}

void RebootStep::BeforeAttempt() {
  targets_.MakeRoom(ControlledThreads(thread_name_));
}

Attempt RebootStep::Ready(absl::Span<const HeldThread> threads) {
  return Find(threads, new_main_);
}

Attempt RebootStep::ReadyToUndo(absl::Span<const HeldThread> threads) {
  Attempt found = Find(threads, main_when_undone_);
  // One that has ended since runs nothing of the new version.
  return std::exchange(no_thread_, false) ? Attempt::Done() : found;
}

std::vector<Blocker> RebootStep::Blockers() const {
  if (!no_thread_) return targets_.Blockers();
  Blocker blocker;
  blocker.reason = NoSuchThread();
  return {blocker};
}

bool RebootStep::EndsFunctionOf(const ThreadRef& thread) const {
  return targets_.EndsFunctionOf(thread);
}

absl::Status RebootStep::Apply() {
  targets_.Begin();
  return absl::OkStatus();
}
absl::Status RebootStep::Undo() {
  targets_.Begin();
  return absl::OkStatus();
}
absl::Status RebootStep::CancelApply() {
  targets_.Cancel();
  return absl::OkStatus();
}
absl::Status RebootStep::CancelUndo() {
  targets_.Cancel();
  return absl::OkStatus();
}
void RebootStep::Released() { targets_.Released(); }

absl::Status RebootStep::CanUndo() const {
  if (main_when_undone_) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("thread '", thread_name_,
                   "' was rebooted, and the update does not say what it runs "
                   "when that is undone"));
}

// --- New threads.

StartStep::StartStep(std::string thread_name, ThreadKind kind,
                     std::function<void()> main)
    : thread_name_(std::move(thread_name)),
      kind_(kind),
      main_(std::move(main)) {}

std::string StartStep::name() const {
  return absl::StrCat("start ", ToString(kind_), " thread '", thread_name_,
                      "'");
}

absl::Status StartStep::Prepare(UpdateForecast&) {
  if (main_ == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "thread '", thread_name_, "' is to run a function that is empty"));
  }
  PrepareToFindRebootObstacles();  // when it is undone
  if (parked_.has_value()) return absl::OkStatus();
  INSTAR_ASSIGN_OR_RETURN(parked_,
                          ParkedThread::Make(thread_name_, kind_, main_));
  return absl::OkStatus();
}

void StartStep::BeforeAttempt() { targets_.MakeRoom(StartedThreads()); }

Attempt StartStep::ReadyToUndo(absl::Span<const HeldThread> threads) {
  return targets_.Find(
      threads, [this](const ThreadRef& thread) { return thread == *started_; },
      nothing_);
}

std::vector<Blocker> StartStep::Blockers() const { return targets_.Blockers(); }

bool StartStep::EndsFunctionOf(const ThreadRef& thread) const {
  return targets_.EndsFunctionOf(thread);
}

absl::Status StartStep::Apply() {
  starts_ = true;
  return absl::OkStatus();
}
absl::Status StartStep::CancelApply() {
  starts_ = false;
  return absl::OkStatus();
}
absl::Status StartStep::Undo() {
  targets_.Begin();
  ends_ = true;
  return absl::OkStatus();
}
absl::Status StartStep::CancelUndo() {
  targets_.Cancel();
  ends_ = false;
  return absl::OkStatus();
}

void StartStep::Released() {
  if (starts_) {
    started_ = parked_->Start();
    parked_.reset();
  }
  if (ends_) {
    targets_.Released();
    started_.reset();
  }
  starts_ = ends_ = false;
}

std::vector<ThreadRef> StartStep::StartedThreads() const {
  if (!started_.has_value()) return {};
  return {*started_};
}

// --- Hooks.

HookStep::HookStep(std::string name, UpdatePlan::Hook hook,
                   UpdatePlan::Hook undo)
    : name_(std::move(name)), hook_(std::move(hook)), undo_(std::move(undo)) {}

absl::Status HookStep::Prepare(UpdateForecast&) {
  if (hook_ != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the ", name_, " is empty"));
}

absl::Status HookStep::CanUndo() const {
  if (undo_ != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the ", name_, " has nothing that undoes it"));
}

absl::Status HookStep::Undo() {
  INSTAR_RETURN_IF_ERROR(CanUndo());
  return undo_();
}

absl::Status HookStep::CancelApply() {
  return undo_ == nullptr ? absl::OkStatus() : undo_();
}

}  // namespace updates_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/late_births.h"

#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "heap/internal/version_change.h"
#include "updates/internal/transition.h"
#include "updates/mechanisms/internal/attempt_of_author.h"
#include "updates/mechanisms/internal/class_watch.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/quiescence/internal/pacing.h"

namespace instar {

using updates_internal::Obstacles;
using updates_internal::Pacing;
using updates_internal::Retries;
using updates_internal::Transition;

namespace {

// Threads are released under a Convert() that takes longer than this.
constexpr std::chrono::seconds kLongestConversion(5);
constexpr int kMostLimits = 32;

Pacing::Options PacingOf(std::chrono::nanoseconds first_limit) {
  Pacing::Options options;
  options.first_limit = first_limit;
  options.last_limit = kMostLimits * first_limit;
  return options;
}

// Of one class.
class ConvertLateBirthsMechanism final : public Mechanism {
 public:
  explicit ConvertLateBirthsMechanism(heap_internal::UpdatableClass* root)
      : root_(root) {}

  std::string name() const override {
    return absl::StrCat("convert late objects of ", root_->name());
  }
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kTheChange};
  }
  absl::StatusOr<QuiescentCode> MustBeQuiescent(bool thorough) override {
    INSTAR_ASSIGN_OR_RETURN(
        updates_internal::WatchedSet watched,
        updates_internal::RememberedWatch(root_)->Get(thorough));
    return QuiescentCode{{}, {std::move(watched)}};
  }
  Attempt Apply(const StoppedWorld& world) override {
    return updates_internal::AttemptOfAuthor(
        ConvertLateBirths(root_, world.conversion_watch()));
  }
  Attempt Undo(const StoppedWorld&) override {
    return updates_internal::AttemptOfAuthor(
        absl::UnimplementedError("converted objects stay converted"));
  }

 private:
  heap_internal::UpdatableClass* const root_;
};

}  // namespace

LateBirths::LateBirths(LateBirthsOptions options)
    : options_(std::move(options)), retries_(PacingOf(options_.limit)) {}

Attempt LateBirths::TryConvert() {
  if (retries_.IsTooEarly(Retries::Clock::now()) && HaveLateBirths()) {
    return Attempt::NotYet(reason_);
  }
  std::vector<std::string> reasons;
  absl::Status first_error;
  // One after the other: a class in which somebody stays is in no other's way.
  for (heap_internal::UpdatableClass* root : ClassesWithLateBirths()) {
    // What those before it took may be all that others can be made to wait.
    if (retries_.IsTooEarly(Retries::Clock::now())) {
      reasons.push_back(reason_);
      break;
    }
    const Attempt attempt = TryConvert(root);
    if (attempt.is_not_yet()) {
      reason_ = attempt.reason();
      reasons.push_back(reason_);
    }
    if (first_error.ok()) first_error = attempt.status();
  }
  is_thorough_ = !reasons.empty();
  if (!first_error.ok()) return Attempt::Failed(std::move(first_error));
  if (reasons.empty()) return Attempt::Done();
  return Attempt::NotYet(absl::StrJoin(reasons, "; "));
}

void LateBirths::SetTransition(std::shared_ptr<const Transition> transition) {
  std::lock_guard<std::mutex> lock(lock_);
  transition_.swap(transition);
}

std::string LateBirths::running() const {
  std::shared_ptr<const Transition> transition;
  {
    std::lock_guard<std::mutex> lock(lock_);
    transition = transition_;
  }
  const auto watch =
      transition == nullptr ? nullptr : transition->calls().watch();
  return watch == nullptr ? "" : watch->running();
}

Attempt LateBirths::TryConvert(heap_internal::UpdatableClass* root) {
  const auto transition =
      std::make_shared<Transition>(std::vector<std::shared_ptr<Mechanism>>{
          std::make_shared<ConvertLateBirthsMechanism>(root)});
  Transition::WatchOptions watch;
  watch.until = Transition::Clock::time_point::min();
  watch.at_least = kLongestConversion;
  absl::Status watching = transition->StartWatch(std::move(watch));
  if (!watching.ok()) return Attempt::Failed(std::move(watching));
  SetTransition(transition);
  const absl::Cleanup end = [&] {
    transition->calls().End();
    SetTransition(nullptr);
  };
  Transition::TryOptions options;
  options.stop.limit = kMostLimits * options_.limit;
  if (options_.threads != nullptr) {
    options.stop.threads = options_.threads();
  } else {
    options.stop.others_by_signal =
        updates_internal::RememberedWatch(root)->looks_at_all();
  }
  options.thorough = is_thorough_;
  options.never_wait = true;
  Obstacles obstacles(/*most=*/1);
  const Attempt attempt = transition->Try(Direction::kApply, std::move(options),
                                          &retries_, obstacles);
  return attempt.is_not_yet() ? obstacles.ToAttempt() : attempt;
}

}  // namespace instar

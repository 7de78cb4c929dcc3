// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/held_quiescence.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/error_text.h"
#include "base/linux/deadline.h"
#include "stack/activity.h"
#include "stack/stack_snapshot.h"
#include "threads/thread_state.h"
#include "updates/author_calls.h"
#include "updates/background_work.h"
#include "updates/quiescence/own_stacks.h"

namespace instar {
namespace updates_internal {
namespace {

constexpr int kMostLimits = 32;
// One thread that came late: for how long it is waited for alone, how often,
// and the pause in between, in which others may hold threads.
constexpr std::chrono::milliseconds kAloneLimit(50);
constexpr int kTimesAlone = 10;
constexpr std::chrono::milliseconds kAlonePause(10);

Pacing::Options PacingOf(std::chrono::nanoseconds first_limit) {
  Pacing::Options options;
  options.first_limit = first_limit;
  options.last_limit = kMostLimits * first_limit;
  return options;
}

struct Found {
  std::optional<ThreadRef> thread;            // none: the caller
  const WatchedFunctions* watched = nullptr;  // null: `is_too_deep`
  Activity activity;
  bool is_too_deep = false;
};

using Sets = absl::Span<const std::shared_ptr<const WatchedFunctions>>;

using Find = Activity (WatchedFunctions::*)(const StackSnapshot&) const;

// Takes no lock: threads are held.
std::optional<Found> LookAt(const StackSnapshot& stack, Sets sets, Find find) {
  for (const auto& watched : sets) {
    const Activity activity = ((*watched).*find)(stack);
    if (!activity.quiescent()) return Found{std::nullopt, &*watched, activity};
  }
  return std::nullopt;
}

std::optional<Found> LookAtOwn(const UpdateContext* context, Sets sets) {
  std::optional<Found> found;
  const auto look_at = [&](const StackSnapshot& stack) {
    if (!found.has_value()) {
      found = LookAt(stack, sets, &WatchedFunctions::FindOnOwn);
    }
  };
  if (context != nullptr) {
    look_at(context->stack());
    for (const StackSnapshot& paused : context->paused_continulets()) {
      look_at(paused);
    }
    return found;
  }
  if (!VisitOwnStacks(look_at)) found.emplace().is_too_deep = true;
  return found;
}

std::optional<Found> LookAtAll(const Rendezvous& rendezvous,
                               const UpdateContext* context, Sets sets) {
  for (const HeldThread& thread : rendezvous.threads()) {
    for (const StackSnapshot& stack : thread.stacks) {
      std::optional<Found> found =
          LookAt(stack, sets, &WatchedFunctions::FindOn);
      if (!found.has_value()) continue;
      found->thread = thread.thread;
      return found;
    }
  }
  return LookAtOwn(context, sets);
}

std::string NameOf(const ThreadRef& thread) {
  return absl::StrCat("thread '", thread.name(), "' (", thread.tid(), ")");
}

std::string Explain(const std::vector<MissingThread>& missing,
                    const absl::Status& status) {
  if (missing.empty()) return std::string(status.message());
  std::vector<std::string> sentences;
  for (const MissingThread& thread : missing) {
    sentences.push_back(absl::StrCat(
        NameOf(thread.thread), " comes to no update point",
        thread.functions.empty()
            ? ""
            : absl::StrCat("; it is in ",
                           absl::StrJoin(thread.functions, " <- "))));
  }
  return absl::StrJoin(sentences, "; ");
}

}  // namespace

Patience::Patience(std::chrono::nanoseconds first_limit)
    : pacing_(PacingOf(first_limit)) {}

std::optional<Attempt> Patience::TooEarly(Clock::time_point now) const {
  if (now >= next_) return std::nullopt;
  return Attempt::NotYet(reason_);
}

std::optional<ThreadRef> Patience::first() const {
  if (!late_.has_value() || alone_ == kTimesAlone ||
      late_->state() == ThreadState::kEnded) {
    return std::nullopt;
  }
  return late_;
}

void Patience::NoteFirstDidNotCome(Clock::time_point now) {
  next_ = now + kAlonePause;
  if (++alone_ == kTimesAlone) next_ = std::max(next_, pacing_.next());
}

void Patience::NoteNotYet(Clock::time_point stopped, Clock::time_point released,
                          const std::vector<MissingThread>& missing) {
  // One that is late is waited for alone. (Not an active one, for which the
  // entries of all functions would have to be intercepted meanwhile.)
  const bool must_meet = missing.size() > 1 || alone_ > 0;
  pacing_.Note(stopped, released, !missing.empty() && must_meet);
  next_ = pacing_.next();
  alone_ = 0;
  late_.reset();
  for (const MissingThread& thread : missing) {
    if (thread.thread.kind() == ThreadKind::kPassive) late_ = thread.thread;
  }
}

Attempt Patience::NotYet(std::string reason) {
  reason_ = std::move(reason);
  return Attempt::NotYet(reason_);
}

Attempt WhenHeldAndQuiescent(Sets watched, const HoldOptions& options,
                             absl::FunctionRef<absl::Status()> change) {
  Patience& patience = *options.patience;
  std::string why_not;
  const std::optional<BackgroundPause> pause =
      BackgroundPause::Try(DeadlineAfter(patience.limit()), &why_not);
  if (!pause.has_value()) return Attempt::NotYet(std::move(why_not));
  std::vector<ThreadRef> threads;
  if (options.threads != nullptr) threads = options.threads();
  std::vector<MissingThread> missing;
  std::optional<Patience::Clock::time_point> stopped;
  RendezvousOptions hold;
  hold.limit = patience.limit();
  hold.missing = &missing;
  hold.asked_all = &stopped;
  std::optional<Patience::Clock::time_point> released;
  hold.released = &released;
  hold.first = patience.first();
  hold.first_limit =
      std::max<std::chrono::nanoseconds>(hold.limit, kAloneLimit);
  if (hold.first.has_value() && options.threads != nullptr &&
      std::find(threads.begin(), threads.end(), *hold.first) == threads.end()) {
    hold.first.reset();
  }
  const bool has_first = hold.first.has_value();
  absl::StatusOr<Rendezvous> rendezvous =
      options.threads == nullptr ? Rendezvous::HoldAll(std::move(hold))
                                 : Rendezvous::Hold(threads, std::move(hold));
  if (!rendezvous.ok()) {
    if (!absl::IsDeadlineExceeded(rendezvous.status())) {
      return Attempt::Failed(rendezvous.status());
    }
    const auto now = Patience::Clock::now();
    if (stopped.has_value()) {
      patience.NoteNotYet(*stopped, released.value_or(now), missing);
    } else if (has_first) {
      patience.NoteFirstDidNotCome(now);
      return *patience.TooEarly(Patience::Clock::time_point::min());
    }
    return patience.NotYet(Explain(missing, rendezvous.status()));
  }
  const std::optional<Found> found =
      LookAtAll(*rendezvous, options.context, watched);
  absl::Status status;
  if (!found.has_value()) {
    status = options.watch == nullptr
                 ? CallAuthor(change)
                 : options.watch->Call(*rendezvous, options.what, change);
  }
  rendezvous->Release();
  if (found.has_value()) {
    patience.NoteNotYet(*stopped, Patience::Clock::now(), {});
  }
  if (found.has_value() && found->is_too_deep) {
    return patience.NotYet(TooDeep());
  }
  if (found.has_value()) {
    return patience.NotYet(
        absl::StrCat(found->watched->Describe(found->activity), ", on ",
                     found->thread.has_value() ? NameOf(*found->thread)
                                               : "the thread that updates"));
  }
  return status.ok() ? Attempt::Done()
                     : Attempt::Failed(WithText(std::move(status)));
}

}  // namespace updates_internal
}  // namespace instar

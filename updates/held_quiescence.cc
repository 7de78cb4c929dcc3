// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/held_quiescence.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/linux/deadline.h"
#include "continuation/paused_computations.h"
#include "stack/activity.h"
#include "stack/stack_snapshot.h"
#include "threads/rendezvous.h"
#include "updates/author_calls.h"
#include "updates/background_work.h"

namespace instar {
namespace updates_internal {
namespace {

struct Found {
  std::optional<ThreadRef> thread;  // none: the caller
  const WatchedFunctions* watched = nullptr;
  Activity activity;
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
  StackSnapshot own = SnapshotOfCaller();
  std::vector<StackSnapshot> room;
  while (LinkSwitchers(&own, room.data(), static_cast<int>(room.size())) < 0) {
    room.resize(2 * room.size() + 4);
  }
  look_at(own);
  VisitPausedComputationsOfThisThread([&](const PausedComputation& paused) {
    look_at(SnapshotOf(paused.context));
  });
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

Attempt Explain(const std::vector<MissingThread>& missing,
                const absl::Status& status) {
  if (missing.empty()) return Attempt::NotYet(std::string(status.message()));
  std::vector<std::string> sentences;
  for (const MissingThread& thread : missing) {
    sentences.push_back(absl::StrCat(
        NameOf(thread.thread), " comes to no update point",
        thread.functions.empty()
            ? ""
            : absl::StrCat("; it is in ",
                           absl::StrJoin(thread.functions, " <- "))));
  }
  return Attempt::NotYet(absl::StrJoin(sentences, "; "));
}

}  // namespace

Attempt WhenHeldAndQuiescent(Sets watched, const HoldOptions& options,
                             absl::FunctionRef<absl::Status()> change) {
  std::string why_not;
  const std::optional<BackgroundPause> pause =
      BackgroundPause::Try(DeadlineAfter(options.limit->now()), &why_not);
  if (!pause.has_value()) return Attempt::NotYet(std::move(why_not));
  std::vector<MissingThread> missing;
  RendezvousOptions hold;
  hold.limit = options.limit->now();
  hold.missing = &missing;
  absl::StatusOr<Rendezvous> rendezvous =
      options.threads == nullptr
          ? Rendezvous::HoldAll(std::move(hold))
          : Rendezvous::Hold(options.threads(), std::move(hold));
  options.limit->Note(absl::IsDeadlineExceeded(rendezvous.status()));
  if (!rendezvous.ok()) {
    return absl::IsDeadlineExceeded(rendezvous.status())
               ? Explain(missing, rendezvous.status())
               : Attempt::Failed(rendezvous.status());
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
    return Attempt::NotYet(
        absl::StrCat(found->watched->Describe(found->activity), ", on ",
                     found->thread.has_value() ? NameOf(*found->thread)
                                               : "the thread that updates"));
  }
  return status.ok() ? Attempt::Done() : Attempt::Failed(std::move(status));
}

}  // namespace updates_internal
}  // namespace instar

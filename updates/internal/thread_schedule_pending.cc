// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/thread_schedule_pending.h"

#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "threads/known_names.h"
#include "updates/internal/where_is.h"

namespace instar {
namespace updates_internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using threads_internal::RemarkOnUpdatePoint;

// After which a thread that comes to no update point is interrupted, to see
// where it is.
constexpr nanoseconds kGrace = milliseconds(100);

}  // namespace

absl::Status In(const std::string& what, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(what, ": ", status.message()));
}

std::vector<Blocker> In(const std::string& what, std::vector<Blocker> blockers,
                        const Attempt& attempt) {
  if (blockers.empty()) blockers.emplace_back().reason = attempt.reason();
  for (Blocker& blocker : blockers) {
    blocker.reason = absl::StrCat(what, ": ", blocker.reason);
  }
  return blockers;
}

ThreadSchedule::Pending ThreadSchedule::Pending::Set(
    Part& part, const ThreadRef& thread,
    const std::shared_ptr<Shared>& shared) {
  auto held = std::make_shared<std::atomic<nanoseconds::rep>>(0);
  UpdateRequest request = instar::SetUpdateFunction(
      thread,
      [shared, held](UpdateContext& context) {
        // Not waited for: who has it may wait for this thread to stop.
        std::unique_lock<std::mutex> lock(shared->lock, std::try_to_lock);
        if (!lock.owns_lock()) {
          return Attempt::NotYet(
              "its update function runs in another thread of this name");
        }
        const Clock::time_point begin = Clock::now();
        Attempt attempt = shared->function(context);
        const nanoseconds took = Clock::now() - begin;
        held->store(took.count(), std::memory_order_relaxed);
        return attempt;
      },
      part.options);
  return {&part, thread, std::move(request), std::move(held), Clock::now()};
}

Blocker ThreadSchedule::Pending::ToBlocker() const {
  const nanoseconds elapsed = Clock::now() - since;
  Blocker blocker;
  blocker.thread = thread.name();
  blocker.tid = thread.tid();
  blocker.since = elapsed;
  blocker.reason = request.reason();
  if (request.attempts() > 0) {
    if (blocker.reason.empty()) {
      blocker.reason = "it unwinds its stack, to be rebooted";
    }
    // What is its own of that.
    if (part->change == nullptr) return blocker;
    for (const Blocker& own : part->change->Blockers()) {
      if (own.tid != blocker.tid) continue;
      blocker.function = own.function;
      blocker.frame = own.frame;
      blocker.remedy = own.remedy;
    }
    return blocker;
  }
  blocker.reason = "it has come to no update point";
  if (const std::string& point = part->options.point; !point.empty()) {
    absl::StrAppend(&blocker.reason, " '", point, "'");
    const std::string unknown = RemarkOnUpdatePoint(point);
    if (!unknown.empty()) absl::StrAppend(&blocker.reason, "; ", unknown);
  }
  if (thread.state() == ThreadState::kBlocked) {
    blocker.reason += kWaitsInRegion;
    blocker.remedy = kGetItOut;
    return blocker;
  }
  blocker.remedy =
      "an UpdatePoint() in its loop, and Blocking() around calls that wait";
  if (elapsed < kGrace) return blocker;
  const std::vector<std::string> functions = WhereIs(thread.tid());
  if (functions.empty()) return blocker;
  blocker.function = functions.front();
  blocker.frame = 0;
  absl::StrAppend(&blocker.reason, "; it is in ",
                  absl::StrJoin(functions, " <- "));
  return blocker;
}

}  // namespace updates_internal
}  // namespace instar

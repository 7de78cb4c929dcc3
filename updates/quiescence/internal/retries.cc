// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/internal/retries.h"

#include <algorithm>

#include "threads/thread_ref.h"
#include "threads/thread_state.h"

namespace instar {
namespace updates_internal {
namespace {

// One thread that was late: for how long it is waited for alone, how often
// before all are asked again, and the pause in between, in which others may
// hold threads.
constexpr std::chrono::milliseconds kAloneLimit(50);
constexpr int kTimesAlone = 10;
constexpr std::chrono::milliseconds kAlonePause(10);
// Before what is no matter of stopped threads is asked again.
constexpr std::chrono::milliseconds kAskAgain(4);

bool CanBeAskedFirst(const ThreadRef& thread) {
  return thread.kind() == ThreadKind::kPassive &&
         thread.state() != ThreadState::kEnded;
}

}  // namespace

void Retries::Prepare(StopOptions& options) const {
  options.limit = std::min(options.limit, pacing_.limit());
  options.first_limit =
      std::max<std::chrono::nanoseconds>(options.limit, kAloneLimit);
  if (alone_ == kTimesAlone) return;
  // Each in turn.
  for (std::size_t i = 0; i < late_.size(); ++i) {
    const std::size_t at =
        (static_cast<std::size_t>(alone_) + i) % late_.size();
    if (!CanBeAskedFirst(late_[at].thread)) continue;
    options.first = late_[at].thread;
    options.late = late_;
    return;
  }
}

void Retries::Note(Clock::time_point now, const Stop& stop,
                   const Obstacles& obstacles) {
  if (stop.first_did_not_come) {
    next_ = now + kAlonePause;
    if (++alone_ == kTimesAlone) next_ = std::max(next_, pacing_.next());
    return;
  }
  // Where only one is late it is waited for alone from now on, if it can be;
  // where several are, or others than that one, they have to meet, which takes
  // longer.
  const bool must_meet =
      obstacles.missing().size() > 1 || alone_ > 0 ||
      std::none_of(obstacles.missing().begin(), obstacles.missing().end(),
                   [](const MissingThread& missing) {
                     return CanBeAskedFirst(missing.thread);
                   });
  late_ = obstacles.missing();
  alone_ = 0;
  if (!stop.begin.has_value()) {
    next_ = now + kAskAgain;
    return;
  }
  pacing_.Note(*stop.begin, stop.end, obstacles.needs_time() && must_meet);
  next_ = pacing_.next();
}

void Retries::NoteOther(Clock::time_point now) { next_ = now + kAskAgain; }

}  // namespace updates_internal
}  // namespace instar

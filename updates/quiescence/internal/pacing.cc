// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/internal/pacing.h"

#include <algorithm>

namespace instar {
namespace updates_internal {
namespace {

constexpr std::chrono::seconds kSecond(1);
// Whatever the figures: an update is tried again some time.
constexpr std::chrono::seconds kLongestPause(60);

}  // namespace

Pacing::Pacing() : Pacing(Options()) {}

Pacing::Pacing(const Options& options)
    : options_(options),
      limit_(options.first_limit),
      pauses_(options.first_pause, options.last_pause) {}

Pacing::Duration Pacing::StoppedSince(Clock::time_point after) const {
  Duration stopped{0};
  for (const Stop& stop : stops_) {
    if (stop.end > after) stopped += stop.length;
  }
  return stopped;
}

void Pacing::Note(Clock::time_point begin, Clock::time_point end,
                  bool was_too_short) {
  const Duration length = std::max<Duration>(end - begin, Duration(1));
  last_ = (last_ + 1) % kRemembered;
  const Clock::time_point forgotten = stops_[last_].end;
  stops_[last_] = Stop{end, length};
  if (was_too_short) {
    limit_ =
        limit_ < options_.last_limit / 2 ? 2 * limit_ : options_.last_limit;
  }
  // What the next attempt is expected to take: as this one, or what it may wait
  // if that was too short; no more than the part, or it would never begin.
  const Duration expected =
      was_too_short ? std::min(limit_, options_.per_second)
                    : std::min({length, limit_, options_.per_second / 2});
  next_ = end + pauses_.Next();
  // One that took more than its part is paid for alone, and so is the next one,
  // if it may.
  const Duration longest = was_too_short ? std::max(length, limit_) : length;
  if (longest > options_.per_second) {
    const Duration pause = std::min<Duration>(longest, kLongestPause) *
                           (Duration(kSecond) / options_.per_second);
    next_ = std::max(next_, end + std::min<Duration>(pause, kLongestPause));
    return;
  }
  // Of what has been forgotten, the part is not known.
  if (forgotten != Clock::time_point()) {
    next_ = std::max(next_, forgotten + kSecond);
  }
  // The second that ends when the next attempt does holds no more than that.
  // Stops leave it in the order in which they came.
  for (std::size_t i = 1; i <= kRemembered; ++i) {
    const Clock::time_point from = next_ + expected - kSecond;
    if (StoppedSince(from) + expected <= options_.per_second) break;
    const Stop& oldest = stops_[(last_ + i) % kRemembered];
    if (oldest.length > Duration(0)) {
      next_ = std::max(next_, oldest.end + kSecond);
    }
  }
}

}  // namespace updates_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Conversions that go on in the background (heap/conversion.h), all of the
// program's: they pause around every moment in which its threads are held, so
// that they cannot wait for what a held thread owns. Internal to this package.
//
// Threads: any.

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_BACKGROUND_WORK_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_BACKGROUND_WORK_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fork_mutex.h"
#include "heap/conversion.h"

namespace instar {
namespace updates_internal {

// From here on the conversion is paused whenever threads are held.
void AddBackgroundWork(std::shared_ptr<ConversionStep> step);
void RemoveBackgroundWork(const ConversionStep* step);

// All of it pauses while one is alive. They do not nest, and there is one at a
// time.
class BackgroundPause {
 public:
  using Clock = std::chrono::steady_clock;

  // Waits for its turn until the time given: not in a thread that may be held
  // by another. Then for as long again for conversions in the background.
  // Nothing if another one is alive still, or a conversion in an object's
  // Convert(), of which `why_not` tells: code that does not return may be in
  // the way for ever.
  static std::optional<BackgroundPause> Until(Clock::time_point until,
                                              std::string* why_not);
  // The same, and nothing if another one is alive.
  static std::optional<BackgroundPause> Try(Clock::time_point until,
                                            std::string* why_not);
  ~BackgroundPause();
  BackgroundPause(BackgroundPause&& other) noexcept;
  BackgroundPause(const BackgroundPause&) = delete;
  BackgroundPause& operator=(const BackgroundPause&) = delete;

 private:
  explicit BackgroundPause(std::unique_lock<ForkMutex> lock)
      : lock_(std::move(lock)) {}
  static std::optional<BackgroundPause> Make(std::unique_lock<ForkMutex> lock,
                                             Clock::time_point until,
                                             std::string* why_not);

  std::unique_lock<ForkMutex> lock_;
  std::vector<std::shared_ptr<ConversionStep>> paused_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_BACKGROUND_WORK_H_

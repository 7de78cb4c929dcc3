// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Code of an update's author that is called while threads run, and the watch
// over it (updates/internal/author_watch.h): from Start() to End(). What is
// given up is said together with what it comes to. Internal to this package.
//
//   INSTAR_RETURN_IF_ERROR(calls.Start({until, is_cancelled}));
//   const absl::Cleanup end = [&] { calls.End(); };
//   INSTAR_RETURN_IF_ERROR(calls.Call("a requirement", ask));
//
// Threads: one at a time, but for watch() and effect().

#ifndef INSTAR_UPDATES_INTERNAL_WATCHED_CALLS_H_
#define INSTAR_UPDATES_INTERNAL_WATCHED_CALLS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "updates/internal/author_watch.h"

namespace instar {
namespace updates_internal {

class WatchedCalls {
 public:
  using Clock = AuthorWatch::Clock;

  struct Options {
    Clock::time_point until;
    std::function<bool()> is_cancelled = [] { return false; };
    Clock::duration at_least = AuthorWatch::kAtLeast;
  };

  WatchedCalls() = default;
  ~WatchedCalls() { End(); }
  WatchedCalls(const WatchedCalls&) = delete;
  WatchedCalls& operator=(const WatchedCalls&) = delete;

  // Unless it has begun. ResourceExhausted if no thread can be started.
  absl::Status Start(Options options);
  bool has_begun() const;
  // Also in a child of the process that started it, whose thread is not there.
  void End();

  // Before Start() and after End() nobody watches. An exception is an error.
  absl::Status Call(
      const std::string& what, absl::FunctionRef<absl::Status()> function,
      Clock::duration at_least = AuthorWatch::kAtLeastUnheld) const;
  // Of the latest one: its answer is that.
  bool gave_up() const { return watch_ != nullptr && watch_->gave_up(); }

  // By any thread; null if nobody watches.
  std::shared_ptr<AuthorWatch> watch() const;
  // The same by the thread that calls.
  AuthorWatch* own() const { return watch_.get(); }

  // What it comes to if what is called from here on is given up; kNone since
  // Start().
  enum class Effect { kNone, kApplied, kUndone, kUnknown };
  void SetEffect(Effect effect) {
    effect_.store(effect, std::memory_order_relaxed);
  }
  Effect effect() const { return effect_.load(std::memory_order_relaxed); }
  static const char* TextOf(Effect effect);

 private:
  // Relaxed: of a call that was given up it is read after it was written, which
  // AuthorWatch orders (calls_since_, and the lock of running()).
  std::atomic<Effect> effect_{Effect::kNone};
  std::uint32_t generation_ = 0;  // of the process that has the watch's thread
  mutable std::mutex lock_;       // guards what follows against other threads
  std::shared_ptr<AuthorWatch> watch_;
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_WATCHED_CALLS_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Converts, in a thread of its own and in small portions, the objects that a
// class had when its next version was installed. Internal to heap/; users see
// ProgressiveConversion() in heap/conversion.h.
//
// Which objects: those in slabs that were made before the sweep's birth epoch
// began, so that none is met while its constructor runs. Objects outside of the
// slabs, and those that are made later, are left to proxies and to
// ConvertLateBirths(). An object that a proxy is converting or destroying is
// left to that thread. One whose Convert() fails is left as it is, and counted.
//
// Threads: Prepare(), Start() and Stop() by one thread at a time, Pause() and
// Resume() by one at a time; Done() and WaitUntilDone() by any. After Pause()
// and Stop() have returned, no object is being converted by the sweep.

#ifndef INSTAR_HEAP_INTERNAL_BACKGROUND_SWEEP_H_
#define INSTAR_HEAP_INTERNAL_BACKGROUND_SWEEP_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "base/fork_mutex.h"
#include "heap/internal/updatable_class.h"

namespace instar {
namespace heap_internal {

class BackgroundSweep {
 public:
  BackgroundSweep(UpdatableClass* root, std::size_t portion);
  ~BackgroundSweep();
  BackgroundSweep(const BackgroundSweep&) = delete;
  BackgroundSweep& operator=(const BackgroundSweep&) = delete;

  // The thread exists from here on, and waits: Start() creates nothing. Does
  // nothing the second time. ResourceExhausted if the system gives no thread.
  absl::Status Prepare();
  // Prepare() comes first.
  void Start();
  void Stop();
  void Pause();
  // False, and nothing is paused, if an object is still being converted then.
  bool TryPause(std::chrono::steady_clock::time_point until);
  void Resume();

  // Nothing was started, or the last sweep is through or stopped. A sweep that
  // was under way when the process was forked is stopped in the child.
  bool Done() const;
  void WaitUntilDone();

 private:
  enum class State { kIdle, kSweeping, kEnd };

  // In a child of fork(), at the first call of anything.
  void ForgetParent() const;
  void Loop();
  // Sweeps up to `portion_` slots; false at the end.
  bool SweepPortion();
  void WaitForPortion(std::unique_lock<std::mutex>& lock);

  UpdatableClass* const root_;
  const std::size_t portion_;

  mutable ForkMutex forgetting_;
  mutable std::uint32_t process_ = ForkGeneration();  // under forgetting_

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable State state_ = State::kIdle;  // guarded by mutex_
  mutable bool paused_ = false;         // guarded by mutex_
  mutable bool in_portion_ = false;     // guarded by mutex_

  // Where the sweep is: used by the thread in a portion, else under mutex_.
  Arena* arena_ = nullptr;
  Slab* slab_ = nullptr;
  std::uint32_t index_ = 0;

  mutable std::thread thread_;
};

}  // namespace heap_internal
}  // namespace instar

#endif  // INSTAR_HEAP_INTERNAL_BACKGROUND_SWEEP_H_

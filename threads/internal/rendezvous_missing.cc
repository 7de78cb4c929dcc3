// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Those that have not come to a rendezvous: they are interrupted in system
// calls, and named when the time is up.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "stack/interrupted_thread.h"
#include "stack/interrupted_threads.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"
#include "threads/internal/frame_names.h"
#include "threads/internal/may_stay_interrupted.h"
#include "threads/internal/rendezvous_state.h"

namespace instar {

using threads_internal::NowForStamp;
using threads_internal::ThreadRecord;

namespace {

// How long the system has to deliver a signal.
constexpr auto kSignalLimit = std::chrono::milliseconds(5);
// In addition, for each thread.
constexpr auto kSignalLimitEach = std::chrono::microseconds(50);
// The same for a thread that is to be named, when nobody is held any more.
constexpr auto kNameLimit = std::chrono::milliseconds(200);
constexpr std::size_t kNamedFrames = 8;
// How many are looked at to find those, and how much of a stack.
constexpr std::size_t kLookedAtFrames = 128;
constexpr std::size_t kCopiedStack = 256 << 10;

}  // namespace

bool Rendezvous::State::MissesActiveThread() const {
  return std::any_of(asked.begin(), asked.end(), [](const Asked& each) {
    std::lock_guard<std::mutex> lock(each.record->lock);
    return each.record->missing && each.record->hold_point == nullptr &&
           each.record->kind == ThreadKind::kActive;
  });
}

void Rendezvous::State::InterruptMissing() {
  const auto can_be_held = [](const ThreadRecord& record) {
    const ThreadState state = record.state.load(std::memory_order_relaxed);
    return record.missing && record.hold_point == nullptr &&
           record.per_thread != nullptr &&
           (state == ThreadState::kRunning ||
            state == ThreadState::kRebooting) &&
           record.per_thread->no_update_depth.load(std::memory_order_relaxed) ==
               0;
  };
  const auto tid_of = [](const ThreadRecord& record) {
    return record.tid.load(std::memory_order_relaxed);
  };
  int added = 0;
  for (const Asked& each : asked) {
    std::lock_guard<std::mutex> lock(each.record->lock);
    if (can_be_held(*each.record) &&
        threads_internal::MayBeInterrupted(*each.record) &&
        interrupted.Add(tid_of(*each.record))) {
      ++added;
    }
  }
  if (added == 0 ||
      !interrupted.Hold(kSignalLimit + added * kSignalLimitEach)) {
    return;
  }
  for (Asked& each : asked) {
    if (each.is_interrupted) continue;
    InterruptedThreads::Thread* const thread =
        interrupted.Find(tid_of(*each.record));
    if (thread == nullptr) continue;
    if (thread->state == InterruptedThreads::State::kNotTaken) {
      std::unique_lock<std::mutex> lock(each.record->lock, std::try_to_lock);
      if (lock.owns_lock()) threads_internal::NoteNotTaken(*each.record);
      continue;
    }
    if (thread->state != InterruptedThreads::State::kHeld) {
      continue;
    }
    // It may have been interrupted in this library: on its way here, with this
    // very lock, or in a call that owns another one.
    // Or have come by itself meanwhile, or be about to end.
    std::unique_lock<std::mutex> lock(each.record->lock, std::try_to_lock);
    if (!lock.owns_lock() || !can_be_held(*each.record) ||
        each.record->per_thread->busy.load(std::memory_order_relaxed)) {
      interrupted.Release(*thread);
      continue;
    }
    if (thread->in_library_code || !threads_internal::MayStayInterrupted(
                                       thread->snapshot, *map, *unsafe)) {
      threads_internal::NoteRefusal(*each.record, thread->snapshot);
      interrupted.Release(*thread);
      continue;
    }
    CountAsStopped(*each.record);
    each.record->stamp->begin.store(NowForStamp(), std::memory_order_relaxed);
    each.is_interrupted = true;
  }
}

absl::Status Rendezvous::State::NameMissing() {
  MappedArray<Missing> missing;
  MappedArray<std::uintptr_t> pcs;
  MappedArray<char> room;
  const auto add = [&pcs](Missing& thread, const StackSnapshot& stack) {
    WalkStack(stack, [&](const Frame& frame) {
      if (thread.pcs == kLookedAtFrames || !pcs.Add(frame.lookup_pc)) {
        return false;
      }
      ++thread.pcs;
      return true;
    });
  };
  const auto look_at = [&](Missing& thread, auto limit) {
    if (!room.Reserve(kCopiedStack)) return;
    thread.first_pc = pcs.size();
    const auto copy = TryCopyThread(
        asked[thread.thread].record->tid.load(std::memory_order_relaxed), limit,
        room.data(), room.capacity());
    if (copy.has_value()) add(thread, *copy);
  };
  // All together: the others are held for as long.
  auto until = Clock::now() + kSignalLimit;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    ThreadRecord& record = *asked[i].record;
    Missing thread{i, ThreadState::kRunning, pcs.size(), 0};
    {
      std::lock_guard<std::mutex> lock(record.lock);
      if (!record.missing) continue;
      thread.state = record.state.load(std::memory_order_relaxed);
      // It is stopped, though not where it is wanted: no signal is needed.
      if (IsStopped(thread.state) && record.where != nullptr) {
        add(thread, *record.where);
      }
    }
    if (thread.pcs == 0 && Clock::now() < until) {
      look_at(thread, until - Clock::now());
    }
    missing.Add(thread);
  }
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(
      Clock::now() - begin);
  Release();
  if (options.released != nullptr) *options.released = Clock::now();
  until = Clock::now() + kNameLimit;
  for (Missing& thread : missing) {
    // It may have gone on, but not far, if it was not even run before.
    if (thread.pcs == 0 && Clock::now() < until) {
      look_at(thread, until - Clock::now());
    }
  }
  if (missing.empty()) {
    return absl::DeadlineExceededError(absl::StrCat(
        "waited ", waited.count(), " ms; the last thread came just then"));
  }
  std::string message = absl::StrCat("waited ", waited.count(), " ms for");
  for (const Missing& thread : missing) {
    const std::shared_ptr<ThreadRecord>& record = asked[thread.thread].record;
    const std::uintptr_t* const first = pcs.data() + thread.first_pc;
    const std::vector<std::string> names =
        thread.pcs == 0 ? std::vector<std::string>()
                        : threads_internal::NamesOfFrames(
                              {first, first + thread.pcs}, kNamedFrames);
    if (options.missing != nullptr) {
      options.missing->push_back(
          MissingThread{ThreadRef(record), thread.state, names});
    }
    absl::StrAppend(&message, " '", record->name, "' (", ToString(thread.state),
                    ", thread ", record->tid.load(std::memory_order_relaxed),
                    ") at ",
                    names.empty() ? std::string("an unknown place")
                                  : absl::StrJoin(names, " <- "),
                    ";");
  }
  return absl::DeadlineExceededError(message);
}

}  // namespace instar

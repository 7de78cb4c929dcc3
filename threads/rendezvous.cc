// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/rendezvous.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/linux/blocked_signals.h"
#include "base/linux/deadline.h"
#include "base/linux/futex.h"
#include "continuation/paused_computations.h"
#include "stack/interrupted_thread.h"
#include "stack/interrupted_threads.h"
#include "stack/stack_walker.h"
#include "threads/attendant.h"
#include "threads/frame_names.h"
#include "threads/pending_request.h"
#include "threads/stopped_wait.h"
#include "threads/straggler.h"

namespace instar {

using threads_internal::Attendant;
using threads_internal::HoldStamp;
using threads_internal::missing_threads;
using threads_internal::NowForStamp;
using threads_internal::Registry;
using threads_internal::ThreadRecord;

namespace {

using Clock = std::chrono::steady_clock;

// How long the system has to deliver a signal, and the pause before a straggler
// that could not stay interrupted is interrupted again.
constexpr auto kSignalLimit = std::chrono::milliseconds(5);
// In addition, for each thread.
constexpr auto kSignalLimitEach = std::chrono::microseconds(50);
constexpr auto kInterruptAgain = std::chrono::microseconds(500);
// The same for a thread that is to be named, when nobody is held any more.
constexpr auto kNameLimit = std::chrono::milliseconds(200);
constexpr std::size_t kNamedFrames = 8;

// One rendezvous at a time.
class Turn {
 public:
  bool Take(Clock::time_point until) {
    std::unique_lock<std::mutex> lock(lock_);
    if (!free_.wait_until(lock, until, [this] { return !taken_; })) {
      return false;
    }
    taken_ = true;
    return true;
  }
  void Return() {
    {
      std::lock_guard<std::mutex> lock(lock_);
      taken_ = false;
    }
    free_.notify_one();
  }

 private:
  std::mutex lock_;
  std::condition_variable free_;
  bool taken_ = false;
};

Turn& TheTurn() {
  static Turn* const turn = new Turn;
  return *turn;
}

// Takes the turn. A controlled thread counts as stopped while it waits, or two
// of them would wait for each other.
bool TakeTurn(Clock::time_point until) {
  bool taken = false;
  threads_internal::WaitAsStopped(SnapshotOfCaller(),
                                  [&] { taken = TheTurn().Take(until); });
  return taken;
}

}  // namespace

struct Rendezvous::State {
  // With nobody held.
  ~State() { Release(); }
  void Release();
  void ReleaseThreads();

  struct Asked {
    std::shared_ptr<ThreadRecord> record;
    bool is_interrupted = false;  // and stays so
  };

  void Ask(const std::shared_ptr<ThreadRecord>& record);
  // True when nobody is missing; false at `until`.
  bool AwaitMissing(Clock::time_point until);
  void InterruptStragglers();
  void FillStacks();
  absl::Status NameMissing();

  RendezvousOptions options;
  bool all = false;
  std::vector<Asked> asked;
  InterruptedThreads interrupted;
  // Set before the first is held, who may own the dynamic linker's lock; not
  // if none is to be interrupted.
  std::optional<FunctionMap> map;
  const threads_internal::UnsafeCode* unsafe = nullptr;
  std::vector<HeldThread> threads;
  std::vector<std::shared_ptr<HoldStamp>> stamps;  // of each of `threads`
  Clock::time_point begin;
  bool has_turn = false;
  bool holds_entries = false;
  // While it has the turn: a handler of the program that waits here for what a
  // held thread has would wait for ever.
  std::optional<BlockedSignals> no_signals;
};

void Rendezvous::State::Ask(const std::shared_ptr<ThreadRecord>& record) {
  if (record.get() == threads_internal::this_thread.record) return;
  std::lock_guard<std::mutex> lock(record->lock);
  if (record->hold) return;  // named twice
  record->stamp = std::make_shared<HoldStamp>();
  if (!threads_internal::Hold(
          *record, options.point.empty() ? nullptr : options.point.c_str())) {
    // Before the lock is free, hence before the thread can be counted.
    missing_threads.fetch_add(1, std::memory_order_relaxed);
  }
  asked.push_back(Asked{record});
}

void Rendezvous::State::Release() {
  ReleaseThreads();
  no_signals.reset();
}

void Rendezvous::State::ReleaseThreads() {
  if (!has_turn) return;
  if (all) {
    for (auto& record : Registry::Get().StopHoldingNew()) {
      asked.push_back(Asked{std::move(record)});
    }
  }
  for (const Asked& each : asked) {
    std::lock_guard<std::mutex> lock(each.record->lock);
    threads_internal::LetGo(*each.record);
  }
  threads_internal::EndHold();
  for (std::size_t i = 0; i < stamps.size(); ++i) {
    if (threads[i].is_interrupted) {
      stamps[i]->end.store(NowForStamp(), std::memory_order_relaxed);
    }
  }
  interrupted.Release();
  // Only now: code cannot be changed while threads block SIGTRAP in a handler.
  if (std::exchange(holds_entries, false)) Attendant::Get().ReleaseEntries();
  has_turn = false;
  TheTurn().Return();
}

bool Rendezvous::State::AwaitMissing(Clock::time_point until) {
  while (true) {
    // Acquire, paired with CountAsStopped(): their stacks are as they left
    // them.
    const std::uint32_t missing =
        missing_threads.load(std::memory_order_acquire);
    if (missing == 0) return true;
    if (!FutexWait(&missing_threads, missing, &until)) {
      return missing_threads.load(std::memory_order_acquire) == 0;
    }
  }
}

void Rendezvous::State::InterruptStragglers() {
  const auto can_be_held = [](const ThreadRecord& record) {
    const ThreadState state = record.state.load(std::memory_order_relaxed);
    return record.missing && record.per_thread != nullptr &&
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
    std::unique_lock<std::mutex> lock(each.record->lock, std::try_to_lock);
    if (!lock.owns_lock() ||
        each.record->per_thread->busy.load(std::memory_order_relaxed)) {
      interrupted.Release(*thread);
      continue;
    }
    // Or have come by itself meanwhile.
    if (!can_be_held(*each.record)) {
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

void Rendezvous::State::FillStacks() {
  for (const Asked& each : asked) {
    HeldThread thread{ThreadRef(each.record), false, {}};
    if (each.is_interrupted) {
      thread.is_interrupted = true;
      thread.stacks.push_back(
          interrupted.Find(each.record->tid.load(std::memory_order_relaxed))
              ->snapshot);
    } else {
      std::lock_guard<std::mutex> lock(each.record->lock);
      if (each.record->where != nullptr) {
        thread.stacks.push_back(*each.record->where);
      }
    }
    stamps.push_back(each.record->stamp);  // set by us: it is held since
    threads.push_back(std::move(thread));
  }
  const auto held = [this](int tid) {
    return std::find_if(
        threads.begin(), threads.end(), [tid](const HeldThread& thread) {
          return !thread.stacks.empty() && thread.thread.tid() == tid;
        });
  };
  VisitPausedComputations(
      [&](int tid) { return held(tid) != threads.end(); },
      [&](const PausedComputation& paused) {
        // Of no thread: whoever looks at the threads looks at those, too, with
        // the calling thread's own.
        if (paused.tid == 0) return;
        std::vector<StackSnapshot>& stacks = held(paused.tid)->stacks;
        const StackSnapshot snapshot = SnapshotOf(paused.context);
        for (const StackSnapshot* own = &stacks.front(); own != nullptr;
             own = own->switcher) {
          if (own->bounds.high == snapshot.bounds.high) return;
        }
        stacks.push_back(snapshot);
      });
}

absl::Status Rendezvous::State::NameMissing() {
  struct Missing {
    std::shared_ptr<ThreadRecord> record;
    ThreadState state;
    std::vector<std::uintptr_t> pcs;
  };
  std::vector<Missing> missing;
  std::vector<char> room(256 << 10);
  const auto look_at = [&room](Missing& thread, auto limit) {
    const auto copy =
        CopyThread(thread.record->tid.load(std::memory_order_relaxed), limit,
                   room.data(), room.size());
    if (!copy.ok()) return;
    WalkStack(*copy, [&thread](const Frame& frame) {
      thread.pcs.push_back(frame.lookup_pc);
      return true;
    });
  };
  for (const Asked& each : asked) {
    ThreadState state;
    std::vector<std::uintptr_t> pcs;
    {
      std::lock_guard<std::mutex> lock(each.record->lock);
      if (!each.record->missing) continue;
      state = each.record->state.load(std::memory_order_relaxed);
      // It is stopped, though not where it is wanted: no signal is needed.
      if (IsStopped(state) && each.record->where != nullptr) {
        WalkStack(*each.record->where, [&pcs](const Frame& frame) {
          pcs.push_back(frame.lookup_pc);
          return true;
        });
      }
    }
    missing.push_back(Missing{each.record, state, std::move(pcs)});
    if (missing.back().pcs.empty()) look_at(missing.back(), kSignalLimit);
  }
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(
      Clock::now() - begin);
  Release();  // names take locks
  for (Missing& thread : missing) {
    // It may have gone on, but not far, if it was not even run before.
    if (thread.pcs.empty()) look_at(thread, kNameLimit);
  }
  if (missing.empty()) {
    return absl::DeadlineExceededError(absl::StrCat(
        "waited ", waited.count(), " ms; the last thread came just then"));
  }
  std::string message = absl::StrCat("waited ", waited.count(), " ms for");
  for (const Missing& thread : missing) {
    const std::vector<std::string> names =
        threads_internal::NamesOfFrames(thread.pcs, kNamedFrames);
    if (options.missing != nullptr) {
      options.missing->push_back(
          MissingThread{ThreadRef(thread.record), thread.state, names});
    }
    absl::StrAppend(&message, " '", thread.record->name, "' (",
                    ToString(thread.state), ", thread ",
                    thread.record->tid.load(std::memory_order_relaxed), ") at ",
                    names.empty() ? std::string("an unknown place")
                                  : absl::StrJoin(names, " <- "),
                    ";");
  }
  return absl::DeadlineExceededError(message);
}

absl::StatusOr<Rendezvous> Rendezvous::Start(std::unique_ptr<State> state) {
  state->begin = Clock::now();
  auto until = DeadlineAfter(state->begin, state->options.limit);
  if (!TakeTurn(until)) {
    return absl::DeadlineExceededError(
        "another rendezvous did not end in time");
  }
  state->has_turn = true;
  if (state->options.point.empty() &&
      state->options.grace < state->options.limit) {
    state->map = FunctionMap::Preload();
    state->unsafe = &threads_internal::UnsafeCode::Get();
  }
  state->no_signals.emplace(InterruptionSignal().value_or(0));
  // One more, so that it is not zero before all have been asked.
  missing_threads.store(1, std::memory_order_relaxed);
  if (state->options.first.has_value()) {
    state->Ask(state->options.first->record());
    missing_threads.fetch_sub(1, std::memory_order_acq_rel);
    if (!state->AwaitMissing(DeadlineAfter(state->options.first_limit))) {
      state->Release();
      return absl::DeadlineExceededError(
          absl::StrCat("thread '", state->options.first->name(),
                       "', which was asked first, did not come"));
    }
    missing_threads.fetch_add(1, std::memory_order_relaxed);
    until = DeadlineAfter(state->options.limit);
  }
  if (state->options.asked_all != nullptr) {
    *state->options.asked_all = Clock::now();
  }
  if (state->all) {
    const char* const point =
        state->options.point.empty() ? nullptr : state->options.point.c_str();
    Registry::Get().HoldAllAndNew(
        point, [&](const auto& record) { state->Ask(record); });
  } else {
    for (const HeldThread& thread : std::exchange(state->threads, {})) {
      state->Ask(thread.thread.record());
    }
  }
  if (missing_threads.fetch_sub(1, std::memory_order_acq_rel) > 1 &&
      state->options.point.empty() &&
      std::any_of(state->asked.begin(), state->asked.end(),
                  [](const auto& each) {
                    std::lock_guard<std::mutex> lock(each.record->lock);
                    return each.record->missing &&
                           each.record->kind == ThreadKind::kActive;
                  })) {
    const absl::Status status = Attendant::Get().HoldEntries();
    if (!status.ok()) return status;
    state->holds_entries = true;
  }
  if (!state->AwaitMissing(
          std::min(until, DeadlineAfter(state->options.grace)))) {
    do {
      if (Clock::now() >= until) return state->NameMissing();
      if (state->map.has_value()) state->InterruptStragglers();
    } while (!state->AwaitMissing(
        state->map.has_value() ? std::min(until, Clock::now() + kInterruptAgain)
                               : until));
  }
  state->FillStacks();
  return Rendezvous(std::move(state));
}

absl::StatusOr<Rendezvous> Rendezvous::HoldAll(RendezvousOptions options) {
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  state->all = true;
  return Start(std::move(state));
}

absl::StatusOr<Rendezvous> Rendezvous::Hold(absl::Span<const ThreadRef> threads,
                                            RendezvousOptions options) {
  auto state = std::make_unique<State>();
  state->options = std::move(options);
  for (const ThreadRef& thread : threads) {
    state->threads.push_back(HeldThread{thread, false, {}});
  }
  return Start(std::move(state));
}

Rendezvous::Rendezvous(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
Rendezvous::Rendezvous(Rendezvous&&) noexcept = default;
Rendezvous& Rendezvous::operator=(Rendezvous&&) noexcept = default;
Rendezvous::~Rendezvous() = default;

const std::vector<HeldThread>& Rendezvous::threads() const {
  return state_->threads;
}

void Rendezvous::Release() {
  if (state_ != nullptr) state_->Release();
}

void Rendezvous::ReleaseByAnother() { state_->ReleaseThreads(); }

std::vector<std::chrono::nanoseconds> Rendezvous::HoldTimes() const {
  std::vector<std::chrono::nanoseconds> times;
  for (const auto& stamp : state_->stamps) {
    const std::int64_t begin = stamp->begin.load(std::memory_order_relaxed);
    const std::int64_t end = stamp->end.load(std::memory_order_relaxed);
    times.emplace_back(begin == 0 ? 0
                                  : (end == 0 ? NowForStamp() : end) - begin);
  }
  return times;
}

}  // namespace instar

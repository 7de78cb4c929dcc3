// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/rendezvous.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/at_fork.h"
#include "base/error_text.h"
#include "base/linux/deadline.h"
#include "base/linux/futex.h"
#include "code/entries_here.h"
#include "code/entry_interception.h"
#include "continuation/paused_computations.h"
#include "stack/interrupted_thread.h"
#include "stack/stack_snapshot.h"
#include "threads/internal/may_stay_interrupted.h"
#include "threads/internal/pending_request.h"
#include "threads/internal/rendezvous_state.h"
#include "threads/internal/stopped_wait.h"

namespace instar {

using threads_internal::HoldStamp;
using threads_internal::missing_threads;
using threads_internal::NowForStamp;
using threads_internal::Registry;
using threads_internal::ThreadRecord;

namespace {

using Clock = std::chrono::steady_clock;

// The pause before a thread that has not come that could not stay interrupted
// is interrupted again.
constexpr auto kInterruptAgain = std::chrono::microseconds(500);
// Room for threads that start while others are asked.
constexpr std::size_t kMoreThreads = 16;

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

// The thread that had the turn is not in the child, or holds nobody there.
void MakeTurnAnewInChild() { ::new (static_cast<void*>(&TheTurn())) Turn; }

[[gnu::constructor]] void RegisterForkHandlers() {
  TheTurn();  // so that no fork() comes in the middle of its making
  SetForkHandlers(ForkOrder::kRendezvous,
                  {nullptr, nullptr, &MakeTurnAnewInChild});
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

// Of the latest rendezvous that is over, for the next: to map it and to give it
// back took a sixth of a small update.
struct Rendezvous::State::Spare {
  // Taken out and put in by an exchange, acquire and release: whoever has it
  // sees how large the one before has left it. A child has its own copy, or
  // none.
  static std::atomic<Spare*> latest;

  MappedArray<Stack> found;
  MappedArray<StackSnapshot> stacks;
};
std::atomic<Rendezvous::State::Spare*> Rendezvous::State::Spare::latest{
    nullptr};

Rendezvous::State::~State() {
  Release();
  if (spare == nullptr) return;
  // Where threads were may be code that is to be unloaded (base/wiped.h).
  std::fill(found.begin(), found.end(), Stack());
  std::fill(stacks.begin(), stacks.end(), StackSnapshot());
  found.clear();
  stacks.clear();
  spare->found = std::move(found);
  spare->stacks = std::move(stacks);
  spare.reset(
      Spare::latest.exchange(spare.release(), std::memory_order_acq_rel));
}

absl::Status Rendezvous::State::MakeRoom(std::size_t room) {
  if (spare == nullptr) {
    spare.reset(Spare::latest.exchange(nullptr, std::memory_order_acq_rel));
    if (spare == nullptr) spare = std::make_unique<Spare>();
    found = std::move(spare->found);
    stacks = std::move(spare->stacks);
  }
  asked.clear();
  // Without what it has: that would be freed with threads held.
  std::vector<std::shared_ptr<ThreadRecord>>().swap(held_new);
  has_room = true;
  asked.reserve(room);
  threads.reserve(room);
  if (!found.Reserve(room) || !stacks.Reserve(room)) {
    return absl::ResourceExhaustedError(
        "there is no memory to look at the stacks of threads");
  }
  stamps = std::make_shared<std::vector<HoldStamp>>(room);
  // Where there are none, who runs is interrupted.
  if (!kHasFunctionEntries || entries.has_value() || !options.point.empty()) {
    return absl::OkStatus();
  }
  const auto runs = [this](const std::shared_ptr<ThreadRecord>& record) {
    return record->kind == ThreadKind::kActive && PointOf(*record) == nullptr &&
           record.get() != threads_internal::this_thread.record &&
           !IsStopped(record->state.load(std::memory_order_relaxed));
  };
  const auto& records = all ? Registry::Get().All() : wanted;
  if (!needs_entries && std::none_of(records.begin(), records.end(), runs)) {
    return absl::OkStatus();
  }
  auto prepared = EntryInterception::PrepareAll();
  if (!prepared.ok()) return prepared.status();
  entries.emplace(*std::move(prepared));
  return absl::OkStatus();
}

Rendezvous::State::Answer Rendezvous::State::AskAll(Clock::time_point* until) {
  // One more, so that it is not zero before all have been asked.
  missing_threads.store(1, std::memory_order_relaxed);
  if (options.first.has_value()) {
    Ask(options.first->record());
    missing_threads.fetch_sub(1, std::memory_order_acq_rel);
    if (!AwaitMissing(DeadlineAfter(options.first_limit))) {
      return Answer::kNotCome;
    }
    missing_threads.fetch_add(1, std::memory_order_relaxed);
    *until = DeadlineAfter(options.limit);
  }
  if (options.asked_all != nullptr) *options.asked_all = Clock::now();
  if (all) {
    const char* const point =
        options.point.empty() ? nullptr : options.point.c_str();
    Registry::Get().HoldAllAndNew(point,
                                  [this](const auto& record) { Ask(record); });
  } else {
    for (const auto& record : wanted) Ask(record);
  }
  const bool are_missing =
      missing_threads.fetch_sub(1, std::memory_order_acq_rel) > 1;
  // It has just begun, or gone on.
  needs_entries = kHasFunctionEntries && are_missing && !entries.has_value() &&
                  MissesActiveThread();
  return has_room && !needs_entries ? Answer::kAsked : Answer::kNotPrepared;
}

void Rendezvous::State::Ask(const std::shared_ptr<ThreadRecord>& record) {
  if (record.get() == threads_internal::this_thread.record) return;
  const PointAllows needs = options.needs == nullptr
                                ? PointAllows::kMemory
                                : options.needs(ThreadRef(record));
  std::lock_guard<std::mutex> lock(record->lock);
  if (record->hold) return;  // named twice
  if (asked.size() == stamps->size()) {
    has_room = false;
    return;
  }
  std::shared_ptr<HoldStamp> stamp(stamps, &(*stamps)[asked.size()]);
  std::swap(stamp, record->stamp);
  if (!threads_internal::Hold(*record, PointOf(*record), needs)) {
    // Before the lock is free, hence before the thread can be counted.
    missing_threads.fetch_add(1, std::memory_order_relaxed);
  }
  asked.push_back(Asked{record, std::move(stamp)});
}

const char* Rendezvous::State::PointOf(const ThreadRecord& record) const {
  const auto own = options.points.find(record.name);
  const std::string& point =
      own == options.points.end() ? options.point : own->second;
  return point.empty() ? nullptr : point.c_str();
}

void Rendezvous::State::LetGo() {
  if (all) held_new = Registry::Get().StopHoldingNew();
  const auto let_go = [](ThreadRecord& record) {
    std::lock_guard<std::mutex> lock(record.lock);
    threads_internal::LetGo(record);
  };
  for (const Asked& each : asked) let_go(*each.record);
  for (const auto& record : held_new) let_go(*record);
  threads_internal::EndHold();
  for (std::size_t i = 0; is_filled && i < threads.size(); ++i) {
    if (threads[i].is_interrupted) {
      (*stamps)[i].end.store(NowForStamp(), std::memory_order_relaxed);
    }
  }
  interrupted.Release();
}

void Rendezvous::State::Release() {
  ReleaseThreads(/*by_holder=*/true);
  no_allocation.reset();
  no_signals.reset();
}

void Rendezvous::State::ReleaseThreads(bool by_holder) {
  if (!has_turn) return;
  if (generation != ForkGeneration()) {  // in a child: nobody is held
    entries.reset();
    has_turn = false;
    return;
  }
  LetGo();
  if (by_holder) no_allocation.reset();
  // Only now: code cannot be changed while threads block SIGTRAP in a handler.
  entries.reset();
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

bool Rendezvous::State::FillStacks() {
  bool has_memory = true;
  const auto add = [&](std::size_t thread, const StackSnapshot& snapshot) {
    has_memory &= found.Add(Stack{thread, found.size(), snapshot});
  };
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const Asked& each = asked[i];
    threads.push_back(
        HeldThread{ThreadRef(each.record), each.is_interrupted, {}, nullptr});
    threads.back().hold = &(*stamps)[i];
    if (each.is_interrupted) {
      add(i, interrupted.Find(each.record->tid.load(std::memory_order_relaxed))
                 ->snapshot);
    } else {
      std::lock_guard<std::mutex> lock(each.record->lock);
      if (each.record->where != nullptr) add(i, *each.record->where);
    }
  }
  is_filled = true;
  const std::size_t own = found.size();  // by thread, each at most one
  const auto own_of = [&](int tid) -> const Stack* {
    for (std::size_t i = 0; i < own; ++i) {
      if (threads[found[i].thread].thread.tid() == tid) return &found[i];
    }
    return nullptr;
  };
  VisitPausedComputations([&](int tid) { return own_of(tid) != nullptr; },
                          [&](const PausedComputation& paused) {
                            // Of no thread: whoever looks at the threads looks
                            // at those, too, with the calling thread's own.
                            if (paused.tid == 0) return;
                            const Stack* const stack = own_of(paused.tid);
                            const StackSnapshot snapshot =
                                SnapshotOf(paused.context);
                            for (const StackSnapshot* at = &stack->snapshot;
                                 at != nullptr; at = at->switcher) {
                              if (at->bounds.high == snapshot.bounds.high)
                                return;
                            }
                            add(stack->thread, snapshot);
                          });
  if (!has_memory || !stacks.Reserve(found.size())) return false;
  std::sort(found.begin(), found.end(), [](const Stack& a, const Stack& b) {
    return a.thread != b.thread ? a.thread < b.thread : a.number < b.number;
  });
  for (std::size_t i = 0; i < found.size();) {
    const std::size_t first = i;
    while (i < found.size() && found[i].thread == found[first].thread) {
      stacks.Add(found[i++].snapshot);
    }
    threads[found[first].thread].stacks =
        absl::MakeConstSpan(stacks.data() + first, i - first);
  }
  return true;
}

absl::StatusOr<Rendezvous> Rendezvous::Start(std::unique_ptr<State> state) {
  state->begin = Clock::now();
  auto until = DeadlineAfter(state->begin, state->options.limit);
  if (!TakeTurn(until)) {
    return absl::DeadlineExceededError(
        "another rendezvous did not end in time");
  }
  state->has_turn = true;
  state->generation = ForkGeneration();
  // The first time it allocates, and it is asked for while threads are held.
  StackOfThisThread();
  if (state->options.point.empty() &&
      state->options.grace < state->options.limit) {
    state->map = FunctionMap::Preload();
    state->unsafe = &threads_internal::UnsafeCode::Get();
  }
  state->no_signals.emplace(InterruptionSignal().value_or(0));
  for (std::size_t room = state->all
                              ? Registry::Get().All().size() + kMoreThreads
                              : state->wanted.size();
       ; room += state->has_room ? 0 : room + kMoreThreads) {
    const absl::Status status = state->MakeRoom(room);
    if (!status.ok()) return status;
    state->no_allocation.emplace();
    const State::Answer answer = state->AskAll(&until);
    if (answer == State::Answer::kAsked) break;
    if (answer == State::Answer::kNotCome) {
      state->Release();
      return absl::DeadlineExceededError(
          absl::StrCat("thread '", state->options.first->name(),
                       "', which was asked first, did not come"));
    }
    state->LetGo();
    state->no_allocation.reset();
    if (Clock::now() >= until) {
      return absl::DeadlineExceededError("too many threads have just begun");
    }
  }
  if (state->entries.has_value() && state->MissesActiveThread()) {
    absl::Status status = state->entries->Start();
    if (!status.ok()) {
      state->Release();
      return WithText(std::move(status));
    }
  }
  if (!state->AwaitMissing(
          std::min(until, DeadlineAfter(state->options.grace)))) {
    do {
      if (Clock::now() >= until) return state->NameMissing();
      if (state->map.has_value()) state->InterruptMissing();
    } while (!state->AwaitMissing(
        state->map.has_value() ? std::min(until, Clock::now() + kInterruptAgain)
                               : until));
  }
  if (!state->FillStacks()) {
    state->Release();
    return absl::ResourceExhaustedError(
        "there is no memory to look at the stacks of threads");
  }
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
    state->wanted.push_back(thread.record());
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

bool Rendezvous::OwnLocksAreFree() const {
  for (const HeldThread& thread : state_->threads) {
    const std::unique_lock<std::mutex> lock(thread.thread.record()->lock,
                                            std::try_to_lock);
    if (!lock.owns_lock()) return false;
  }
  return threads_internal::Registry::Get().IsFree();
}

void Rendezvous::Release() {
  if (state_ != nullptr) state_->Release();
}

void Rendezvous::ReleaseByAnother() {
  state_->ReleaseThreads(/*by_holder=*/false);
}

std::vector<std::chrono::nanoseconds> Rendezvous::HoldTimes() const {
  std::vector<std::chrono::nanoseconds> times;
  for (std::size_t i = 0; i < state_->threads.size(); ++i) {
    const HoldStamp& stamp = (*state_->stamps)[i];
    const std::int64_t begin = stamp.begin.load(std::memory_order_relaxed);
    const std::int64_t end = stamp.end.load(std::memory_order_relaxed);
    times.emplace_back(begin == 0 ? 0
                                  : (end == 0 ? NowForStamp() : end) - begin);
  }
  return times;
}

}  // namespace instar

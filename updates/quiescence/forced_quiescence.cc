// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/forced_quiescence.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "base/fork_mutex.h"
#include "base/linux/futex.h"
#include "base/status_macros.h"
#include "code/entry_interception.h"
#include "continuation/paused_computations.h"
#include "stack/activity.h"
#include "stack/stack_snapshot.h"
#include "threads/internal/stopped_wait.h"

namespace instar {
namespace {

using Clock = ForcedQuiescence::Clock;

// More continulets within continulets: the call passes.
constexpr int kMostSwitchers = 16;

// Shared by who began it and the calls that wait.
struct Gate {
  Gate(WatchedFunctions what_drains, Clock::time_point limit)
      : watched(std::move(what_drains)), until(limit) {}

  bool IsFor(std::uintptr_t entry) const {
    return std::binary_search(entries.begin(), entries.end(), entry);
  }

  const WatchedFunctions watched;
  const Clock::time_point until;
  const pid_t owner = gettid();
  std::uint64_t number = 0;             // set by Gates
  std::vector<std::uintptr_t> entries;  // in order
  // Release, paired with the acquire load in AwaitOpen(): a call that has
  // waited sees what was changed meanwhile.
  std::atomic<std::uint32_t> is_open{0};
  std::atomic<int> waited{0};
};

// Those that are closed. The lock is held for a few instructions. A thread may
// be stopped while it owns it; nobody needs it then, for gates are opened and
// closed by threads that hold no others.
// In a child those who would open them are not there, so that calls pass.
class Gates {
 public:
  // While one is alive nobody else has them.
  class Access {
   public:
    Access() : access_(all_.Lock()) {
      if (access_->generation_ == ForkGeneration()) return;
      access_->generation_ = ForkGeneration();
      // Nothing is freed: this may be in a signal handler.
      ::new (static_cast<void*>(&access_->gates_)) decltype(gates_);
      ::new (static_cast<void*>(&access_->opened_)) decltype(opened_);
    }
    Gates* operator->() const { return &*access_; }

   private:
    const ForkGuarded<Gates>::Access access_;
  };

  void Add(std::shared_ptr<Gate> gate) {
    opened_.erase(
        std::remove_if(opened_.begin(), opened_.end(),
                       [](const auto& old) { return old.use_count() == 1; }),
        opened_.end());
    opened_.reserve(opened_.size() + gates_.size() + 1);
    gate->number = ++last_number_;
    gates_.push_back(std::move(gate));
  }
  void Remove(const std::shared_ptr<Gate>& gate) {
    const auto found = std::find(gates_.begin(), gates_.end(), gate);
    if (found == gates_.end()) return;  // in a child
    gates_.erase(found);
    // The last call that waits must not free it: it may be in a signal handler.
    opened_.push_back(gate);
  }
  // The first with a higher number. A function may be behind several gates.
  // Allocates nothing.
  std::shared_ptr<Gate> Find(std::uintptr_t entry, std::uint64_t after) const {
    for (const auto& gate : gates_) {
      if (gate->number > after && gate->IsFor(entry)) return gate;
    }
    return nullptr;
  }

 private:
  static ForkGuarded<Gates> all_;  // calls may come while main() ends

  std::uint32_t generation_ = ForkGeneration();  // whose gates these are
  std::vector<std::shared_ptr<Gate>> gates_;     // by number
  std::vector<std::shared_ptr<Gate>> opened_;    // that somebody may still have
  std::uint64_t last_number_ = 0;
};

ForkGuarded<Gates> Gates::all_;

// Whether nothing that is to drain is on a stack of the calling thread, whose
// own is `here`.
bool IsOutside(StackSnapshot here, const FunctionSet& set) {
  StackSnapshot room[kMostSwitchers];
  if (LinkSwitchers(&here, room, kMostSwitchers) < 0) return false;
  if (!FindActivity(here, set).quiescent()) return false;
  bool outside = true;
  VisitPausedComputationsOfThisThread([&](const PausedComputation& paused) {
    outside =
        outside && FindActivity(SnapshotOf(paused.context), set).quiescent();
  });
  return outside;
}

void AwaitOpen(Gate& gate) {
  gate.waited.fetch_add(1, std::memory_order_relaxed);
  while (gate.is_open.load(std::memory_order_acquire) == 0) {
    if (!FutexWait(&gate.is_open, 0, &gate.until)) return;
  }
}

// What a call does before it begins, in any thread. Async-signal-safe until the
// walk has seen that no signal handler is on the stack, which would make it
// incomplete.
void Keep(const InterceptedEntry& entry) {
  if (!threads_internal::CanWaitAsStopped()) return;
  std::shared_ptr<Gate> gate = Gates::Access()->Find(entry.function(), 0);
  if (gate == nullptr) return;
  StackBounds bounds = StackOfCallerIfKnown();
  if (bounds.high == 0) {
    if (RunsInSignalHandler()) return;
    bounds = StackOfCaller();
  }
  const CallerRegisters& caller = entry.caller();
  const StackSnapshot here =
      SnapshotAtEntry(caller.return_address, caller.stack_pointer,
                      caller.frame_pointer, bounds);
  do {
    if (gate->owner != gettid() && IsOutside(here, gate->watched.set())) {
      threads_internal::WaitAsStopped(here, [&] { AwaitOpen(*gate); });
    }
    gate = Gates::Access()->Find(entry.function(), gate->number);
  } while (gate != nullptr);
}

}  // namespace

struct ForcedQuiescence::State {
  ~State() {
    if (gate == nullptr) return;
    {
      const threads_internal::Busy busy;
      Gates::Access()->Remove(gate);
    }
    gate->is_open.store(1, std::memory_order_release);
    FutexWakeAll(&gate->is_open);
  }

  std::shared_ptr<Gate> gate;
  std::optional<EntryInterception> interception;
};

absl::StatusOr<ForcedQuiescence> ForcedQuiescence::Begin(
    absl::Span<const Function> functions, WatchedFunctions watched,
    Clock::time_point until) {
  auto state = std::make_unique<State>();
  auto gate = std::make_shared<Gate>(std::move(watched), until);
  for (const Function& function : functions) {
    gate->entries.push_back(function.entry());
  }
  std::sort(gate->entries.begin(), gate->entries.end());
  Gates::Access();  // the first one allocates
  // Calls that come between the two pass: they find no gate.
  INSTAR_ASSIGN_OR_RETURN(state->interception,
                          EntryInterception::WithGate(functions, &Keep));
  {
    // A signal handler that comes now must not ask for the lock.
    const threads_internal::Busy busy;
    Gates::Access()->Add(gate);
  }
  state->gate = std::move(gate);
  return ForcedQuiescence(std::move(state));
}

ForcedQuiescence::ForcedQuiescence(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
ForcedQuiescence::ForcedQuiescence(ForcedQuiescence&&) noexcept = default;
ForcedQuiescence::~ForcedQuiescence() = default;

int ForcedQuiescence::waited() const {
  return state_->gate->waited.load(std::memory_order_relaxed);
}

}  // namespace instar

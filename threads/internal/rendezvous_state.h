// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A rendezvous, for the files that it consists of.

#ifndef INSTAR_THREADS_INTERNAL_RENDEZVOUS_STATE_H_
#define INSTAR_THREADS_INTERNAL_RENDEZVOUS_STATE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "base/linux/blocked_signals.h"
#include "base/linux/mapped_array.h"
#include "base/no_allocation.h"
#include "code/entry_interception.h"
#include "stack/interrupted_threads.h"
#include "stack/stack_snapshot.h"
#include "threads/internal/may_stay_interrupted.h"
#include "threads/internal/thread_record.h"
#include "threads/rendezvous.h"
#include "threads/thread_state.h"

namespace instar {

struct Rendezvous::State {
  // With nobody held.
  ~State();
  void Release();
  // What ReleaseByAnother() does, too: not of this thread's own.
  void ReleaseThreads(bool by_holder);

  using Clock = std::chrono::steady_clock;

  struct Asked {
    std::shared_ptr<threads_internal::ThreadRecord> record;
    // The one before: it is freed when nobody is held.
    std::shared_ptr<threads_internal::HoldStamp> last_stamp;
    bool is_interrupted = false;  // and stays so
  };
  // A thread, by its place in `asked`, and one of its stacks.
  struct Stack {
    std::size_t thread;
    std::size_t number;  // in the order in which they were found
    StackSnapshot snapshot;
  };
  struct Missing {
    std::size_t thread;
    ThreadState state;
    std::size_t first_pc, pcs;
  };
  enum class Answer { kAsked, kNotCome, kNotPrepared };

  // Nobody is held yet: allocates what is needed from here on.
  absl::Status MakeRoom(std::size_t room);
  // From here on threads are held, and nothing is allocated.
  Answer AskAll(Clock::time_point* until);
  void Ask(const std::shared_ptr<threads_internal::ThreadRecord>& record);
  void LetGo();
  // Null: any.
  const char* PointOf(const threads_internal::ThreadRecord& record) const;
  // True when nobody is missing; false at `until`.
  bool AwaitMissing(Clock::time_point until);
  // False if there is no memory.
  bool FillStacks();

  // Of those that have not come, in rendezvous_missing.cc.

  bool MissesActiveThread() const;
  void InterruptMissing();
  // Releases all; the error names them.
  absl::Status NameMissing();

  RendezvousOptions options;
  bool all = false;
  std::vector<std::shared_ptr<threads_internal::ThreadRecord>>
      wanted;                // if not all
  std::vector<Asked> asked;  // never grows
  bool has_room = true;
  bool needs_entries = false;
  // Those of `asked`, in their order. Who was held keeps them all.
  std::shared_ptr<std::vector<threads_internal::HoldStamp>> stamps;
  std::vector<std::shared_ptr<threads_internal::ThreadRecord>> held_new;
  InterruptedThreads interrupted;
  // Set before the first is held, who may own the dynamic linker's lock; not
  // if none is to be interrupted.
  std::optional<FunctionMap> map;
  const threads_internal::UnsafeCode* unsafe = nullptr;
  // Prepared if a thread may need it, and started when one does.
  std::optional<EntryInterception> entries;
  std::vector<HeldThread> threads;
  MappedArray<Stack> found;
  MappedArray<StackSnapshot> stacks;
  struct Spare;
  std::unique_ptr<Spare> spare;  // whose memory these have
  Clock::time_point begin;
  bool has_turn = false;
  bool is_filled = false;        // `threads`, as `asked`
  std::uint32_t generation = 0;  // ForkGeneration() where it took the turn
  // While it has the turn: a handler of the program that waits here for what a
  // held thread has would wait for ever.
  std::optional<BlockedSignals> no_signals;
  std::optional<NoAllocation> no_allocation;
};

}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_RENDEZVOUS_STATE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/internal/version_record.h"

#include <sched.h>

#include <cstdint>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "base/at_fork.h"
#include "base/small_mutex.h"

namespace instar {
namespace heap_internal {
namespace {

// Threads that are converting an object and wait for another one. A circle of
// them would wait for ever; the thread that closes it does not wait.
struct Waiter {
  const void* object;
  const ConversionInProgress* held;
  Waiter* next;
};
SmallMutex waiters_mutex;
Waiter* waiters = nullptr;  // guarded by waiters_mutex

// Those that wait in other threads are not there in a child.
[[gnu::constructor]] void RegisterForkHandlers() {
  SetForkHandlers(
      ForkOrder::kConversions,
      {[] { waiters_mutex.lock(); }, [] { waiters_mutex.unlock(); },
       [] {
         waiters = nullptr;
         waiters_mutex.unlock();
         const void* objects[kMaxNested];
         NoteConversionsOfForkingThread(
             objects, ConversionInProgress::List(ConversionInProgress::current,
                                                 objects, kMaxNested));
       }});
}

bool ClosesCircle(const void* object, const ConversionInProgress* mine) {
  // At most as many steps as there are waiters.
  std::size_t steps = 0;
  for (Waiter* w = waiters; w != nullptr; w = w->next) ++steps;
  while (steps-- > 0) {
    Waiter* holder = waiters;
    while (holder != nullptr &&
           !ConversionInProgress::Holds(holder->held, object)) {
      holder = holder->next;
    }
    if (holder == nullptr) return false;
    object = holder->object;
    if (ConversionInProgress::Holds(mine, object)) return true;
  }
  return false;
}

void YieldWhileBusy(const std::atomic<Mark>& mark) {
  while (IsBusy(mark.load(std::memory_order_relaxed))) sched_yield();
}

// Waits until nobody converts the object. False: this thread is in the midst
// of it, or would wait for itself.
bool WaitWhileBusy(UpdatableClass* root, const void* object,
                   const std::atomic<Mark>& mark) {
  root->ForgetConversionsOfParent();
  const ConversionInProgress* mine = ConversionInProgress::current;
  if (mine == nullptr) {
    YieldWhileBusy(mark);
    return true;
  }
  if (ConversionInProgress::Holds(mine, object)) return false;
  Waiter self{object, mine, nullptr};
  {
    HeapLock lock(waiters_mutex);
    if (ClosesCircle(object, mine)) return false;
    self.next = waiters;
    waiters = &self;
  }
  YieldWhileBusy(mark);
  HeapLock lock(waiters_mutex);
  Waiter** link = &waiters;
  while (*link != &self) link = &(*link)->next;
  *link = self.next;
  return true;
}

}  // namespace

__thread const ConversionInProgress* ConversionInProgress::current
    __attribute__((tls_model("initial-exec"))) = nullptr;

// Itanium C++ ABI, section 2.5.2: the word before the address point is the
// type_info of the complete object.
const std::type_info* TypeOf(const void* virtual_table) {
  if (virtual_table == nullptr) return nullptr;
  return static_cast<const std::type_info* const*>(virtual_table)[-1];
}

VersionRecord* RecordOfType(UpdatableClass* root, const std::type_info& type) {
  const Mark highest = root->highest_version.load(std::memory_order_acquire);
  for (unsigned number = kBorn; number <= highest; ++number) {
    VersionRecord* record =
        root->versions[number].load(std::memory_order_acquire);
    if (record != nullptr && *record->type == type) return record;
  }
  return nullptr;
}

Mark FreeVersionNumber(UpdatableClass* root, Mark from) {
  for (unsigned number = from; number <= kLastVersion; ++number) {
    if (root->versions[number].load(std::memory_order_relaxed) == nullptr) {
      return static_cast<Mark>(number);
    }
  }
  return kNoObject;
}

VersionRecord* RecordOf(UpdatableClass* root, const void* virtual_table) {
  if (virtual_table == nullptr) return nullptr;
  const Mark highest = root->highest_version.load(std::memory_order_acquire);
  for (unsigned number = kBorn; number <= highest; ++number) {
    VersionRecord* record =
        root->versions[number].load(std::memory_order_acquire);
    if (record != nullptr && record->virtual_table.load(
                                 std::memory_order_relaxed) == virtual_table) {
      return record;
    }
  }
  const std::type_info* type = TypeOf(virtual_table);
  if (type == nullptr) return nullptr;
  for (unsigned number = kBorn; number <= highest; ++number) {
    VersionRecord* record =
        root->versions[number].load(std::memory_order_acquire);
    if (record != nullptr && *record->type == *type) {
      record->virtual_table.store(virtual_table, std::memory_order_relaxed);
      return record;
    }
  }
  return nullptr;
}

VersionRecord* RecordOf(UpdatableClass* root, const void* object, Mark mark) {
  const Mark number = mark & kVersionMask;
  if (number == kBorn) {
    return RecordOf(root, VirtualTableOf(object));
  }
  return root->versions[number].load(std::memory_order_acquire);
}

bool SlotRun::IsFrom(const void* table) {
  if (table == other_table) return false;
  if (RecordOf(root, table) == from) {
    from_table = table;
    return true;
  }
  other_table = table;
  return false;
}

namespace {

__attribute__((noinline, cold)) absl::Status FailedBefore(
    const UpdatableClass* root) {
  return absl::FailedPreconditionError(
      absl::StrCat("an earlier conversion of this object of ", root->name(),
                   " failed; it keeps its version"));
}

// ConvertIfUnchanged(). Inlined into all that use it: half of the cost of a
// first access would be calls.
__attribute__((always_inline)) inline bool TryToConvert(
    UpdatableClass* root, void* object, const TrackedObject& tracked, Mark seen,
    bool retry, absl::Status& status) {
  const Mark number = seen & kVersionMask;
  if (number == kNoObject || (seen & kDying)) return true;
  VersionRecord* record =
      root->versions[number].load(std::memory_order_acquire);
  if (number == kBorn) {
    if (record == nullptr &&
        root->highest_version.load(std::memory_order_acquire) == kBorn) {
      return true;
    }
  } else if (record->next.load(std::memory_order_acquire) == nullptr) {
    return true;
  }
  if (__builtin_expect(seen & kFailed, 0) && !retry) {
    status = FailedBefore(root);
    return true;
  }
  root->ForgetConversionsOfParent();
  // Acquire: what the thread that converted it before wrote. Of two threads
  // that find the old version, one gets past this.
  if (!tracked.mark->compare_exchange_strong(seen, seen | kBusy,
                                             std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
    return false;
  }
  ConversionInProgress progress(object);
  MarkIfUnwound on_unwinding(tracked.mark, seen | kFailed);
  if (number == kBorn) {
    const void* table = VirtualTableOf(object);
    if (record == nullptr ||
        record->virtual_table.load(std::memory_order_relaxed) != table) {
      record = RecordOf(root, table);
    }
  }
  Mark failed = 0;
  while (record != nullptr) {
    VersionRecord* next = record->next.load(std::memory_order_acquire);
    if (next == nullptr || !Fits(object, tracked, *record, *next->step)) break;
    progress.set_version(next);
    if (__builtin_expect(!next->step->forward(object, &status), 0)) {
      failed = kFailed;
      break;
    }
    record = next;
    on_unwinding.Set(root->epoch_bits() | record->number | kFailed);
  }
  on_unwinding.Forget();
  // Release, partner: the acquire of whoever looks at the mark. The epoch of
  // now: also an object that was left as it is has been looked at, and no sweep
  // touches it while a proxy that knows that destroys it.
  tracked.mark->store(root->epoch_bits() |
                          (record == nullptr ? number : record->number) |
                          failed,
                      std::memory_order_release);
  return true;
}

__attribute__((always_inline)) inline void ConvertOrWait(
    UpdatableClass* root, void* object, const TrackedObject& tracked,
    bool retry, absl::Status& status) {
  while (true) {
    // Partner: the release above. Who finds the last number may use all that
    // the thread which converted the object wrote.
    const Mark seen = tracked.mark->load(std::memory_order_acquire);
    if (__builtin_expect(IsBusy(seen), 0)) {
      if (!WaitWhileBusy(root, object, *tracked.mark)) return;
    } else if (TryToConvert(root, object, tracked, seen, retry, status)) {
      return;
    }
  }
}

}  // namespace

bool ConvertIfUnchanged(UpdatableClass* root, void* object,
                        const TrackedObject& tracked, Mark seen, bool retry,
                        absl::Status& status) {
  return TryToConvert(root, object, tracked, seen, retry, status);
}

absl::Status BringUpToDate(UpdatableClass* root, void* object,
                           const TrackedObject& tracked, bool retry) {
  absl::Status status;
  if (tracked.mark != nullptr && !tracked.automatic) {
    ConvertOrWait(root, object, tracked, retry, status);
  }
  return status;
}

void ConvertAtAccess(UpdatableClass* root, void* object) {
  root->NoteProxy();
  absl::Status ignored;  // a failure is marked in the object
  if (std::atomic<Mark>* mark = FindSlotMark(object, root)) {
    ConvertOrWait(root, object, {mark, SlabOf(object)->slot_bytes, false},
                  /*retry=*/false, ignored);
  } else {
    BringUpToDate(root, object, root->Find(object), /*retry=*/false)
        .IgnoreError();
  }
}

bool HasVersion(UpdatableClass* root, const void* object,
                const std::type_info& type) {
  std::atomic<Mark>* mark = root->Find(object).mark;
  if (mark == nullptr) return false;
  const VersionRecord* record = nullptr;
  while (true) {
    // Partner: the release in TryToConvert(). Who finds the number may
    // use the part.
    const Mark seen = mark->load(std::memory_order_acquire);
    if (!IsBusy(seen)) {
      record = RecordOf(root, object, seen);
      break;
    }
    if (const auto* mine =
            ConversionInProgress::Find(ConversionInProgress::current, object)) {
      record = mine->version();
      break;
    }
    // Waiting would be waiting for itself: it has the version before.
    if (!WaitWhileBusy(root, object, *mark)) {
      record = RecordOf(root, object, seen & ~kBusy);
      break;
    }
  }
  for (; record != nullptr; record = record->previous) {
    if (*record->type == type) return true;
  }
  return false;
}

void AwaitConversion(UpdatableClass* root, const void* object) {
  std::atomic<Mark>* mark = root->Find(object).mark;
  if (mark == nullptr) return;
  // Partner: the release of TryToConvert().
  while (IsBusy(mark->load(std::memory_order_acquire))) {
    if (!WaitWhileBusy(root, object, *mark)) return;
  }
}

void ClaimForDestruction(UpdatableClass* root, void* object) {
  std::atomic<Mark>* mark = root->Find(object).mark;
  if (mark == nullptr) return;
  while (true) {
    Mark seen = mark->load(std::memory_order_acquire);
    if (IsBusy(seen)) {
      if (!WaitWhileBusy(root, object, *mark)) return;
      continue;
    }
    // Partner: the compare and swap of TryToConvert(). A sweep that is late
    // fails there.
    if (mark->compare_exchange_weak(seen, seen | kDying,
                                    std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
      return;
    }
  }
}

}  // namespace heap_internal
}  // namespace instar

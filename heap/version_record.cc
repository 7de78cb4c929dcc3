// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/version_record.h"

#include <sched.h>

#include <cstdint>
#include <mutex>

#include "absl/strings/str_cat.h"

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
std::mutex waiters_mutex;
Waiter* waiters = nullptr;  // guarded by waiters_mutex

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
  while (mark.load(std::memory_order_relaxed) & kBusy) sched_yield();
}

// Waits until nobody converts the object. False: this thread is in the midst
// of it, or would wait for itself.
bool WaitWhileBusy(const void* object, const std::atomic<Mark>& mark) {
  const ConversionInProgress* mine = ConversionInProgress::current;
  if (mine == nullptr) {
    YieldWhileBusy(mark);
    return true;
  }
  if (ConversionInProgress::Holds(mine, object)) return false;
  Waiter self{object, mine, nullptr};
  {
    std::lock_guard<std::mutex> lock(waiters_mutex);
    if (ClosesCircle(object, mine)) return false;
    self.next = waiters;
    waiters = &self;
  }
  YieldWhileBusy(mark);
  std::lock_guard<std::mutex> lock(waiters_mutex);
  Waiter** link = &waiters;
  while (*link != &self) link = &(*link)->next;
  *link = self.next;
  return true;
}

}  // namespace

__thread const ConversionInProgress* ConversionInProgress::current
    __attribute__((tls_model("initial-exec"))) = nullptr;

// The word may change while it is read, and belong to a slot that is free:
// whatever stands there is, or was, the virtual table of an object of the
// class. No sanitizer can know that.
__attribute__((noinline, no_sanitize("address"), no_sanitize("thread")))
const void*
VirtualTableOf(const void* object) {
  return *static_cast<const void* const volatile*>(object);
}

// Itanium C++ ABI, section 2.5.2: the word before the address point is the
// type_info of the complete object.
const std::type_info* TypeOf(const void* virtual_table) {
  if (virtual_table == nullptr) return nullptr;
  return static_cast<const std::type_info* const*>(virtual_table)[-1];
}

VersionRecord* RecordOf(UpdatableClass* root, const void* virtual_table) {
  const Mark highest = root->highest_version.load(std::memory_order_acquire);
  for (Mark number = kBorn; number <= highest; ++number) {
    VersionRecord* record =
        root->versions[number].load(std::memory_order_acquire);
    if (record != nullptr && record->virtual_table.load(
                                 std::memory_order_relaxed) == virtual_table) {
      return record;
    }
  }
  const std::type_info* type = TypeOf(virtual_table);
  if (type == nullptr) return nullptr;
  for (Mark number = kBorn; number <= highest; ++number) {
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
  if (number == kBorn || number == kDying) {
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

bool Fits(const void* object, const TrackedObject& tracked,
          const VersionRecord& from, const NextVersion& to) {
  const std::size_t capacity =
      tracked.capacity != 0 ? tracked.capacity : from.size;
  return to.new_size <= capacity &&
         reinterpret_cast<std::uintptr_t>(object) % to.new_alignment == 0;
}

bool ConvertIfUnchanged(UpdatableClass* root, void* object,
                        const TrackedObject& tracked, Mark seen, bool retry,
                        absl::Status& status) {
  const Mark number = seen & kVersionMask;
  if (number == kNoObject || number == kDying) return true;
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
  if ((seen & kFailed) && !retry) {
    status = absl::FailedPreconditionError(
        absl::StrCat("an earlier conversion of this object of ", root->name(),
                     " failed; it keeps its version"));
    return true;
  }
  // Acquire: what the thread that converted it before wrote. Of two threads
  // that find the old version, one gets past this.
  if (!tracked.mark->compare_exchange_strong(seen, seen | kBusy,
                                             std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
    return false;
  }
  ConversionInProgress progress(object);
  if (number == kBorn) record = RecordOf(root, VirtualTableOf(object));
  while (record != nullptr) {
    VersionRecord* next = record->next.load(std::memory_order_acquire);
    if (next == nullptr || !Fits(object, tracked, *record, *next->step)) break;
    status = next->step->forward(object);
    if (!status.ok()) break;
    record = next;
  }
  // Release, partner: the acquire in BringUpToDate(). The epoch of now: also
  // an object that was left as it is has been looked at, and no sweep touches
  // it while a proxy that knows that destroys it.
  tracked.mark->store(root->epoch_bits() |
                          (record == nullptr ? number : record->number) |
                          (status.ok() ? 0 : kFailed),
                      std::memory_order_release);
  return true;
}

absl::Status BringUpToDate(UpdatableClass* root, void* object,
                           const TrackedObject& tracked, bool retry) {
  absl::Status status;
  if (tracked.mark == nullptr || tracked.automatic) return status;
  while (true) {
    // Partner: the release above. Who finds the last number may use all that
    // the thread which converted the object wrote.
    const Mark seen = tracked.mark->load(std::memory_order_acquire);
    if (seen & kBusy) {
      if (!WaitWhileBusy(object, *tracked.mark)) return status;
    } else if (ConvertIfUnchanged(root, object, tracked, seen, retry, status)) {
      return status;
    }
  }
}

void AwaitConversion(UpdatableClass* root, const void* object) {
  std::atomic<Mark>* mark = root->Find(object).mark;
  if (mark == nullptr) return;
  // Partner: the release of BringUpToDate().
  while (mark->load(std::memory_order_acquire) & kBusy) {
    if (!WaitWhileBusy(object, *mark)) return;
  }
}

void ClaimForDestruction(UpdatableClass* root, void* object) {
  std::atomic<Mark>* mark = root->Find(object).mark;
  if (mark == nullptr) return;
  while (true) {
    Mark seen = mark->load(std::memory_order_acquire);
    if (seen & kBusy) {
      if (!WaitWhileBusy(object, *mark)) return;
      continue;
    }
    // Partner: the compare and swap of BringUpToDate(). A sweep that is late
    // fails there.
    if (mark->compare_exchange_weak(seen, (seen & kEpochMask) | kDying,
                                    std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
      return;
    }
  }
}

}  // namespace heap_internal
}  // namespace instar

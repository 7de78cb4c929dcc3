// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/redefinable.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/at_fork.h"
#include "base/library_code.h"
#include "base/linux/blocked_signals.h"
#include "base/small_mutex.h"
#include "code/internal/slot_jumps.h"

namespace instar {
namespace code_internal {
namespace {

// Held for a few instructions, rarely: one serves all slots.
SmallMutex g_slots;

[[gnu::constructor]] void RegisterForkHandlers() {
  SetForkHandlers(ForkOrder::kSlots,
                  {[] { g_slots.lock(); }, [] { g_slots.unlock(); },
                   [] { g_slots.unlock(); }});
}

// Whoever stops threads, and redefines then, finds it free.
class SlotLock {
 public:
  SlotLock() : lock_(g_slots) {}

 private:
  const LibraryCode here_;
  const BlockedSignals blocked_;
  const std::lock_guard<SmallMutex> lock_;
};

extern "C" const char instar_slot_jumps[] __attribute__((visibility("hidden")));
extern "C" std::atomic<AnyFunction> instar_slot_targets[]
    __attribute__((visibility("hidden")));

// Places for slots. Those of the program's own table come first: they need no
// memory that is written and then executed. Taking one allocates nothing, since
// the first call of a Redefinable does it, wherever that is.
class JumpTable {
 public:
  struct Place {
    AnyFunction jump;
    std::atomic<AnyFunction>* target;
  };

  static JumpTable& Get() {
    static JumpTable table;  // initialized by the compiler
    return table;
  }

  // Under the lock of all slots.
  Place Take() {
    if (free_.target != nullptr) {
      const Place place = free_;
      free_.jump = place.target[0].load(std::memory_order_relaxed);
      free_.target = free_.jump == nullptr ? nullptr : TargetOf(free_.jump);
      return place;
    }
    if (used_ == size_) Grow();
    const std::size_t i = used_++;
    return Place{reinterpret_cast<AnyFunction>(reinterpret_cast<std::uintptr_t>(
                     jumps_ + i * kSlotJumpSize)),
                 targets_ + i};
  }
  // Nobody jumps there any more: it holds the jump of the next free place.
  void Return(const Place& place) {
    place.target->store(free_.jump, std::memory_order_relaxed);
    free_ = place;
  }

 private:
  static std::size_t PageSize() {
    return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }

  // Those of one table, or page, lie as its jumps do.
  static std::atomic<AnyFunction>* TargetOf(AnyFunction jump) {
    const auto at = reinterpret_cast<std::uintptr_t>(jump);
    const std::uintptr_t in_first =
        at - reinterpret_cast<std::uintptr_t>(instar_slot_jumps);
    if (in_first < kFirstSlotJumps * kSlotJumpSize) {
      return instar_slot_targets + in_first / kSlotJumpSize;
    }
    const std::uintptr_t page = at & ~(PageSize() - 1);
    return reinterpret_cast<std::atomic<AnyFunction>*>(page + PageSize()) +
           (at - page) / kSlotJumpSize;
  }

  // Puts the jumps into memory in which nothing is executed that could be
  // written, for where that is forbidden (MemoryDenyWriteExecute= of systemd):
  // a file whose page here cannot be written.
  static bool MapFromFile(char* jumps, std::size_t page) {
    const int file = memfd_create("instar slots", MFD_CLOEXEC);
    if (file < 0) return false;
    const bool is_mapped =
        write(file, jumps, page) == static_cast<ssize_t>(page) &&
        mmap(jumps, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file,
             0) != MAP_FAILED;
    const int error = errno;
    close(file);
    errno = error;
    return is_mapped;
  }

  // A page of jumps and a page of where they lead.
  void Grow() {
    const std::size_t page = PageSize();
    void* const memory = mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    INSTAR_CHECK(memory != MAP_FAILED)
        << "no memory for more slots: " << std::strerror(errno);
    auto* const jumps = static_cast<char*>(memory);
    size_ = page / kSlotJumpSize;
    for (std::size_t i = 0; i < size_; ++i) {
      EncodeSlotJump(jumps + i * kSlotJumpSize,
                     page + i * sizeof(AnyFunction) - i * kSlotJumpSize);
    }
    INSTAR_CHECK(mprotect(jumps, page, PROT_READ | PROT_EXEC) == 0 ||
                 MapFromFile(jumps, page))
        << "more than " << kFirstSlotJumps
        << " slots at a time need memory that is made executable: "
        << std::strerror(errno);
    // Where instructions are fetched from elsewhere than data is written to.
    __builtin___clear_cache(jumps, jumps + page);
    jumps_ = jumps;
    targets_ = reinterpret_cast<std::atomic<AnyFunction>*>(jumps + page);
    used_ = 0;
  }

  const char* jumps_ = instar_slot_jumps;
  std::atomic<AnyFunction>* targets_ = instar_slot_targets;
  std::size_t used_ = 0;
  std::size_t size_ = kFirstSlotJumps;
  Place free_{nullptr, nullptr};
};
static_assert(sizeof(std::atomic<AnyFunction>) == sizeof(AnyFunction) &&
                  sizeof(AnyFunction) <= kSlotJumpSize &&
                  std::atomic<AnyFunction>::is_always_lock_free,
              "the jumps read it as it is");

}  // namespace

AnyFunction RedefinableSlot::TakePlace(AnyFunction original) const {
  INSTAR_CHECK(original != nullptr) << "a function is needed";
  const SlotLock lock;
  AnyFunction jump = jump_.load(std::memory_order_relaxed);
  if (jump != nullptr) return jump;
  const JumpTable::Place place = JumpTable::Get().Take();
  original_ = original;
  current_ = place.target;
  Publish();
  // Pairs with the loads in jump() and current().
  jump_.store(place.jump, std::memory_order_release);
  return place.jump;
}

void RedefinableSlot::Publish() const {
  // Pairs with the load in current(), and with that of the jump: on x86-64
  // every load has acquire order, on arm64 it is `ldar`.
  current_->store(layers_ == nullptr ? original_ : layers_->target,
                  std::memory_order_release);
}

RedefinableSlot::~RedefinableSlot() {
  if (const AnyFunction jump = jump_.load(std::memory_order_acquire)) {
    const SlotLock lock;
    JumpTable::Get().Return({jump, current_});
  }
  while (past_targets_ != nullptr) {
    delete std::exchange(past_targets_, past_targets_->next);
  }
}

void RedefinableSlot::Push(SlotLayer* layer,
                           std::unique_ptr<PastSlotTarget>& past) {
  const SlotLock lock;
  const PastSlotTarget* known = past_targets_;
  while (known != nullptr && known->target != layer->target) {
    known = known->next;
  }
  if (known == nullptr) {
    past->next = past_targets_;
    past_targets_ = past.release();
  }
  layer->below = layers_;
  layers_ = layer;
  Publish();
}

void RedefinableSlot::Remove(SlotLayer* layer) {
  const SlotLock lock;
  SlotLayer** link = &layers_;
  while (*link != layer) link = &(*link)->below;
  *link = layer->below;
  Publish();
}

std::vector<AnyFunction> RedefinableSlot::AllTargets() const {
  std::vector<AnyFunction> targets = {original_};
  const SlotLock lock;
  for (const PastSlotTarget* past = past_targets_; past != nullptr;
       past = past->next) {
    if (past->target != original_) targets.push_back(past->target);
  }
  return targets;
}

}  // namespace code_internal

void RedefinableRedirection::Apply() {
  INSTAR_CHECK(!is_applied_) << "a redirection can be applied once";
  slot_.Push(&layer_, past_target_);
  is_applied_ = true;
}

void RedefinableRedirection::Undo() {
  INSTAR_CHECK(is_applied_) << "only an applied redirection can be undone";
  slot_.Remove(&layer_);
  is_applied_ = false;
}

std::vector<uintptr_t> RedefinableRedirection::AllTargets() const {
  std::vector<code_internal::AnyFunction> targets = slot_.AllTargets();
  if (std::find(targets.begin(), targets.end(), layer_.target) ==
      targets.end()) {
    targets.push_back(layer_.target);
  }
  std::vector<uintptr_t> addresses;
  for (const code_internal::AnyFunction target : targets) {
    addresses.push_back(reinterpret_cast<uintptr_t>(target));
  }
  return addresses;
}

}  // namespace instar

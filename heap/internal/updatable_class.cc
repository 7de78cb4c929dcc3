// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/internal/updatable_class.h"

#include <cxxabi.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#include "base/at_fork.h"
#include "base/check.h"
#include "base/fork_mutex.h"
#include "base/linux/stack_bounds.h"

namespace instar {
namespace heap_internal {
namespace {

struct Registry {
  SmallMutex mutex;
  std::vector<UpdatableClass*> classes;
};

// Written while the child has one thread.
const void* of_forking_thread[kMaxNested];
std::size_t of_forking_thread_count = 0;

bool IsOfForkingThread(const void* object) {
  return std::count(of_forking_thread,
                    of_forking_thread + of_forking_thread_count, object) > 0;
}

// Never destroyed: objects of static storage are destroyed at any time.
Registry& ClassRegistry() {
  static Registry* registry = new Registry;
  return *registry;
}

// Locks, in the order in which they are taken: the registry's; of each class
// its arenas_mutex_, its arenas', its shards'; the one under which slabs are
// mapped.
void LockAllForFork() {
  Registry& registry = ClassRegistry();
  registry.mutex.lock();
  for (UpdatableClass* known : registry.classes) known->LockForFork();
  LockSlabsForFork();
}

void UnlockAllAfterFork() {
  UnlockSlabsAfterFork();
  Registry& registry = ClassRegistry();
  for (UpdatableClass* known : registry.classes) known->UnlockAfterFork();
  registry.mutex.unlock();
}

void UnlockAllInChild() {
  for (UpdatableClass* known : ClassRegistry().classes) {
    known->ForgetVersionsLock();
  }
  UnlockAllAfterFork();
}

[[gnu::constructor]] void RegisterForkHandlers() {
  ClassRegistry();
  SetForkHandlers(ForkOrder::kClasses,
                  {&LockAllForFork, &UnlockAllAfterFork, &UnlockAllInChild});
}

bool SameLayout(const ClassLayout& a, const ClassLayout& b) {
  return a.size == b.size && a.alignment == b.alignment && a.room == b.room;
}

// Whether `object`, whose constructor runs in this thread, is an automatic
// variable.
bool IsOnThisStack(const void* object) {
  thread_local const StackBounds bounds = AskForThreadStack();
  const std::uintptr_t a = reinterpret_cast<std::uintptr_t>(object);
  const std::uintptr_t here =
      reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (bounds.Contains(here)) return bounds.Contains(a);
  // On a stack that is not the thread's own (a coroutine's): what lies close
  // above this frame.
  constexpr std::uintptr_t kNear = 16 * 1024;
  return a >= here && a - here < kNear;
}

}  // namespace

__thread const InPlaceChange* InPlaceChange::current
    __attribute__((tls_model("initial-exec"))) = nullptr;

void InPlaceChange::Fail(const std::type_info& type) {
  INSTAR_FATAL() << "an object of " << NameOf(type)
                 << " is being converted, and its move constructor or "
                    "destructor has switched to a continulet that converts "
                    "another one";
  __builtin_unreachable();
}

std::string NameOf(const std::type_info& type) {
  int status = 0;
  char* text = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
  if (text == nullptr) return type.name();
  std::string name = text;
  std::free(text);
  return name;
}

UpdatableClass* UpdatableClass::Register(const ClassLayout& layout) {
  Registry& registry = ClassRegistry();
  HeapLock lock(registry.mutex);
  bool has_other = false;
  for (UpdatableClass* known : registry.classes) {
    if (*known->layout_.type != *layout.type) continue;
    if (SameLayout(known->layout_, layout)) return known;
    known->has_other_layout_.store(true, std::memory_order_relaxed);
    has_other = true;
  }
  registry.classes.push_back(new UpdatableClass(layout));
  UpdatableClass* made = registry.classes.back();
  made->has_other_layout_.store(has_other, std::memory_order_relaxed);
  return made;
}

std::vector<UpdatableClass*> UpdatableClass::All() {
  Registry& registry = ClassRegistry();
  HeapLock lock(registry.mutex);
  return registry.classes;
}

TrackedObject UpdatableClass::Find(const void* object) {
  std::atomic<Mark>* mark = FindSlotMark(object, this);
  if (mark != nullptr) return {mark, SlabOf(object)->slot_bytes, false};
  OutsideObject* outside = FindOutside(object);
  if (outside == nullptr) return {};
  return {&outside->mark, outside->capacity, outside->automatic};
}

UpdatableClass::UpdatableClass(const ClassLayout& layout)
    : layout_(layout), name_(NameOf(*layout.type)) {
  const std::size_t slot =
      SlotBytes(layout.size, layout.room, layout.alignment);
  if (slot <= kMaxSlotBytes && layout.alignment <= kMaxSlotAlignment) {
    main_arena_ = new Arena(this, slot);
    arenas_.store(main_arena_, std::memory_order_release);
  }
}

bool UpdatableClass::IsSizeOfVersion(std::size_t size) const {
  const std::size_t highest = highest_version.load(std::memory_order_relaxed);
  for (std::size_t number = kBorn; number <= highest; ++number) {
    if (sizes[number].load(std::memory_order_relaxed) == size) return true;
  }
  return false;
}

void* UpdatableClass::AllocateOther(std::size_t size, std::size_t alignment) {
  alignment = std::max(alignment, layout_.alignment);
  const std::size_t wanted = SlotBytes(size, layout_.room, alignment);
  if (main_arena_ != nullptr && main_arena_->slot_alignment() >= alignment &&
      size <= main_arena_->slot_bytes() && IsSizeOfVersion(size)) {
    return main_arena_->Allocate(size);
  }
  if (wanted > kMaxSlotBytes || alignment > kMaxSlotAlignment) {
    // The room is kept behind the object; AddOutside() is told by the entry.
    void* memory = ::operator new (wanted, std::align_val_t{alignment});
    Shard& shard = ShardOf(memory);
    try {
      HeapLock lock(shard.mutex);
      shard.objects[memory].capacity =
          static_cast<std::uint32_t>(std::min<std::size_t>(wanted, UINT32_MAX));
    } catch (...) {
      ::operator delete (memory, std::align_val_t{alignment});
      throw;
    }
    return memory;
  }
  Arena* arena = first_arena();
  while (arena != nullptr && arena->slot_bytes() != wanted) {
    arena = arena->next_in_class;
  }
  if (arena == nullptr) {
    HeapLock lock(arenas_mutex_);
    arena = first_arena();
    while (arena != nullptr && arena->slot_bytes() != wanted) {
      arena = arena->next_in_class;
    }
    if (arena == nullptr) {
      arena = new Arena(this, wanted);
      arena->next_in_class = first_arena();
      // Partner: first_arena().
      arenas_.store(arena, std::memory_order_release);
    }
  }
  return arena->Allocate(size);
}

void UpdatableClass::FreeLarge(void* memory, std::size_t alignment) {
  alignment = std::max(alignment, layout_.alignment);
  Shard& shard = ShardOf(memory);
  {
    HeapLock lock(shard.mutex);
    shard.objects.erase(memory);
  }
  ::operator delete (memory, std::align_val_t{alignment});
}

void UpdatableClass::NoteLateBirth(const void* object) {
  Slab* slab = SlabOf(object);
  if (slab != nullptr && slab->owner_class == this &&
      !slab->late_births.load(std::memory_order_relaxed)) {
    slab->late_births.store(true, std::memory_order_relaxed);
  }
  if (!late_births()) {
    // The same for all threads that find it so: epochs change while none runs.
    late_since_.store(epoch_bits(), std::memory_order_relaxed);
    late_births_.store(true, std::memory_order_relaxed);
  }
}

void UpdatableClass::AddOutside(const void* object) noexcept {
  const bool automatic = IsOnThisStack(object);
  Shard& shard = ShardOf(object);
  try {
    HeapLock lock(shard.mutex);
    OutsideObject& entry = shard.objects[object];
    entry.mark.store(static_cast<Mark>(birth()), std::memory_order_relaxed);
    entry.automatic = automatic;
  } catch (const std::bad_alloc&) {
    untracked_.fetch_add(1, std::memory_order_relaxed);
  }
}

void UpdatableClass::RemoveOutside(const void* object) noexcept {
  Shard& shard = ShardOf(object);
  Mark last = kNoObject;
  {
    HeapLock lock(shard.mutex);
    const auto found = shard.objects.find(object);
    if (found == shard.objects.end()) {
      untracked_.fetch_sub(1, std::memory_order_relaxed);
    } else if (found->second.capacity != 0) {
      last = found->second.mark.exchange(kNoObject, std::memory_order_relaxed);
    } else {
      shard.objects.erase(found);  // it had no room for a part
    }
  }
  // Not under the lock: the part may hold updatable objects.
  EndParts(object, last);
}

void UpdatableClass::EndParts(const void* object, Mark last) noexcept {
  auto* end = end_parts[last & kVersionMask].load(std::memory_order_acquire);
  if (end != nullptr) end(const_cast<void*>(object));
}

OutsideObject* UpdatableClass::FindOutside(const void* object) {
  Shard& shard = ShardOf(object);
  HeapLock lock(shard.mutex);
  const auto found = shard.objects.find(object);
  if (found == shard.objects.end()) return nullptr;
  return found->second.mark.load(std::memory_order_relaxed) == kNoObject
             ? nullptr
             : &found->second;
}

void UpdatableClass::ForEachOutside(
    absl::FunctionRef<void(void*, OutsideObject&)> visit) const {
  for (const Shard& shard : shards_) {
    HeapLock lock(shard.mutex);
    for (auto& [object, entry] : const_cast<Shard&>(shard).objects) {
      if (entry.mark.load(std::memory_order_relaxed) == kNoObject) continue;
      visit(const_cast<void*>(object), entry);
    }
  }
}

std::size_t UpdatableClass::outside_count() const {
  std::size_t count = 0;
  ForEachOutside([&](void*, OutsideObject&) { ++count; });
  return count;
}

void UpdatableClass::LockForFork() {
  arenas_mutex_.lock();
  for (Arena* a = first_arena(); a != nullptr; a = a->next_in_class) {
    a->LockForFork();
  }
  for (Shard& shard : shards_) shard.mutex.lock();
}

void UpdatableClass::UnlockAfterFork() {
  for (Shard& shard : shards_) shard.mutex.unlock();
  for (Arena* a = first_arena(); a != nullptr; a = a->next_in_class) {
    a->UnlockAfterFork();
  }
  arenas_mutex_.unlock();
}

void UpdatableClass::ForgetVersionsLock() {
  ::new (static_cast<void*>(&versions_mutex)) std::mutex();
}

void NoteConversionsOfForkingThread(const void* const* objects,
                                    std::size_t count) {
  of_forking_thread_count = std::min(count, kMaxNested);
  std::copy_n(objects, of_forking_thread_count, of_forking_thread);
}

void UpdatableClass::MarkLost() {
  // In a child of a child, one of the parent's threads may have been here.
  static ForkMutex mutex;
  std::lock_guard<ForkMutex> lock(mutex);
  if (process_of_marks_.load(std::memory_order_relaxed) == ForkGeneration()) {
    return;
  }
  const auto mark_lost = [](const void* object, std::atomic<Mark>& mark) {
    Mark seen = mark.load(std::memory_order_relaxed);
    // Objects may be made and destroyed meanwhile, but none of the class is
    // being converted but by the thread that forked, in a Convert().
    if (!IsBusy(seen) || IsOfForkingThread(object)) return;
    mark.compare_exchange_strong(seen, seen | kLost, std::memory_order_relaxed);
  };
  ForEachSlab(this, [&](Slab* s) {
    if (s->IsEmpty()) return;
    for (std::uint32_t i = 0; i < s->slot_count; ++i) {
      mark_lost(s->slot(i), s->marks()[i]);
    }
  });
  ForEachOutside(
      [&](void* object, OutsideObject& o) { mark_lost(object, o.mark); });
  process_of_marks_.store(ForkGeneration(), std::memory_order_release);
}

void UpdatableClass::StartBirthEpoch(bool notice) {
  std::uint32_t epoch =
      ((birth() & kEpochMask) + (1u << kEpochShift)) & kEpochMask;
  if (epoch == 0) {
    epoch = 1u << kEpochShift;
    late_since_.store(0, std::memory_order_relaxed);
    const auto forget = [](std::atomic<Mark>& mark) {
      mark.store(mark.load(std::memory_order_relaxed) & ~kEpochMask,
                 std::memory_order_relaxed);
    };
    ForEachSlab(this, [&](Slab* s) {
      for (std::uint32_t i = 0; i < s->slot_count; ++i) forget(s->marks()[i]);
    });
    ForEachOutside([&](void*, OutsideObject& o) { forget(o.mark); });
  }
  birth_.store(kBorn | epoch | (notice ? kNoticeBirths : 0),
               std::memory_order_relaxed);
}

}  // namespace heap_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the program knows of one updatable class: its layout, where its objects
// are, and its versions. Internal to heap/; users see heap/updatable.h.
//
// There is one UpdatableClass for a class in the whole program, also when code
// for the class has been compiled into several shared objects: it is found by
// its type_info (compared as the C++ ABI compares them: by name, or by address
// for a class of an unnamed namespace), and lives in this library.
// Two classes of one name but of different layouts (a module that was compiled
// from other sources than the program) get one each, and know it: see
// has_other_layout().
//
// Threads: everything may be called from any thread, unless it says otherwise.

#ifndef INSTAR_HEAP_INTERNAL_UPDATABLE_CLASS_H_
#define INSTAR_HEAP_INTERNAL_UPDATABLE_CLASS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <typeinfo>
#include <unordered_map>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/at_fork.h"
#include "base/small_mutex.h"
#include "heap/internal/slab.h"

namespace instar {
namespace heap_internal {

struct VersionRecord;

struct ClassLayout {
  const std::type_info* type;
  std::size_t size;       // bytes
  std::size_t alignment;  // bytes
  std::size_t room;       // bytes that an object can grow by
};

// An object of an updatable class that is not in a slab of its class: on a
// stack, a global, a member, an element of an array or of a container, or made
// by std::make_shared.
struct OutsideObject {
  std::atomic<Mark> mark{kNoObject};
  // On the stack of the thread that made it.
  bool automatic = false;
  // Bytes from its address that are its own; 0 means the size of its class.
  std::uint32_t capacity = 0;
};

// Where the program keeps what it knows of one object.
struct TrackedObject {
  std::atomic<Mark>* mark = nullptr;
  // Bytes from its address that are its own; 0 means the size of its class.
  std::size_t capacity = 0;
  bool automatic = false;
};

class UpdatableClass {
 public:
  // In `birth`, beside the mark that a new object gets.
  static constexpr std::uint32_t kNoticeBirths = 1u << 16;

  // The class of this type and layout; made at the first call.
  static UpdatableClass* Register(const ClassLayout& layout);

  // Every class that has been registered so far.
  static std::vector<UpdatableClass*> All();

  UpdatableClass(const UpdatableClass&) = delete;
  UpdatableClass& operator=(const UpdatableClass&) = delete;

  const ClassLayout& layout() const { return layout_; }
  const std::string& name() const { return name_; }
  // Some code of the program takes a class of this name to be of another
  // layout.
  bool has_other_layout() const {
    return has_other_layout_.load(std::memory_order_relaxed);
  }

  // Slots for objects of the class itself; null if they are too large for
  // slabs (kMaxSlotBytes).
  Arena* main_arena() const { return main_arena_; }
  // All arenas: subclasses of other sizes have one for each size.
  Arena* first_arena() const { return arenas_.load(std::memory_order_acquire); }

  // What operator new does for any other size than the class's own: for a next
  // version that new code makes, where its predecessor would be; for a
  // subclass, slots of its own, with as much room. Throws std::bad_alloc.
  void* AllocateOther(std::size_t size, std::size_t alignment);
  // Frees what AllocateOther() did not take from a slab.
  void FreeLarge(void* memory, std::size_t alignment);

  // What a constructor stores as its object's mark (low 16 bits), and
  // kNoticeBirths. Relaxed: it changes while no constructor of the class runs.
  std::uint32_t birth() const { return birth_.load(std::memory_order_relaxed); }

  // Whether an object has been used through a proxy (heap/lazy_proxy.h) that
  // had not seen it in its version yet. Relaxed: for remarks.
  bool has_proxies() const {
    return has_proxies_.load(std::memory_order_relaxed);
  }
  void NoteProxy() {
    if (!has_proxies()) has_proxies_.store(true, std::memory_order_relaxed);
  }

  // What is told of the end of each object of the class and of subclasses, when
  // its destructors have run; null: nobody. One function for the whole program,
  // set when something is attached to an object for the first time. Acquire and
  // release are not needed: whoever ends an object has been told of what was
  // attached to it, in an ordered way, by who attached it.
  void (*end_listener() const)(const void* object) {
    return end_listener_.load(std::memory_order_relaxed);
  }
  void SetEndListener(void (*listener)(const void* object)) {
    if (end_listener() != listener) {
      end_listener_.store(listener, std::memory_order_relaxed);
    }
  }

  // Births while kNoticeBirths is set.
  void NoteLateBirth(const void* object);
  bool late_births() const {
    return late_births_.load(std::memory_order_relaxed);
  }
  // The epoch (bits of a mark) in which the first of them was born; no later
  // epoch is less.
  Mark late_since() const {
    return late_since_.load(std::memory_order_relaxed);
  }
  void ClearLateBirths() {
    late_births_.store(false, std::memory_order_relaxed);
  }

  // Objects outside of the slabs. Adding one never fails: for want of memory it
  // is merely counted as untracked().
  void AddOutside(const void* object) noexcept;
  void RemoveOutside(const void* object) noexcept;
  // Destroys what versions have added to an object that has been destroyed and
  // had this mark.
  void EndParts(const void* object, Mark last) noexcept;
  // Null if there is none. Valid while the object lives.
  OutsideObject* FindOutside(const void* object);
  // Calls visit(object, entry) for each, holding a lock: `visit` must not make
  // or destroy objects of updatable classes.
  void ForEachOutside(
      absl::FunctionRef<void(void*, OutsideObject&)> visit) const;
  std::size_t outside_count() const;
  std::int64_t untracked() const {
    return untracked_.load(std::memory_order_relaxed);
  }

  // A tracked object, wherever it is; its mark is null if it is not tracked.
  // Valid while the object lives.
  TrackedObject Find(const void* object);

  // Versions (heap/class_version.h). Index: the number in a mark; [kBorn] is
  // the class as the program was built with it. Written while nobody converts,
  // read by whoever read a mark or the generation with acquire.
  std::array<std::atomic<VersionRecord*>, 256> versions{};
  // For versions that are added behind their object: what destroys that part,
  // and those before it, when the object has been destroyed. Else null. Index
  // and order as above.
  std::array<std::atomic<void (*)(void*)>, 256> end_parts{};
  // Of next versions that are in use: bytes; else 0. Relaxed: what new code
  // makes is put where it would have been converted, if that can be told.
  std::array<std::atomic<std::size_t>, 256> sizes{};
  // No number above it is in use.
  std::atomic<Mark> highest_version{kBorn};
  // Incremented, with release, by whatever makes a version the current one or
  // takes it back. What a proxy compares to know whether it must look.
  std::atomic<std::uint32_t> generation{1};
  // Held by whoever changes `versions`, and by whoever sweeps.
  std::mutex versions_mutex;
  // Starts a new birth epoch. `notice`: there is a next version. While nobody
  // else uses the class. There are as many epochs as the mark has room for;
  // when they have all been used, every object becomes one of epoch 0, and they
  // begin again: no object is ever taken for one of a later epoch.
  void StartBirthEpoch(bool notice);
  Mark epoch_bits() const { return static_cast<Mark>(birth() & kEpochMask); }

  // Around fork(): what makes and destroys objects. Not `versions_mutex`, which
  // is held while code of the program runs.
  void LockForFork();
  void UnlockAfterFork();
  // In the child, which has none of the threads that change versions.
  void ForgetVersionsLock();

  // In a child: marks the objects as lost that threads of its parent were
  // converting. Before anything is converted or taken back, or waits for a
  // conversion.
  void ForgetConversionsOfParent() {
    // Partner: the release in MarkLost().
    if (__builtin_expect(process_of_marks_.load(std::memory_order_acquire) !=
                             ForkGeneration(),
                         0)) {
      MarkLost();
    }
  }

 private:
  explicit UpdatableClass(const ClassLayout& layout);

  struct Shard {
    mutable SmallMutex mutex;
    std::unordered_map<const void*, OutsideObject> objects;
  };
  static constexpr std::size_t kShards = 16;
  void MarkLost();
  Shard& ShardOf(const void* object) {
    return shards_[(reinterpret_cast<std::uintptr_t>(object) *
                    0x9E3779B97F4A7C15u) >>
                   60];
  }

  bool IsSizeOfVersion(std::size_t size) const;

  const ClassLayout layout_;
  const std::string name_;
  Arena* main_arena_ = nullptr;
  std::atomic<Arena*> arenas_{nullptr};
  SmallMutex arenas_mutex_;
  std::atomic<std::uint32_t> birth_{kBorn};
  std::atomic<void (*)(const void*)> end_listener_{nullptr};
  std::atomic<bool> late_births_{false};
  std::atomic<bool> has_proxies_{false};
  std::atomic<Mark> late_since_{0};
  std::atomic<bool> has_other_layout_{false};
  std::atomic<std::int64_t> untracked_{0};
  std::array<Shard, kShards> shards_;
  // The ForkGeneration() whose threads are converting what is busy.
  std::atomic<std::uint32_t> process_of_marks_{ForkGeneration()};
};

// Calls function(slab) for every slab of the class; those that are added
// meanwhile may be missed.
template <typename Function>
void ForEachSlab(const UpdatableClass* root, Function function) {
  for (Arena* a = root->first_arena(); a != nullptr; a = a->next_in_class) {
    for (Slab* s = a->first_slab(); s != nullptr; s = s->next_in_class) {
      function(s);
    }
  }
}

// While an object is moved out of its place and a new one is built there, the
// constructors and destructors that run for the two places are no births and no
// deaths. Those of its members of updatable classes are: a member that is moved
// is an object of the class that the moving code takes it for.
// One per conversion, on the stack of the thread that converts.
class InPlaceChange {
 public:
  explicit InPlaceChange(const void* temporary) : temporary_(temporary) {}
  InPlaceChange(const InPlaceChange&) = delete;
  InPlaceChange& operator=(const InPlaceChange&) = delete;

  void Begin(const void* object) {
    object_ = object;
    outer_ = current;
    current = this;
  }
  // Instead of End() and Begin(), if nothing else has run in between.
  void GoOnWith(const void* object) { object_ = object; }
  // Checks that this is the change at hand, and of this object; the compiler
  // then drops what the next constructor or destructor of it would ask. It is
  // not if a constructor or destructor of `type` has switched continulets, or
  // else let other code of this thread convert something, and has come back
  // before that was over.
  [[gnu::always_inline]] void Check(const void* object, const void* temporary,
                                    const std::type_info& type) const {
    if (__builtin_expect(
            current != this || object_ != object || temporary_ != temporary,
            0)) {
      Fail(type);
    }
  }
  void End() { current = outer_; }

  // Whether the object that starts at `address` is the one that this thread is
  // changing, or the temporary. No member can start there: a virtual table
  // pointer does.
  [[gnu::always_inline]] static bool Covers(const void* address) {
    const InPlaceChange* change = current;
    if (__builtin_expect(change == nullptr, 1)) return false;
    return address == change->object_ || address == change->temporary_;
  }

 private:
  [[noreturn, gnu::cold, gnu::noinline]] static void Fail(
      const std::type_info& type);

  static __thread const InPlaceChange* current
      __attribute__((tls_model("initial-exec")));

  const void* object_ = nullptr;
  const void* const temporary_;
  const InPlaceChange* outer_ = nullptr;
};

// In a child, before it does anything else: the objects that the thread which
// forked is converting, in a Convert(). Beyond kMaxNested they are forgotten,
// and taken for lost until their conversion ends.
constexpr std::size_t kMaxNested = 16;
void NoteConversionsOfForkingThread(const void* const* objects,
                                    std::size_t count);

// "ns::Product" for the type's mangled name.
std::string NameOf(const std::type_info& type);

}  // namespace heap_internal
}  // namespace instar

#endif  // INSTAR_HEAP_INTERNAL_UPDATABLE_CLASS_H_

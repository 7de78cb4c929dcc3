// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The base class of a class whose objects can become objects of its next
// version while the program runs.
//
//   class Product : public instar::Updatable<Product> {
//    public:
//     Product(std::string name, int stock);
//     ...
//   };
//
//   auto product = std::make_unique<Product>("apple", 3);   // as ever
//
// It hooks creation and destruction, as the weak pool of PyMoult (HotSWUP'13),
// section 2.3, does: the program can find all objects of the class
// (heap/weak_object_pool.h), none of them kept alive by that.
//
// Size: a virtual destructor, so sizeof is what it would be with that alone.
// An object that `new` makes lies in a slot with kRoom bytes behind it, rounded
// up to a multiple of 16 (of the alignment, if that is larger); a slot costs
// 2.25 bytes more. The room is what a next version can grow by: 32 bytes hold a
// std::string, or four pointers. A version of the class that cannot fit is
// refused when it is compiled. 8 bytes are always enough: a version that needs
// more keeps its new state behind one pointer. More room, or less, which makes
// objects smaller (docs/object_conversion.md says what the room costs):
//
//   class Pixel : public instar::Updatable<Pixel, 8> { ... };
//
// What is tracked, and how far:
//
//   made by                                    found   room to grow
//   new, make_unique, shared_ptr<T>(new T),
//     new (std::nothrow)                       yes     yes
//   a local variable                           yes     no; never converted
//   a global, a member of another object,
//     new T[n], an element of a container,
//     make_shared, placement new               yes     no; converted only to a
//                                                      version of the same size
//   new Derived (Derived : T)                  yes     yes; counted apart, and
//                                                      converted by versions of
//                                                      Derived only
//
// The first row costs less than plain new and delete; all but the first and the
// last cost an entry in a hash table. When memory for such an entry is
// exhausted the object is made all the same and counted as untracked.
//
// The class must not be `final` (it could have no next version), and must have
// no virtual base. It should be movable without throwing: beware that a
// destructor declared in the class takes the implicit move away. One that
// cannot be moved (a mutex, an atomic) has next versions that are added behind
// its objects: heap/added_part.h.
// Copying and moving an object copies and moves no registration: each object
// is in the pool for itself.
//
// Memory of the slots is used again by objects of the same class, and is not
// given back to the system.
//
// Threads: objects may be made and destroyed by any thread; fastest where the
// thread that made an object destroys it. `new` throws std::bad_alloc.

#ifndef INSTAR_HEAP_UPDATABLE_H_
#define INSTAR_HEAP_UPDATABLE_H_

#include <atomic>
#include <cstddef>
#include <new>
#include <type_traits>
#include <typeinfo>

#include "heap/internal/slab.h"
#include "heap/internal/updatable_class.h"

namespace instar {

// What a class gets that does not say how much.
inline constexpr std::size_t kDefaultRoomToGrow = 32;

template <typename T, std::size_t kRoom = kDefaultRoomToGrow>
class Updatable {
 public:
  // The class as the program was built with it, seen from any next version.
  using UpdatableRoot = T;
  static constexpr std::size_t kRoomToGrow = kRoom;

  // Inlined, as Born() and Ended() are, so that the compiler sees the whole of
  // a conversion: what moves an object out and in again is nothing, then.
  [[gnu::always_inline]] virtual ~Updatable() { Ended(); }

  static void* operator new(std::size_t size) {
    if (__builtin_expect(size != sizeof(T) || !FitsSlabs(), 0)) {
      return Class()->AllocateOther(size, alignof(T));
    }
    return Class()->main_arena()->Allocate(size);
  }
  static void* operator new(std::size_t size, std::align_val_t alignment) {
    if (size != sizeof(T) || !FitsSlabs() ||
        static_cast<std::size_t>(alignment) > alignof(T)) {
      return Class()->AllocateOther(size, static_cast<std::size_t>(alignment));
    }
    return Class()->main_arena()->Allocate(size);
  }
  static void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    try {
      return operator new(size);
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
  }
  static void* operator new(std::size_t, void* place) noexcept { return place; }

  static void operator delete(void* object) noexcept {
    Free(object, alignof(T));
  }
  static void operator delete(void* object, std::align_val_t a) noexcept {
    Free(object, static_cast<std::size_t>(a));
  }
  static void operator delete(void* object, const std::nothrow_t&) noexcept {
    Free(object, alignof(T));
  }
  static void operator delete(void*, void*) noexcept {}

  // The program's record of the class. Internal to heap/.
  static heap_internal::UpdatableClass* Class() {
    // Relaxed would do for the pointer; acquire (free on x86-64, nearly so on
    // arm64) is what makes the record behind it visible to a thread that did
    // not register the class itself.
    heap_internal::UpdatableClass* known =
        class_.load(std::memory_order_acquire);
    if (__builtin_expect(known == nullptr, 0)) known = RegisterClass();
    return known;
  }

 protected:
  Updatable() noexcept { Born(); }
  Updatable(const Updatable&) noexcept { Born(); }
  Updatable(Updatable&&) noexcept { Born(); }
  Updatable& operator=(const Updatable&) noexcept { return *this; }
  Updatable& operator=(Updatable&&) noexcept { return *this; }

 private:
  // Whether main_arena() exists. A rough bound: what lies between it and
  // kMaxSlotBytes goes the long way, to the same arena.
  static constexpr bool FitsSlabs() {
    return sizeof(T) + kRoom + alignof(T) + heap_internal::kSlotGranule <=
               heap_internal::kMaxSlotBytes &&
           alignof(T) <= heap_internal::kMaxSlotAlignment;
  }

  __attribute__((noinline)) static heap_internal::UpdatableClass*
  RegisterClass() {
    heap_internal::UpdatableClass* made =
        heap_internal::UpdatableClass::Register(
            {&typeid(T), sizeof(T), alignof(T), kRoom});
    class_.store(made, std::memory_order_release);
    return made;
  }

  // Where the object of class T is that this is the base of. It begins to live
  // after Born(), and has ended at Ended(): UBSan takes the cast for one to an
  // object of another type.
  __attribute__((no_sanitize("vptr"))) const void* Start() const {
    return static_cast<const T*>(this);
  }

  [[gnu::always_inline]] void Born() noexcept {
    static_assert(!std::is_final_v<T>,
                  "instar: an updatable class must not be final: its next "
                  "version derives from it");
    static_assert(std::is_base_of_v<Updatable, T>,
                  "instar: write `class T : public instar::Updatable<T>`: the "
                  "argument of Updatable is the class itself");
    const void* object = Start();
    if (!heap_internal::InPlaceChange::Covers(object)) BornAt(object);
  }

  static void BornAt(const void* object) noexcept {
    heap_internal::UpdatableClass* c = Class();
    const std::uint32_t birth = c->birth();
    std::atomic<heap_internal::Mark>* mark =
        heap_internal::FindSlotMark(object, c);
    if (__builtin_expect(mark != nullptr, 1)) {
      // Relaxed: whoever uses the object got its address in an ordered way.
      mark->store(static_cast<heap_internal::Mark>(birth),
                  std::memory_order_relaxed);
    } else {
      c->AddOutside(object);
    }
    if (__builtin_expect(birth & heap_internal::UpdatableClass::kNoticeBirths,
                         0)) {
      c->NoteLateBirth(object);
    }
  }

  [[gnu::always_inline]] void Ended() noexcept {
    const void* object = Start();
    if (!heap_internal::InPlaceChange::Covers(object)) EndedAt(object);
  }

  static void EndedAt(const void* object) noexcept {
    heap_internal::UpdatableClass* c = Class();
    std::atomic<heap_internal::Mark>* mark =
        heap_internal::FindSlotMark(object, c);
    if (__builtin_expect(mark != nullptr, 1)) {
      const heap_internal::Mark last = mark->load(std::memory_order_relaxed);
      mark->store(heap_internal::kNoObject, std::memory_order_relaxed);
      if (__builtin_expect(
              (last & heap_internal::kVersionMask) != heap_internal::kBorn,
              0)) {
        c->EndParts(object, last);
      }
    } else {
      c->RemoveOutside(object);
    }
    auto* const listener = c->end_listener();
    if (__builtin_expect(listener != nullptr, 0)) listener(object);
  }

  static void Free(void* object, std::size_t alignment) noexcept {
    heap_internal::Slab* slab = heap_internal::SlabOf(object);
    if (__builtin_expect(slab != nullptr, 1)) {
      heap_internal::FreeSlot(slab, object);
    } else if (object != nullptr) {
      Class()->FreeLarge(object, alignment);
    }
  }

  // May exist once in each shared object: all lead to the same record.
  static inline std::atomic<heap_internal::UpdatableClass*> class_{nullptr};
};

}  // namespace instar

#endif  // INSTAR_HEAP_UPDATABLE_H_

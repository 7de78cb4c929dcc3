// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Shadow data: what a new version wants to add to objects that it cannot make
// larger, kept beside them by their address. Linux's livepatch calls it shadow
// variables.
//
//   instar::Shadow<Limit> limits("limits");       // in the module of an update
//
//   bool NewAccept(Connection* connection) {
//     return limits.FindOrAttach(connection, 100).Take(1);
//   }
//
//   void NewClose(Connection* connection) {
//     limits.Detach(connection);
//     instar::Original(&Close)(connection);       // which frees it
//   }
//
// Each Shadow is one kind of data; an object can have one T of each. The
// address is that which the pointer has: use the same class everywhere, since a
// pointer to another base of the object may have another address. An updatable
// class's objects have that of the class as the program was built with it,
// whatever version the pointer is of, and keep what is attached when they are
// converted.
//
// Release with the object. An address is used again: what is attached to an
// object that has gone would be found by the next one that lies there.
//
//   the object                  what is attached ends
//   of an updatable class       with it: after its destructors have run
//     (heap/updatable.h)          (those of its members, too)
//   freed by a function of the  in the new version of that function, as above:
//     program                     Detach(), or DetachShadows() for all kinds
//   freed by free() or delete   with the memory, if the program is linked with
//     anywhere                    heap/shadow/release_at_free.h; else not
//                                 at all
//   made by a function of the   Replace() in the new version of that: what an
//     program, freed anywhere     object before it left there ends then
//
// There is no other way: the library has no means to learn that a plain object
// ends.
//
// When the update that attached it is undone, it stays, as with livepatch,
// unless EndWithUpdate(&limits) is in the plan
// (updates/mechanisms/shadow_data.h).
//
// Threads: any. What is attached is as the object itself: who may use the one
// may use the other, and nobody does while it is detached, replaced, or its
// object ends. Several threads may attach to one object at the same time: all
// get the same T. What a thread wrote to a T before it was attached is seen by
// who finds it. Find() takes no lock and writes nothing, unless something is
// being detached; the others take a lock that is one of 16, by address. T's
// constructors and destructors run under no lock. Not in a signal handler.
//
// Cost: Find() takes as long as a look-up in an absl::flat_hash_map that no
// lock guards, or less; one that finds nothing among 100,000 half as long again
// (shadow_benchmark). 48 to 96 bytes for each T beside its own allocation, half
// of them in tables that have been outgrown; 4 KiB for the first. It is given
// back by End().
//
// A Shadow is a variable of static storage. It has no initializer that runs and
// no destructor, so that a module which has one can be used again when it is
// loaded again (manager/module/module_loader.h); one that is no static variable
// wants End() before it goes.

#ifndef INSTAR_HEAP_SHADOW_SHADOW_H_
#define INSTAR_HEAP_SHADOW_SHADOW_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "heap/shadow/internal/address_table.h"

namespace instar {
namespace heap_internal {

template <typename Object, typename = void>
struct IsUpdatableObject : std::false_type {};
template <typename Object>
struct IsUpdatableObject<Object, std::void_t<typename Object::UpdatableRoot>>
    : std::true_type {};

// The address that data of an object are kept by. An Object may be const: a
// pointer that is taken for one to const would make the compiler warn of an
// object that has not begun.
template <typename Object>
const void* ShadowKey(Object* object) {
  if constexpr (std::is_void_v<Object>) {
    return object;
  } else {
    static_assert(sizeof(Object) > 0,
                  "instar: include the class's definition, which says whether "
                  "it is updatable; of a class that has none, cast the pointer "
                  "to const void*");
    if constexpr (IsUpdatableObject<Object>::value) {
      static_assert(std::is_base_of_v<typename Object::UpdatableRoot, Object>,
                    "instar: attach it to the object that the part was added "
                    "to");
      return static_cast<const typename Object::UpdatableRoot*>(object);
    } else {
      return object;
    }
  }
}

// As ShadowKey(), before something is attached.
template <typename Object>
const void* ShadowKeyToAttach(Object* object) {
  const void* const key = ShadowKey(object);
  if constexpr (IsUpdatableObject<Object>::value) {
    Object::Class()->SetEndListener(&AddressTable::EndInAllTables);
  }
  return key;
}

}  // namespace heap_internal

template <typename T>
class Shadow {
 public:
  // `name`, for people, is a string literal.
  constexpr explicit Shadow(const char* name) : name_(name) {}
  Shadow(const Shadow&) = delete;
  Shadow& operator=(const Shadow&) = delete;

  // What is attached to the object, or null.
  template <typename Object>
  T* Find(Object* object) const {
    const heap_internal::AddressTable* const known = table();
    if (__builtin_expect(known == nullptr, 0)) return nullptr;
    return static_cast<T*>(known->Find(heap_internal::ShadowKey(object)));
  }

  // Makes a T and attaches it; null if there is one. These three throw what
  // that throws, and std::bad_alloc: nothing is attached then.
  template <typename Object, typename... Args>
  T* Attach(Object* object, Args&&... args) {
    const auto [attached, is_new] = Add(object, std::forward<Args>(args)...);
    return is_new ? attached : nullptr;
  }

  // What is attached; if there is nothing, makes it first. Of threads that come
  // here at the same time, several may make a T, of which one is attached.
  template <typename Object, typename... Args>
  T& FindOrAttach(Object* object, Args&&... args) {
    T* const found = Find(object);
    if (found != nullptr) return *found;
    return *Add(object, std::forward<Args>(args)...).first;
  }

  // Attaches a new T; what was attached ends. For an object that begins.
  template <typename Object, typename... Args>
  T& Replace(Object* object, Args&&... args) {
    auto made = Make(std::forward<Args>(args)...);
    const std::unique_ptr<T> before(static_cast<T*>(MakeTable().Exchange(
        heap_internal::ShadowKeyToAttach(object), made.get())));
    return *made.release();
  }

  // Destroys what is attached; whether there was anything.
  template <typename Object>
  bool Detach(Object* object) {
    return table() != nullptr &&
           table()->EndOf(heap_internal::ShadowKey(object));
  }

  // Of all objects; answers how many there were. What is attached meanwhile may
  // stay.
  std::size_t DetachAll() { return table() == nullptr ? 0 : table()->EndAll(); }

  // The same, and gives the memory of the table back: all is as before anything
  // was attached. While nobody uses it; objects may end meanwhile.
  void End() {
    // Partner: the release in TableAt().
    delete table_.exchange(nullptr, std::memory_order_acq_rel);
  }

  // How many there are.
  std::size_t size() const { return table() == nullptr ? 0 : table()->size(); }

  // Calls visit(address, data) for each, in no order, while nobody detaches.
  // It may attach and detach, but for what it has not been given yet.
  void ForEach(absl::FunctionRef<void(const void* object, T& data)> visit) {
    if (table() == nullptr) return;
    table()->ForEach([&](const void* address, void* data) {
      visit(address, *static_cast<T*>(data));
    });
  }

  const char* name() const { return name_; }

 private:
  heap_internal::AddressTable* table() const {
    // Partner: the release in TableAt().
    return table_.load(std::memory_order_acquire);
  }
  heap_internal::AddressTable& MakeTable() {
    return heap_internal::TableAt(table_, name_, &Shadow::EndOne, nullptr);
  }

  template <typename... Args>
  static std::unique_ptr<T> Make(Args&&... args) {
    if constexpr (std::is_constructible_v<T, Args...>) {
      return std::make_unique<T>(std::forward<Args>(args)...);
    } else {
      return std::unique_ptr<T>(new T{std::forward<Args>(args)...});
    }
  }
  static void EndOne(void* data, void*) { delete static_cast<T*>(data); }

  // What is attached then, and whether it is the new one.
  template <typename Object, typename... Args>
  std::pair<T*, bool> Add(Object* object, Args&&... args) {
    auto made = Make(std::forward<Args>(args)...);
    T* const attached = static_cast<T*>(
        MakeTable().Add(heap_internal::ShadowKeyToAttach(object), made.get()));
    const bool is_new = attached == made.get();
    if (is_new) static_cast<void>(made.release());
    return {attached, is_new};
  }

  const char* const name_;
  std::atomic<heap_internal::AddressTable*> table_{nullptr};
};

// Destroys what is attached to the object, of every kind. For a function that
// frees it.
template <typename Object>
void DetachShadows(Object* object) {
  heap_internal::AddressTable::EndInAllTables(heap_internal::ShadowKey(object));
}

}  // namespace instar

#endif  // INSTAR_HEAP_SHADOW_SHADOW_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// All live objects of an updatable class, none of them kept alive: the weak
// pool of PyMoult (HotSWUP'13), section 2.3.
//
//   instar::WeakObjectPool<Product> pool;
//   pool.ForEach([](Product& product) { product.Restock(); });
//   for (const auto& [version, objects] : pool.Counts().by_version) ...
//
// There is nothing to switch on and nothing to fill: the slabs of the class
// (heap/updatable.h) are the list.
//
// Which objects: those whose class is T itself or a later version of T,
// wherever they were made. An object of a class that merely derives from T is
// counted apart, by name; WeakObjectPool<ThatClass> visits it.
//
// Threads: any; ForEach() says what others must not do meanwhile.

#ifndef INSTAR_HEAP_WEAK_OBJECT_POOL_H_
#define INSTAR_HEAP_WEAK_OBJECT_POOL_H_

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "heap/internal/updatable_class.h"

namespace instar {

struct ObjectCounts {
  std::string class_name;  // as the program was built with it
  // Objects by the version that they have, oldest version first.
  std::vector<std::pair<std::string, std::size_t>> by_version;
  // Objects of classes that derive from it and are no versions of it, by name.
  std::vector<std::pair<std::string, std::size_t>> subclasses;
  std::size_t being_converted = 0;  // in none of the other figures
  // Included in by_version and subclasses:
  std::size_t failed = 0;   // their conversion failed, they keep their version
  std::size_t outside = 0;  // not made by `new`: no room to grow
  std::size_t automatic = 0;  // of these, on a stack: never converted
  // Not included: memory for tracking them was exhausted.
  std::size_t untracked = 0;

  // All of them, also those that are being converted or not tracked.
  std::size_t Total() const;
  // 0 if there is no such version.
  std::size_t OfVersion(const std::string& name) const;
};

// The counts of every updatable class that has been used, for a status report.
std::vector<ObjectCounts> CountAllObjects();

namespace heap_internal {

ObjectCounts CountObjects(UpdatableClass* root);
void VisitObjects(UpdatableClass* root, const std::type_info& type,
                  absl::FunctionRef<void(void*)> visit);

}  // namespace heap_internal

template <typename T>
class WeakObjectPool {
 public:
  // Visits each object once that lives all along, in no order that is promised.
  // While it runs, no *other* thread may make or destroy objects of the class
  // (hold the threads, or a lock of the program's own): a constructor or
  // destructor that runs elsewhere would share its object with the visitor. The
  // visitor itself may, also destroy the one that it was given, or another,
  // which is not visited then; what it makes may be visited or not.
  void ForEach(absl::FunctionRef<void(T&)> visit) const {
    using Root = typename T::UpdatableRoot;
    heap_internal::VisitObjects(T::Class(), typeid(T), [&](void* object) {
      visit(static_cast<T&>(*std::launder(static_cast<Root*>(object))));
    });
  }

  // Of the whole class as the program was built with it, at any time. What
  // other threads make, destroy or convert meanwhile is counted before, after
  // or under conversion; each object that lives all along is counted once.
  ObjectCounts Counts() const {
    return heap_internal::CountObjects(T::Class());
  }
};

}  // namespace instar

#endif  // INSTAR_HEAP_WEAK_OBJECT_POOL_H_

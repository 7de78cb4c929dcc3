// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Memory that is zeroed before it is given back. Internal.
//
// An address of an object that may be unloaded must not be left in memory that
// nobody uses: whoever looks there for what still leads into the object
// (manager/module/scan/reference_scan.h) cannot tell it from one that somebody
// uses.
//
//   WipedVector<std::uintptr_t> entries;
//   struct Target {
//     std::uintptr_t address;
//     static void operator delete(void* memory, std::size_t size) {
//       WipeAndFree(memory, size);
//     }
//   };

#ifndef INSTAR_BASE_WIPED_H_
#define INSTAR_BASE_WIPED_H_

#include <string.h>

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace instar {

inline void WipeAndFree(void* memory, std::size_t size) {
  if (memory != nullptr) explicit_bzero(memory, size);
  ::operator delete(memory);
}

template <typename T>
struct WipingAllocator {
  using value_type = T;

  WipingAllocator() = default;
  template <typename U>
  WipingAllocator(const WipingAllocator<U>&) {}  // as allocators convert

  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T)));
  }
  void deallocate(T* memory, std::size_t count) {
    WipeAndFree(memory, count * sizeof(T));
  }
  friend bool operator==(WipingAllocator, WipingAllocator) { return true; }
  friend bool operator!=(WipingAllocator, WipingAllocator) { return false; }
};

template <typename T>
using WipedVector = std::vector<T, WipingAllocator<T>>;

// The elements of one that is about to go.
template <typename T>
void Wipe(std::vector<T>& vector) {
  if (vector.capacity() == 0) return;  // explicit_bzero() takes no null
  explicit_bzero(vector.data(), vector.capacity() * sizeof(T));
  vector.clear();
}

}  // namespace instar

#endif  // INSTAR_BASE_WIPED_H_

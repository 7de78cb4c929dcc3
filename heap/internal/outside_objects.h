// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The objects of a class that are not in its slabs, visited without a lock, as
// code of the program is that may make and destroy others. Internal to this
// package.
//
//   OutsideObjects outside;
//   outside.Reserve(root->outside_count());       // while the program runs
//   ...
//   outside.Begin();
//   while (outside.Next(*root, /*automatic=*/true)) {
//     for (void* object : outside.objects()) ...  // it may be gone by now
//   }
//
// As a rule all of them come at once. Where there is no memory for that, they
// come in as many portions as it takes: nothing here fails.
//
// Threads: as one value of its own. Allocates by mmap() alone.

#ifndef INSTAR_HEAP_INTERNAL_OUTSIDE_OBJECTS_H_
#define INSTAR_HEAP_INTERNAL_OUTSIDE_OBJECTS_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "base/linux/mapped_array.h"
#include "heap/internal/updatable_class.h"

namespace instar {
namespace heap_internal {

class OutsideObjects {
 public:
  // So that so many come at once. False if there is no memory for that.
  bool Reserve(std::size_t count) { return many_.Reserve(count); }

  void Begin() { last_ = 0; }
  // Finds those that were not there yet; false if there are none. `automatic`:
  // those on stacks, too.
  bool Next(const UpdatableClass& root, bool automatic);
  absl::Span<void* const> objects() const { return {data(), count_}; }

 private:
  static constexpr std::size_t kFew = 64;

  bool Add(void* object);
  void* const* data() const {
    return many_.empty() ? few_.data() : many_.data();
  }

  std::array<void*, kFew> few_{};
  MappedArray<void*> many_;  // in place of those, if it is not empty
  std::size_t count_ = 0;
  std::uintptr_t last_ = 0;  // the highest address that was there
};

}  // namespace heap_internal
}  // namespace instar

#endif  // INSTAR_HEAP_INTERNAL_OUTSIDE_OBJECTS_H_

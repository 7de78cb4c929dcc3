// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/internal/outside_objects.h"

#include <algorithm>
#include <functional>

namespace instar {
namespace heap_internal {

bool OutsideObjects::Add(void* object) {
  if (many_.empty()) {
    if (count_ < kFew) {
      few_[count_++] = object;
      return true;
    }
    if (!many_.Reserve(2 * kFew)) return false;
    for (void* few : few_) many_.Add(few);
  }
  if (!many_.Add(object)) return false;
  ++count_;
  return true;
}

bool OutsideObjects::Next(const UpdatableClass& root, bool automatic) {
  many_.clear();
  count_ = 0;
  // Those with the lowest addresses, where there is no room for all.
  const std::less<void*> lower;
  bool is_full = false;
  root.ForEachOutside([&](void* object, OutsideObject& entry) {
    if (entry.automatic && !automatic) return;
    if (reinterpret_cast<std::uintptr_t>(object) <= last_) return;
    if (!is_full && Add(object)) return;
    void** const first = const_cast<void**>(data());
    void** const end = first + count_;
    if (!is_full) std::make_heap(first, end, lower);
    is_full = true;
    if (!lower(object, *first)) return;
    std::pop_heap(first, end, lower);
    end[-1] = object;
    std::push_heap(first, end, lower);
  });
  if (count_ == 0) return false;
  last_ = is_full ? reinterpret_cast<std::uintptr_t>(*data()) : UINTPTR_MAX;
  return true;
}

}  // namespace heap_internal
}  // namespace instar

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The next version of an updatable class, and what it must be.
//
//   struct ProductV2 : Product {             // derives from the last version
//     explicit ProductV2(Product&& old) noexcept : Product(std::move(old)) {}
//     absl::Status Convert();                // optional: PyMoult's __convert__
//     void ConvertBack() noexcept;           // optional: before it is undone
//     double mark = 0;
//   };
//
// An object is converted where it is (docs/object_conversion.md): it is moved
// into a temporary, destroyed, and the next version is constructed from the
// temporary at the same address. Then Convert() runs, if ProductV2 itself
// declares one: `absl::Status Convert()` or `void Convert()`. If it answers an
// error or throws, ConvertBack() does not run, the old part is moved back out
// and the object is a Product again; what Convert() itself changed in the old
// part stays changed. Convert() may use other objects, through proxies those
// of classes that are being updated; it must not destroy its own.
//
// Versions form a chain: ProductV3 derives from ProductV2. An object that
// missed one step takes both.
//
// A class that cannot be moved keeps its objects untouched; its next version is
// a struct that is added behind them: heap/added_part.h.
//
// CanBecome<Old, New> says whether New can follow Old, WhyNot<Old, New> why
// not; using a pair that cannot is refused by the compiler with a sentence.
// What only the running program knows (the layout that it was built with, room,
// virtual bases further up) is checked before anything is changed, see
// heap/conversion.h.
//
// New code reaches new members through an old pointer:
//
//   if (ProductV2* v2 = instar::version_cast<ProductV2>(product)) v2->mark = 1;

#ifndef INSTAR_HEAP_CLASS_VERSION_H_
#define INSTAR_HEAP_CLASS_VERSION_H_

#include <new>
#include <type_traits>
#include <typeinfo>

#include "heap/added_part.h"
#include "heap/internal/version_record.h"
#include "heap/internal/version_requirements.h"
#include "heap/updatable.h"

namespace instar {

// `object` as an object of version `New`, or null if it is of an earlier one
// (or null itself); if New is a part that is added to it, that part. Waits
// while another thread converts the object; does not convert it. Inside New's
// own Convert() it is that object already.
template <typename New, typename T>
New* version_cast(T* object) {
  if (object == nullptr) return nullptr;
  using Root = typename T::UpdatableRoot;
  Root* const start = static_cast<Root*>(object);
  if constexpr (heap_internal::IsAdded<New>::value) {
    using Object = heap_internal::ObjectClassOf<New>;
    static_assert(std::is_base_of_v<T, Object> || std::is_base_of_v<Object, T>,
                  "instar: version_cast goes from a class to a part that is "
                  "added to it");
    if (!heap_internal::HasVersion(T::Class(), start, typeid(New))) {
      return nullptr;
    }
    return std::launder(reinterpret_cast<New*>(
        reinterpret_cast<char*>(start) + heap_internal::OffsetOfPart<New>()));
  } else {
    static_assert(
        std::is_base_of_v<T, New>,
        "instar: version_cast goes from a class to its later version");
    heap_internal::AwaitConversion(T::Class(), start);
    T* current = std::launder(object);
    if (typeid(*current) == typeid(New)) return static_cast<New*>(current);
    return dynamic_cast<New*>(current);
  }
}
// The same of an object that the caller may only read.
template <typename New, typename T>
const New* version_cast(const T* object) {
  return version_cast<std::remove_const_t<New>>(const_cast<T*>(object));
}

}  // namespace instar

#endif  // INSTAR_HEAP_CLASS_VERSION_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A next version of a class whose objects cannot be moved (they hold a mutex or
// an atomic, or register their address somewhere): the object stays what it is,
// untouched, and the new members are constructed behind it, in its spare room.
//
//   struct Counter : instar::Updatable<Counter> {
//     std::mutex mutex;
//     int count = 0;
//   };
//
//   struct CounterPeak : instar::AddedTo<Counter> {
//     explicit CounterPeak(Counter& counter) noexcept;  // been there before
//     absl::Status Convert(Counter& counter);           // optional; may fail
//     void ConvertBack(Counter& counter) noexcept;      // optional
//     int peak = 0;
//   };
//
//   instar::EagerConversion<Counter, CounterPeak>();  // and so on
//   auto* const counter = new Counter;
//   // Or null:
//   CounterPeak* added = instar::version_cast<CounterPeak>(counter);
//
// CounterPeak is the next version of Counter in every respect (strategies,
// undo, counts), but for this:
//   * The object's class does not change: no virtual function gets a new
//     override. Functions are redefined for that
//     (updates/mechanisms/redefine.h), and reach the new members by
//     version_cast.
//   * New code cannot make objects of the next version: it makes a Counter, and
//     CounterPeak is added to it as to any late birth.
//   * What has no room behind it (a global, a member) cannot be converted.
//   * The old class may be final, and may have virtual bases.
//
// The part begins at the first aligned byte behind its object and needs at most
// sizeof(CounterPeak) + alignof(CounterPeak) - 1 bytes of room. It ends with
// its object, whoever destroys that: ~CounterPeak() runs after ~Counter(), and
// must not use the Counter. When the update is undone, ConvertBack() runs, then
// ~CounterPeak(), and the Counter lives on.
//
// After a version that was added, each later one is added too, and says to
// what:
//
//   struct CounterMean : instar::AddedTo<CounterPeak> {
//     explicit CounterMean(Counter& counter) noexcept;
//   };
//
// Threads: version_cast may be called at any time. The part is as safe as its
// author makes it; the old part's mutex may guard it.

#ifndef INSTAR_HEAP_ADDED_PART_H_
#define INSTAR_HEAP_ADDED_PART_H_

#include <cstddef>
#include <type_traits>

namespace instar {

namespace heap_internal {

template <typename T, typename = void>
struct IsAdded : std::false_type {};
template <typename T>
struct IsAdded<T, std::void_t<typename T::InstarLastVersion>> : std::true_type {
};

// The class of the object that T is, or is added to.
template <typename T, typename = void>
struct ObjectClass {
  using type = T;
};
template <typename T>
struct ObjectClass<T, std::void_t<typename T::InstarLastVersion>> {
  using type = typename ObjectClass<typename T::InstarLastVersion>::type;
};
template <typename T>
using ObjectClassOf = typename ObjectClass<T>::type;

}  // namespace heap_internal

// The base of a part that is added to objects of version `Last`.
template <typename Last>
struct AddedTo {
  using InstarLastVersion = Last;
  using UpdatableRoot = typename Last::UpdatableRoot;
};

namespace heap_internal {

template <typename Part>
constexpr std::size_t OffsetOfPart();

// Bytes from the beginning of an object to the end of version T.
template <typename T>
constexpr std::size_t EndOfVersion() {
  if constexpr (IsAdded<T>::value) {
    return OffsetOfPart<T>() + sizeof(T);
  } else {
    return sizeof(T);
  }
}

// Bytes from the beginning of an object to the part.
template <typename Part>
constexpr std::size_t OffsetOfPart() {
  return (EndOfVersion<typename Part::InstarLastVersion>() + alignof(Part) -
          1) /
         alignof(Part) * alignof(Part);
}

// What an object must be aligned to for all the parts of version T.
template <typename T>
constexpr std::size_t AlignmentOfVersion() {
  if constexpr (IsAdded<T>::value) {
    constexpr std::size_t last =
        AlignmentOfVersion<typename T::InstarLastVersion>();
    return alignof(T) > last ? alignof(T) : last;
  } else {
    return alignof(T);
  }
}

}  // namespace heap_internal
}  // namespace instar

#endif  // INSTAR_HEAP_ADDED_PART_H_

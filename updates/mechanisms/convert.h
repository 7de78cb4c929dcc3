// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Converts the objects of a class to its next version (heap/conversion.h;
// PyMoult (HotSWUP'13), section 2.3).
//
//   plan.Add(ConvertEagerly<Site, SiteV2>());        // all at once
//   plan.Add(ConvertLazily<Product, ProductV2>());   // at their next use
//   plan.Add(ConvertProgressively<Order, OrderV2>());  // and in between
//   plan.Add(ConvertBy<Order, OrderV2>(OldestFirst()));  // as a step of yours
//
// Nobody may be inside the class, in whichever version
// (updates/mechanisms/class_functions.h, whose options these are): not while
// eager conversion changes the objects; and not at the moment at which a lazy
// or a progressive one begins, since other threads, or the background, change
// them from then on. So controlled threads are stopped at least.

#ifndef INSTAR_UPDATES_MECHANISMS_CONVERT_H_
#define INSTAR_UPDATES_MECHANISMS_CONVERT_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

#include "heap/conversion.h"
#include "heap/internal/version_change.h"
#include "heap/internal/version_requirements.h"
#include "updates/mechanisms/class_functions.h"
#include "updates/mechanisms/internal/class_watch.h"
#include "updates/mechanisms/mechanism.h"

namespace instar {
namespace updates_internal {

// How many objects an eager conversion has converted.
using ConversionCounter = std::shared_ptr<std::atomic<std::size_t>>;

// `options`, with a report of progress that counts in `counter`, too.
ConversionOptions Counted(ConversionOptions options, ConversionCounter counter);

// `counter` is null if what it does before it is applied is not counted.
std::shared_ptr<Mechanism> MakeConversion(std::unique_ptr<ConversionStep> step,
                                          std::shared_ptr<ClassWatch> watch,
                                          ConversionCounter counter,
                                          bool has_convert_back);

template <typename New>
constexpr bool HasConvertBack() {
  return heap_internal::ConvertBackHook<New>::value ==
         heap_internal::Hook::kUsable;
}

template <typename Old, typename New>
std::shared_ptr<ClassWatch> WatchOf(ClassFunctionsOptions functions) {
  return std::make_shared<ClassWatch>(Old::UpdatableRoot::Class(),
                                      &TypesOfChange<Old, New>,
                                      std::move(functions));
}

}  // namespace updates_internal

// By whatever strategy `step` is; its work in the background pauses whenever
// threads are held.
template <typename Old, typename New>
std::shared_ptr<Mechanism> ConvertBy(std::unique_ptr<ConversionStep> step,
                                     ClassFunctionsOptions functions = {}) {
  return updates_internal::MakeConversion(
      std::move(step),
      updates_internal::WatchOf<Old, New>(std::move(functions)),
      /*counter=*/nullptr, updates_internal::HasConvertBack<New>());
}

template <typename Old, typename New>
std::shared_ptr<Mechanism> ConvertEagerly(
    ConversionOptions options = {}, ClassFunctionsOptions functions = {}) {
  auto counter = std::make_shared<std::atomic<std::size_t>>(0);
  return updates_internal::MakeConversion(
      EagerConversion<Old, New>(
          updates_internal::Counted(std::move(options), counter)),
      updates_internal::WatchOf<Old, New>(std::move(functions)), counter,
      updates_internal::HasConvertBack<New>());
}

template <typename Old, typename New>
std::shared_ptr<Mechanism> ConvertLazily(ConversionOptions options = {},
                                         ClassFunctionsOptions functions = {}) {
  return ConvertBy<Old, New>(LazyConversion<Old, New>(std::move(options)),
                             std::move(functions));
}

template <typename Old, typename New>
std::shared_ptr<Mechanism> ConvertProgressively(
    ConversionOptions options = {}, ClassFunctionsOptions functions = {}) {
  return ConvertBy<Old, New>(
      ProgressiveConversion<Old, New>(std::move(options)),
      std::move(functions));
}

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_CONVERT_H_

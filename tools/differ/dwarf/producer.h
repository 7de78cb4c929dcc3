// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What an object was compiled with, as GCC notes it (-grecord-gcc-switches,
// which is on unless turned off). Two builds can be compared only if that is
// the same.
//
//   const std::string difference =
//       ProducerDifference(ProducersOf(*old_object), ProducersOf(*new_object));
//   if (!difference.empty()) return absl::FailedPreconditionError(difference);
//
// Paths, macros and warnings are not noted. Threads: as ObjectDebugInfo.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_PRODUCER_H_
#define INSTAR_TOOLS_DIFFER_DWARF_PRODUCER_H_

#include <string>
#include <vector>

#include "tools/differ/dwarf/object_debug_info.h"

namespace instar {
namespace differ {

struct UnitProducer {
  std::string source;    // as it was given to the compiler: "src/shop.cc"
  std::string folder;    // where that ran
  std::string compiler;  // "GNU C++17 12.2.0"
  std::vector<std::string> flags;  // "-O2"; one with an argument is two
};

// Of each unit: an object that a compiler wrote has one.
std::vector<UnitProducer> ProducersOf(const ObjectDebugInfo& object);

// Whether all of it was compiled with -O1 or more, -Os or -Og.
bool IsOptimized(const std::vector<UnitProducer>& units);

// Empty if compiler and flags are the same; flags for debug information alone
// (-g3, -gdwarf-4) may differ. Else a sentence that says what differs and what
// to do: "src/shop.cc was compiled with -O2 in the old build and without it,
// but with -O1, in the new one; build both with the same flags".
std::string ProducerDifference(const std::vector<UnitProducer>& old_units,
                               const std::vector<UnitProducer>& new_units);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_PRODUCER_H_

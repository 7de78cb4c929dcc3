// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Objects that were compiled from one source, of which a program was linked
// from one.

#ifndef INSTAR_TOOLS_DIFFER_FILES_RIVALS_H_
#define INSTAR_TOOLS_DIFFER_FILES_RIVALS_H_

#include <cstdint>
#include <set>
#include <vector>

#include "tools/differ/dwarf/compilation_units.h"

namespace instar {
namespace differ {

// What an object has in common with the program.
struct Traces {
  std::vector<CompilationUnit> units;  // its sources
  std::set<std::uint64_t> places;      // of what is nobody else's
};

// Whether all that the program has of `other` is of `object`: that has more, or
// is of the source as the compiler of the program was given it. False where the
// program has a source of `other` twice, and where it has no debug information.
bool WasLinkedInsteadOf(const LinkedUnits& program, const Traces& object,
                        const Traces& other);

// Whether they have a source in common.
bool AreRivals(const Traces& a, const Traces& b);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_FILES_RIVALS_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which functions an instruction of an object was inlined from, and where they
// are called.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_INLINED_CALLS_H_
#define INSTAR_TOOLS_DIFFER_DWARF_INLINED_CALLS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tools/differ/dwarf/line_numbers.h"
#include "tools/differ/dwarf/object_debug_info.h"

namespace instar {
namespace differ {

// Readable names, the innermost function first. Empty for an instruction of
// what has not been inlined, and where nothing is known.
std::vector<std::string> InlinedAt(const ObjectDebugInfo& object,
                                   const ObjectPlace& place);

// A function of an object into which another one has been inlined.
struct Inliner {
  std::string inlined;  // readable name of the other one
  ObjectPlace place;    // where the code of the function begins
};
std::vector<Inliner> InlinersOf(const ObjectDebugInfo& object);

// All lines of an object in which a function is called that is inlined there.
// Lifetime and threads: as of LineNumbers.
class InlinedCalls {
 public:
  static InlinedCalls Of(const ObjectDebugInfo& object);

  // The lines of the calls whose code has a byte of [begin, begin + size), the
  // outer ones first.
  std::vector<SourceLine> FindAll(const ObjectPlace& begin,
                                  std::uint64_t size) const;

 private:
  struct Call {
    std::uint64_t begin;
    std::uint64_t size;
    SourceLine line;
  };

  std::map<std::uint32_t, std::vector<Call>> calls_;  // by section
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_INLINED_CALLS_H_

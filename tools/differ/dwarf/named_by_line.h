// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Names that a macro makes of the number of the line it is used in:
//
//   #define REGISTER(f) static Registration JOIN(reg_, __LINE__)(f)
//
// Another line before them gives each the name that the next one had.
//
// Threads: as ObjectDebugInfo.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_NAMED_BY_LINE_H_
#define INSTAR_TOOLS_DIFFER_DWARF_NAMED_BY_LINE_H_

#include <cstdint>
#include <map>
#include <string>

#include "tools/differ/dwarf/object_debug_info.h"

namespace instar {
namespace differ {

struct NamedByLine {
  // With "#" for the number: "reg_#", "h_#()", "f/n_#", "h_#/n".
  std::string name;
  std::string file;  // of the declaration
  int line = 0;
  // Among the object's of that name, in the order of their lines, from 0; and
  // how many they are.
  int order = 0;
  int of = 1;
};

// The functions and variables whose name has the number of the line that
// declares them, or that are in a function with such a name, by section. It may
// be there by chance.
std::map<std::uint32_t, NamedByLine> NamedByLineIn(
    const ObjectDebugInfo& object);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_NAMED_BY_LINE_H_

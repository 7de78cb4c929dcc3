// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which functions an instruction of an object was inlined from.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_INLINED_CALLS_H_
#define INSTAR_TOOLS_DIFFER_DWARF_INLINED_CALLS_H_

#include <string>
#include <vector>

#include "tools/differ/dwarf/object_debug_info.h"

namespace instar {
namespace differ {

// Readable names, the innermost function first. Empty for an instruction of
// what has not been inlined, and where nothing is known.
std::vector<std::string> InlinedAt(const ObjectDebugInfo& object,
                                   const ObjectPlace& place);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_INLINED_CALLS_H_

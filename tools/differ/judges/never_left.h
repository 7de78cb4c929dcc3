// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions that are never left once they have been called: of these, the old
// version goes on.

#ifndef INSTAR_TOOLS_DIFFER_JUDGES_NEVER_LEFT_H_
#define INSTAR_TOOLS_DIFFER_JUDGES_NEVER_LEFT_H_

#include <set>
#include <string>

#include "tools/differ/object.h"

namespace instar {
namespace differ {

// As far as its code tells: main(), and what has no instruction that returns or
// goes elsewhere. A loop that has a way out counts as one that is left, and so
// does a switch by a table.
bool IsNeverLeft(const Unit& function);

// What a function catches, by its type_info: those of the handlers that it has,
// but for catch (...), which has none.
std::set<std::string> CaughtBy(const Unit& function);

// Readable names of functions that the new version calls where exceptions go
// through it, or are caught, and the old one where they end the program: as
// these functions threw nothing when it was compiled.
std::set<std::string> MayThrowOnlyNow(const Unit& old_function,
                                      const Unit& new_function);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_JUDGES_NEVER_LEFT_H_

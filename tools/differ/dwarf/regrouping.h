// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Members that went into a plain structure of their own, or came out of one,
// and stayed where they were:
//
//   struct reply { int kind; char text[64]; int used; };
//
//   struct text { char text[64]; int used; };
//   struct reply { int kind; struct text answer; };
//
// Internal to this package. Threads: any.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_REGROUPING_H_
#define INSTAR_TOOLS_DIFFER_DWARF_REGROUPING_H_

#include "tools/differ/dwarf/type_layout.h"

namespace instar {
namespace differ {

// Whether the two structures hold the same, only grouped in another way: taken
// apart down to what is no plain structure (a number, a pointer, an array, a
// union, a class), they have at each place something of the same name, type and
// size. What is in other groups than before has a name of its own in both, and
// has only got structures around it, or only lost some; a structure that is a
// member of both is of the same type. So of {p, q} of one type, neither may
// have become the other, and nothing may have another name.
//
// Bases, virtual functions and how it is passed are the same. No bit-field is
// in another group.
bool IsRegrouped(const TypeLayout& was, const TypeLayout& is);

// Whether the structures in them that IsRegrouped() takes apart are the same.
bool HasSameParts(const TypeLayout& a, const TypeLayout& b);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_REGROUPING_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Two layouts of one type, and what the difference means. Internal to this
// package. Threads: any.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_TYPE_JUDGE_H_
#define INSTAR_TOOLS_DIFFER_DWARF_TYPE_JUDGE_H_

#include "tools/differ/dwarf/type_changes.h"
#include "tools/differ/dwarf/type_layout.h"

namespace instar {
namespace differ {

// All of it but `objects` and where objects of the type may exist. They must
// not be the same.
TypeChange Judge(const TypeLayout& was, const TypeLayout& is);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_TYPE_JUDGE_H_

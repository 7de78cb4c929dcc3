// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Redefines functions that are known by the addresses of their entries, as a
// comparison of two builds gives them (manager/module/generated_module.h):
// nothing is looked up by name, and no file is read, unless a function has to
// be on no stack.
//
//   std::uintptr_t entry = 0x401000, new_entry = 0x3e1000;
//   plan.Add(RedefineEntries({{entry, new_entry, "_ZN4shop5PriceEi"}}));
//
// Whoever made the list has compared the two versions: whether they take and
// return the same, and where the old one was inlined. So nothing of that is
// checked here, and most functions may be redefined while threads are inside:
// calls that begin later reach the new version. All of a list switch together,
// forth and back.
//
// Lifetime: the images of the new functions stay loaded for as long as the
// mechanism is applied, and after that for as long as a thread may be in one.

#ifndef INSTAR_UPDATES_MECHANISMS_REDEFINE_ENTRIES_H_
#define INSTAR_UPDATES_MECHANISMS_REDEFINE_ENTRIES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "base/wiped.h"
#include "updates/mechanisms/mechanism.h"

namespace instar {

struct EntryRedefinition {
  std::uintptr_t from;
  std::uintptr_t to;  // 0: not to be redefined, but to be on no stack
  std::string name;   // linkage name of `from`
  // The function that has code at `from`, in every version that it ever had,
  // has to be on no stack. Copies that were inlined are looked for as far as
  // they are known already: list the functions that they are in. So are parts
  // that the compiler split off, `f.cold`, if the file has symbols: of one that
  // has none, list them.
  bool must_be_quiescent = false;
  // As of AddressRedirection (code/function_entry.h).
  bool from_may_go = false;
};

std::shared_ptr<Mechanism> RedefineEntries(
    WipedVector<EntryRedefinition> entries);

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_REDEFINE_ENTRIES_H_

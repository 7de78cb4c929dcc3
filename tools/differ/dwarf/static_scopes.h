// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which variables of the source an object's data are. Symbols do not tell: C
// numbers its local statics by their place in the file (hits.0, hits.1), and
// another one before them moves the numbers.
//
//   for (const StaticVariable& v : StaticVariablesOf(*info)) {
//     ... v.place: v.function, v.name, v.order ...
//   }
//
// What the compiler has made up is not among them (compound literals,
// .LC0, guards, tables), nor what it has taken apart or dropped.
//
// Threads: as ObjectDebugInfo.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_STATIC_SCOPES_H_
#define INSTAR_TOOLS_DIFFER_DWARF_STATIC_SCOPES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tools/differ/dwarf/object_debug_info.h"
#include "tools/differ/dwarf/scalar_kind.h"

namespace instar {
namespace differ {

struct StaticVariable {
  // Of a thread-local variable, in .tdata or .tbss.
  ObjectPlace place;
  bool is_thread_local = false;
  bool is_external = false;  // other objects can refer to it

  std::string name;            // as it is written: "hits"
  std::string qualified_name;  // "shop::hits", "Sell(int)::hits"
  std::string type;            // one spelling, type_names.h says which
  // The same without const and volatile, and in numbers what of it is compared.
  std::string bare_type;
  std::uint64_t size = 0;  // bytes; 0: not told
  ScalarKind scalar = ScalarKind::kNone;

  // The function that it is in, of the innermost lambda or local class; both
  // are empty if it is in none. The linkage name is also empty where nobody
  // knows one: of a function that is local to the file and inlined everywhere.
  // A constructor has that of its source (_ZN4ShopC4Ev).
  std::string function;  // "shop::Sell(int)"; in C "Sell"
  std::string linkage_name_of_function;
  // The blocks in that: "" or "{1}{0}", each by its order among its siblings.
  // Compilers drop blocks that have lost all they had, so it may differ where
  // the source does not.
  std::string blocks;
  // Whether the function has only been inlined, and has no code of its own.
  bool is_inlined = false;

  std::string file;  // of the declaration
  int line = 0;
  // Among the object's variables of the same function (or of none) and name, in
  // the order of their declarations, from 0; and how many they are.
  int order = 0;
  int of = 1;
};

// All of them, by place.
std::vector<StaticVariable> StaticVariablesOf(const ObjectDebugInfo& object);

// For a variable that both builds have: empty if what it holds means the same
// to both, as far as types tell; else "was float, is int". What a class
// consists of is not compared (type_changes.h does that), nor how many elements
// an array has.
std::string VariableDifference(const StaticVariable& was,
                               const StaticVariable& is);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_STATIC_SCOPES_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What functions take and return, as their source says. In C++ a function whose
// parameters change has another name, and its callers with it; in C it keeps
// the name, and who was not compiled anew, or is running, calls it as before.
//
//   if (ToString(old_signature) != ToString(new_signature)) ... every caller
//
// Threads: as ObjectDebugInfo.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_SIGNATURES_H_
#define INSTAR_TOOLS_DIFFER_DWARF_SIGNATURES_H_

#include <string>
#include <vector>

#include "tools/differ/dwarf/object_debug_info.h"

namespace instar {
namespace differ {

struct FunctionSignature {
  // Where it is entered, and all of its code: a cold part has a section of its
  // own.
  ObjectPlace place;
  std::vector<ObjectDebugInfo::Stretch> code;

  // Its symbol: that of debug information if it is there, else the first one,
  // exported ones first. A clone's has the clone's suffix (Sell.isra.0). Empty
  // if it has none.
  std::string linkage_name;
  std::string name;  // "shop::Sell(int)"; in C "Sell"
  std::string file;  // of the definition
  int line = 0;

  // As type_names.h spells them, without const and volatile around all of it.
  // Parameters that the compiler adds are left out: of `this` the name tells.
  std::string return_type;
  std::vector<std::string> parameters;
  // The same without const and volatile behind pointers, too: how it is passed.
  std::string bare_return_type;
  std::vector<std::string> bare_parameters;
  // It is called with an object: the first parameter is `this`.
  bool has_this = false;
  // The result is a number of at most eight bytes, or a pointer: in a register
  // that a caller may leave alone.
  bool is_result_in_register = false;
  bool is_variadic = false;
  bool is_noreturn = false;
  bool is_external = false;
  // Its linkage name does not tell the parameters.
  bool is_unmangled = false;
};

// Of every function of the object that has code, by place. A clone has the
// signature of its source, whatever it has been left of it.
std::vector<FunctionSignature> SignaturesOf(const ObjectDebugInfo& object);

// Whether code that was compiled for the one may call the other. It may if
// const and volatile differ, if there is a result that it does not know of, and
// if the other one does not return. Parameters that the name of C++ tells are
// the same.
bool MayCallAs(const FunctionSignature& was, const FunctionSignature& is);

// "int shop::Sell(int)" and "[[noreturn]] void Die(char const*, ...)".
std::string ToString(const FunctionSignature& signature);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_SIGNATURES_H_

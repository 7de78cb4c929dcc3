// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// All functions of the running program whose names have a property.
//
//   const FoundFunctions found = FindFunctions([](absl::string_view name) {
//     return absl::StartsWith(name, "_ZN4shop4Site");
//   });
//
// Looked at are the linkage names of all functions with code of their own in a
// loaded object, and of those that exist only as copies, inlined into others
// (from debug information, which does not name those of unnamed namespaces).
//
// Threads: any. Takes locks; the first call reads the symbols and the debug
// information of all objects (milliseconds): before threads are stopped.

#ifndef INSTAR_CODE_FIND_FUNCTIONS_H_
#define INSTAR_CODE_FIND_FUNCTIONS_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "code/function.h"

namespace instar {

// A copy of a function that has no code of its own anywhere.
struct InlinedFunction {
  std::string name;  // readable
  InlinedCopy copy;
};

struct FoundFunctions {
  std::vector<Function> functions;       // by address
  std::vector<InlinedFunction> inlined;  // a function may have several copies
  // Objects of which not all functions are known, because they were stripped:
  // the program, and others that export a function that was found. With the
  // reason, if nothing of them could be read.
  std::vector<std::string> stripped;
};

// `matches` is called with each name, for a function with several until it
// says yes.
FoundFunctions FindFunctions(
    absl::FunctionRef<bool(absl::string_view linkage_name)> matches);

}  // namespace instar

#endif  // INSTAR_CODE_FIND_FUNCTIONS_H_

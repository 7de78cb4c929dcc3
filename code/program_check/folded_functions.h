// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions that the linker made one because their code is the same (identical
// code folding, --icf=all of gold and lld): who redirects one redirects both.

#ifndef INSTAR_CODE_PROGRAM_CHECK_FOLDED_FUNCTIONS_H_
#define INSTAR_CODE_PROGRAM_CHECK_FOLDED_FUNCTIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "code/symbols/function.h"

namespace instar {

// The linkage names of other functions that were folded into this one. Names
// that mean the same function are none: the complete and the base constructor,
// and, as far as debug information tells, declared aliases. Without debug
// information every other name is taken for a function.
//
// Threads: any. Takes no time for a function with one name; reads the debug
// information of its object otherwise.
//
// Errors: FailedPrecondition if the object was unloaded, or if there are
// several names and its file was replaced or overwritten, or cannot be read;
// ResourceExhausted.
absl::StatusOr<std::vector<std::string>> FunctionsFoldedInto(
    const Function& function);

}  // namespace instar

#endif  // INSTAR_CODE_PROGRAM_CHECK_FOLDED_FUNCTIONS_H_

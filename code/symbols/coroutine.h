// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// C++20 coroutines, of which a suspended activation is on no stack.

#ifndef INSTAR_CODE_SYMBOLS_COROUTINE_H_
#define INSTAR_CODE_SYMBOLS_COROUTINE_H_

#include <vector>

#include "absl/types/span.h"
#include "code/symbols/function.h"

namespace instar {

// Whether the function is a coroutine: its compiler has split off the part that
// runs whenever it is resumed, which GCC names .actor and clang .resume. False
// if the symbols of its object were stripped. Reads all names of the object;
// takes locks.
bool IsCoroutine(const Function& function);

// Those of them that are.
std::vector<Function> CoroutinesAmong(absl::Span<const Function> functions);

}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_COROUTINE_H_

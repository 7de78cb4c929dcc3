// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Code of an object that was not compiled to be updatable and has no debug
// information: a cc_library that was compiled with -g0, a static library,
// assembly, what the compiler and the C library add. What was inlined into it
// nobody knows. That it calls an inline function, or takes its address, shows
// that it uses it, and so may hold copies of it as well; that it does not,
// shows nothing.
//
// Threads: any. Takes locks, and reads the code of the object the first time.

#ifndef INSTAR_CODE_SYMBOLS_INLINING_UNDESCRIBED_CODE_H_
#define INSTAR_CODE_SYMBOLS_INLINING_UNDESCRIBED_CODE_H_

#include <vector>

#include "absl/types/span.h"
#include "code/symbols/images/loaded_images.h"
#include "code/symbols/images/symbol_table.h"

namespace instar {
namespace code_internal {

// All such functions of the object, in the order of their addresses.
std::vector<const FunctionRecord*> UndescribedFunctions(
    const SymbolTable& symbols);

// Those of them that refer to a function with one of these linkage names, which
// is one that every source file may have a copy of (SymbolBinding::kWeak): to
// the one of the same object, or through its procedure linkage table or global
// offset table. None if the object was unloaded.
std::vector<const FunctionRecord*> UndescribedUsersOf(
    const LoadedImage& image, absl::Span<const char* const> linkage_names);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_INLINING_UNDESCRIBED_CODE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions that a program has and that have no code of their own, because all
// calls of them were inlined: what is to be said to whoever names one. Internal
// to this package.
//
// Threads: any. It reads the debug information once more, for two seconds at
// most: it is for the message of an error.

#ifndef INSTAR_CODE_SYMBOLS_INLINING_INLINED_EVERYWHERE_H_
#define INSTAR_CODE_SYMBOLS_INLINING_INLINED_EVERYWHERE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "code/symbols/images/loaded_images.h"

namespace instar {
namespace code_internal {

// Whether this names a lambda: "Server::OnRead(int)::{lambda(int)#2}", without
// its operator().
bool IsLambdaName(absl::string_view name);

// Of a name that no function with code has (symbol_name.h says what fits), in
// the images whose path ends in `image`: "shop::Tax(int) has no code of its
// own: all calls of it were inlined, into shop::Total(int), ..., and what would
// help. Empty if nothing is known of it.
std::string InlinedEverywhere(const LoadedImages& images,
                              absl::string_view name, absl::string_view image);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_INLINING_INLINED_EVERYWHERE_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_CODE_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_CODE_INTERNAL_HEADER_EXAMPLES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "code/symbols/function.h"

namespace instar {
namespace header_examples {

void DoCommand();
void NewDoCommand();
int Price(int count);
int NewPrice(int count);

namespace function_entry_h {
extern const Function old_f;
extern const Function old_g;
extern const std::uintptr_t new_f_address;
extern const std::uintptr_t new_g_address;
}  // namespace function_entry_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_HEADER_EXAMPLES_H_

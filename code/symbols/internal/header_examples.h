// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_CODE_SYMBOLS_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_CODE_SYMBOLS_INTERNAL_HEADER_EXAMPLES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace instar {
namespace header_examples {

struct Site {
  virtual ~Site();
  virtual void Render();
};

void DoCommand();

namespace function_h {
extern const std::uintptr_t pc;
}  // namespace function_h

namespace return_type_h {
extern const Function old_function;
extern const Function new_function;
}  // namespace return_type_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_INTERNAL_HEADER_EXAMPLES_H_

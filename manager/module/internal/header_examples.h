// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_MANAGER_MODULE_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_MANAGER_MODULE_INTERNAL_HEADER_EXAMPLES_H_

#include <memory>

#include "base/status_macros.h"
#include "updates/update.h"

namespace instar {
namespace header_examples {

namespace module_update_h {
extern const LoadedModule module;
}  // namespace module_update_h

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_INTERNAL_HEADER_EXAMPLES_H_

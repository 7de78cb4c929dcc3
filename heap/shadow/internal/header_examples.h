// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the examples in the comments of this package's headers leave out
// (tools/header_examples/defs.bzl).

#ifndef INSTAR_HEAP_SHADOW_INTERNAL_HEADER_EXAMPLES_H_
#define INSTAR_HEAP_SHADOW_INTERNAL_HEADER_EXAMPLES_H_

#include "code/function_entry.h"
#include "heap/shadow/shadow.h"

namespace instar {
namespace header_examples {

struct Connection {};
struct Limit {
  explicit Limit(int count);
  bool Take(int count);
};
void Close(Connection* connection);
extern Shadow<Limit> limits;

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_HEAP_SHADOW_INTERNAL_HEADER_EXAMPLES_H_

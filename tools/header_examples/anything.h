// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What stands in an example for what its reader need not know: a condition, an
// argument, what a function answers.

#ifndef INSTAR_TOOLS_HEADER_EXAMPLES_ANYTHING_H_
#define INSTAR_TOOLS_HEADER_EXAMPLES_ANYTHING_H_

namespace instar {
namespace header_examples {

struct Anything {
  Anything() = default;
  template <typename T>
  Anything(const T&) {}  // NOLINT: anything becomes one
  template <typename T>
  operator T() const {  // NOLINT: it becomes anything
    return *static_cast<T*>(nullptr);
  }
};

}  // namespace header_examples
}  // namespace instar

#endif  // INSTAR_TOOLS_HEADER_EXAMPLES_ANYTHING_H_

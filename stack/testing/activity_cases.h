// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions that call each other as a test decides.

#ifndef INSTAR_STACK_TESTING_ACTIVITY_CASES_H_
#define INSTAR_STACK_TESTING_ACTIVITY_CASES_H_

#include <vector>

namespace instar {

// Decides what happens next in a tree of calls.
class Tree {
 public:
  virtual ~Tree() = default;
  // Called by function `self` when it has been entered; returns the number of
  // the function that it calls next, or -1 to return.
  virtual int Next(int self) = 0;
};

using TreeFunction = void (*)(Tree*);

// Eight functions; number i is element i.
namespace unoptimized {
const std::vector<TreeFunction>& TreeFunctions();
}  // namespace unoptimized

namespace optimized {
const std::vector<TreeFunction>& TreeFunctions();
}  // namespace optimized

namespace without_frame_pointers {
const std::vector<TreeFunction>& TreeFunctions();
}  // namespace without_frame_pointers

}  // namespace instar

#endif  // INSTAR_STACK_TESTING_ACTIVITY_CASES_H_

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "stack/testing/activity_cases.h"

#include <vector>

namespace instar {
namespace INSTAR_CASES {
namespace {

thread_local volatile int sink;

// Each function has a frame of another size and shape.
template <int kSelf>
__attribute__((noinline)) void Function(Tree* tree) {
  volatile char room[kSelf * 40 + 1];
  room[0] = kSelf;
  for (int next = tree->Next(kSelf); next >= 0; next = tree->Next(kSelf)) {
    if constexpr (kSelf % 3 == 0) {
      try {
        TreeFunctions()[next](tree);
      } catch (int) {
        sink = kSelf;
      }
    } else {
      TreeFunctions()[next](tree);
    }
  }
  sink = room[0];
}

}  // namespace

const std::vector<TreeFunction>& TreeFunctions() {
  static const std::vector<TreeFunction>* const functions =
      new std::vector<TreeFunction>{
          &Function<0>, &Function<1>, &Function<2>, &Function<3>,
          &Function<4>, &Function<5>, &Function<6>, &Function<7>,
      };
  return *functions;
}

}  // namespace INSTAR_CASES
}  // namespace instar

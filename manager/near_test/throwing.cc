// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Throws through frames of the program, after a destructor of its own.

#include <stdexcept>

#include ADDRESSES

#include "manager/near_test/by_hand.h"

GENERATED_MODULE("throwing");
IMAGE("the program", PROGRAM_BUILD_ID);
REDEFINE(PROGRAM_AT_near_check, near_check, 0, 0, "near_check");

namespace {

struct Guard {
  ~Guard() { ++*counter; }
  int* counter;
};

}  // namespace

extern "C" __attribute__((visibility("default"))) int near_check(int value) {
  const Guard guard = {static_cast<int*>(
      IMPORTED(PROGRAM_AT_near_hook_calls, 0, "near_hook_calls"))};
  if (value < 0) {
    try {
      throw value;
    } catch (int thrown) {
      return -thrown;
    }
  }
  throw std::runtime_error("the new version");
}

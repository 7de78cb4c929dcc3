// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/loop_update_points/module_test/counter.h"

namespace counter {

unsigned long count = 0;
std::atomic<int> begun{0};

void CountForEver() {
  begun = 1;
  while (true) ++count;
}

}  // namespace counter

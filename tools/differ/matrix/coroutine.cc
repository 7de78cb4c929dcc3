// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A coroutine in two versions, and what uses it. VERSION says which build it
// is.

#include "tools/differ/matrix/coroutine.h"

Numbers Count(int from) {
  for (int i = from;; i += VERSION) {
    co_yield i* VERSION;
  }
}

int Doubled(Numbers& numbers) { return numbers.Next() * 2 * VERSION; }

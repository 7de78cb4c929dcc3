// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Links, and runs.

#include <memory>

#include "tools/entry_list_test/lock.h"

int main() {
  Lock lock;
  const std::unique_ptr<Lock> one(new Lock);
  const std::unique_ptr<Lock> other(MakeLock());
  return lock.Count() + one->Count() + other->Count() == 3 ? 0 : 1;
}

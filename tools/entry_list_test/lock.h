// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A destructor that several files have.

#ifndef INSTAR_TOOLS_ENTRY_LIST_TEST_LOCK_H_
#define INSTAR_TOOLS_ENTRY_LIST_TEST_LOCK_H_

#include <cstdio>

struct Lock {
  virtual ~Lock() { std::puts("unlocked"); }
  virtual int Count() { return 1; }
};

struct OtherLock : Lock {
  ~OtherLock() override { std::puts("the other one"); }
};

Lock* MakeLock();

#endif  // INSTAR_TOOLS_ENTRY_LIST_TEST_LOCK_H_

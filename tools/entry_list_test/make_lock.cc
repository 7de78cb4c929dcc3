// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Compiled without optimization: its destructors have other sizes than those
// that the linker keeps.

// In front of them in the list of entries.
__attribute__((noinline)) int Threefold(int i) { return i * 3; }

#include "tools/entry_list_test/lock.h"

Lock* MakeLock() { return Threefold(1) == 3 ? new OtherLock : nullptr; }

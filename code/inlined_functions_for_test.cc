// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/inlined_functions_for_test.h"

namespace inlined {

volatile int sink = 0;

namespace {

void* volatile in_copy = nullptr;

// Where the instruction after this one is.
[[gnu::always_inline]] inline void NoteProgramCounter() {
  void* here;
#if defined(__x86_64__)
  asm volatile("lea 0(%%rip), %0" : "=r"(here));
#elif defined(__aarch64__)
  asm volatile("adr %0, ." : "=r"(here));
#endif
  in_copy = here;
}

[[gnu::always_inline]] inline int FileLocal(int x) {
  NoteProgramCounter();
  sink = x;
  return x + 2;
}

[[gnu::always_inline]] inline int Between(int x) {
  sink = 5;
  return Shared(x) + 1;
}

// Taking the address makes the compiler emit the function as well.
int (*volatile file_local)(int) = &FileLocal;

}  // namespace

int CallsShared(int x) { return Shared(x) + 1; }
int CallsOnlyInlined(int x) { return OnlyInlined(x) + 1; }
int CallsWithCodeElsewhere(int x) { return WithCodeElsewhere(x) + 1; }
int CallsFileLocal(int x) { return FileLocal(x) - 1; }
int CallsThroughAnother(int x) { return Between(x) + 2; }
int NeverInlined(int x) { return x + sink; }

uintptr_t SharedEntry() { return reinterpret_cast<uintptr_t>(&Shared); }
uintptr_t FileLocalEntry() { return reinterpret_cast<uintptr_t>(file_local); }
uintptr_t InCopyOfFileLocal() {
  CallsFileLocal(1);
  return reinterpret_cast<uintptr_t>(in_copy);
}

}  // namespace inlined

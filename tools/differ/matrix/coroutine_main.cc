// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Coroutines that are suspended while their function is updated and undone.
// Arguments: a module.

#include <stdio.h>

#include "tools/differ/matrix/coroutine.h"

extern "C" const char* HarnessLoad(const char*);
extern "C" const char* HarnessUndo();

int main(int, char** argv) {
  Numbers first = Count(1);
  printf("first %d\n", first.Next());
  const char* error = HarnessLoad(argv[1]);
  if (error != nullptr) printf("load: %s\n", error);
  Numbers second = Count(1);
  printf("updated: first %d\n", first.Next());
  printf("second %d\n", second.Next());
  printf("doubled %d\n", Doubled(second));
  error = HarnessUndo();
  if (error != nullptr) printf("undo: %s\n", error);
  Numbers third = Count(1);
  printf("undone: first %d\n", first.Next());
  printf("second %d\n", second.Next());
  printf("third %d\n", third.Next());
  printf("doubled %d\n", Doubled(third));
  return 0;
}

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Closures that live while their lambda is updated and undone. Arguments: a
// module.

#include <stdio.h>

#include <functional>

extern "C" const char* HarnessLoad(const char*);
extern "C" const char* HarnessUndo();
std::function<int()> MakeClosure(int i);

int main(int, char** argv) {
  const std::function<int()> first = MakeClosure(1);
  printf("first %d\n", first());
  const char* error = HarnessLoad(argv[1]);
  if (error != nullptr) printf("load: %s\n", error);
  const std::function<int()> second = MakeClosure(1);
  const std::function<int()> copy = first;
  printf("updated: first %d, copy %d, second %d\n", first(), copy(), second());
  error = HarnessUndo();
  if (error != nullptr) printf("undo: %s\n", error);
  const std::function<int()> third = MakeClosure(1);
  printf("undone: first %d, second %d, third %d\n", first(), second(), third());
  return 0;
}

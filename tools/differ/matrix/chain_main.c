/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   Arguments: modules, which are loaded one on top of the other, and undone;
   and both once more. */

#include <stdio.h>

const char* HarnessLoad(const char*);
const char* HarnessUndo(void);
int chain(int x);

int main(int argc, char** argv) {
  printf("%d\n", chain(1));
  for (int round = 0; round < 2; round++) {
    for (int i = 1; i < argc; i++) {
      const char* error = HarnessLoad(argv[i]);
      if (error) printf("load %d: %s\n", i, error);
      printf("%d\n", chain(1));
    }
    for (int i = 1; i < argc; i++) {
      const char* error = HarnessUndo();
      if (error) printf("undo %d: %s\n", i, error);
      printf("%d\n", chain(1));
    }
  }
  return 0;
}

/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   Argument: a module, which is loaded and undone. */

#include <stdio.h>

const char* HarnessLoad(const char*);
const char* HarnessUndo(void);
int literals(int n);
int thunks(void);

static void show(const char* error) {
  if (error) printf("%s\n", error);
  printf("%d %d\n", literals(1), thunks());
}

int main(int argc, char** argv) {
  (void)argc;
  show(NULL);
  show(HarnessLoad(argv[1]));
  show(HarnessUndo());
  return 0;
}

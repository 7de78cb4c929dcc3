/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   Argument: a module, which is loaded, and undone if another argument follows;
   "quick" ends the program quickly. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char* HarnessLoad(const char*);
const char* HarnessUndo(void);
int chain(int x);

int main(int argc, char** argv) {
  setvbuf(stdout, 0, _IONBF, 0);
  printf("%d\n", chain(1));
  const char* error = HarnessLoad(argv[1]);
  if (error) printf("load: %s\n", error);
  printf("%d\n", chain(1));
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, 0, 0);
  error = argc > 2 ? HarnessUndo() : 0;
  if (error) printf("undo: %s\n", error);
  if (argc > 2 && !strcmp(argv[2], "quick")) quick_exit(0);
  return 0;
}

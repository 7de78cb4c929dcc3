/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * Uses the shared object. Commands on standard input: show, load FILE, undo,
 * apart FILE (loads it into a namespace of its own). */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

const char* HarnessLoad(const char* path);
const char* HarnessUndo(void);

int lib_price_old(int n);
__asm__(".symver lib_price_old, lib_price@V1");
int lib_price(int n);
int lib_total(int n);

int lib_hook(int n) { return -n; }

int main(void) {
  char line[4096];
  while (fgets(line, sizeof(line), stdin) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    const char* error = NULL;
    if (strcmp(line, "show") == 0) {
      printf("%d %d %d\n", lib_price_old(5), lib_price(5), lib_total(5));
    } else if (strcmp(line, "undo") == 0) {
      error = HarnessUndo();
    } else if (strncmp(line, "apart ", 6) == 0) {
      if (dlmopen(LM_ID_NEWLM, line + 6, RTLD_NOW) == NULL) error = dlerror();
    } else {
      error = HarnessLoad(line + strlen("load "));
    }
    if (error != NULL) printf("%.4s: %s\n", line, error);
    fflush(stdout);
  }
  return 0;
}

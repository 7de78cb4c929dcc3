/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */
/* A program that answers each line of its input by a price. It knows nothing of
 * Instar. */

#include <stdio.h>
#include <stdlib.h>

#ifndef VERSION
#define VERSION "0"
#endif

int initialized;    /* by a constructor, as static objects of C++ are */
int main_has_begun; /* of this program */
const char* const version = VERSION;

__attribute__((noinline)) int Price(int count) { return count * 100; }

__attribute__((constructor)) static void Initialize(void) { initialized = 1; }

int main(void) {
  char line[100];
  main_has_begun = 1;
  while (fgets(line, sizeof(line), stdin) != NULL) {
    printf("%d\n", Price(atoi(line)));
    fflush(stdout);
  }
  return 0;
}

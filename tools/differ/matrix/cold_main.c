/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   Arguments: modules, of which the last is loaded while split() is on the
   stack, and behind it. */

#include <stdio.h>

const char* HarnessLoad(const char*);
const char* HarnessLoadWithin(const char*, int milliseconds);
int split(int x);
static const char* module;

void park(void) {
  const char* error = HarnessLoadWithin(module, 2000);
  printf("inside: %s\n", error ? error : "loaded");
}
int unlikely(int x) {
  return x * 10;
}

int main(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; i++) {
    const char* error = HarnessLoad(argv[i]);
    if (error) printf("%s\n", error);
  }
  module = argv[argc - 1];
  printf("%d\n", split(1));
  const char* error = HarnessLoad(module);
  printf("outside: %s\n", error ? error : "loaded");
  return 0;
}

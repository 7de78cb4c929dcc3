/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   Argument: a module, which is loaded while split(), or what it has jumped to,
   is active, and behind it; and undone in the same way. */

#include <stdio.h>

const char* HarnessLoadWithin(const char*, int milliseconds);
const char* HarnessUndoWithin(int milliseconds);
int split(int x);
static const char* module;
static int is_loaded;

static void change(const char* where) {
  const char* error = is_loaded ? HarnessUndoWithin(2000) : HarnessLoadWithin(module, 2000);
  printf("%s: %s\n", where, error ? error : "done");
}
void park(void) {
  change("inside");
}
int unlikely(int x) {
  return x * 10;
}

int main(int argc, char** argv) {
  (void)argc;
  module = argv[1];
  for (is_loaded = 0; is_loaded < 2; is_loaded++) {
    printf("%d\n", split(1));
    change("outside");
  }
  return 0;
}

/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   Versions that differ in what the update calls alone. */

static int limit = 5;

int chain(int x) { return limit + x; }

#if VERSION > 0
const char* instar_generated_after(void) {
  limit += 10 * VERSION;
  return 0;
}
const char* instar_generated_undo_after(void) {
  limit -= 10 * VERSION;
  return 0;
}
#endif

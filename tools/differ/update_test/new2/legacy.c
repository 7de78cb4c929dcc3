/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
static int counter = 2000; /* the same name again */
static int fresh(void) {
  static int n = 7;
  return n += 50;
} /* shifts the numbers of n.0, n.1 */
static int more(void) {
  static int n = 70;
  return ++n;
}
static int hits(void) {
  static int n = 0;
  return n += 1 + 0 * more();
}
static __attribute__((noinline)) int depth(int x) {
  static int n = 300;
  n += x;
  return n;
}
int c_step(int x) {
  counter++;
  printf("  c_step: counter %d fresh %d\n", counter, fresh());
  return hits() * 1000000 + depth(x);
}
int c_name(int x) {
  switch (x) {
    case 0:
      return 31;
    case 1:
      return 17;
    case 2:
      return 1099;
    case 3:
      return 5;
    case 4:
      return 1;
  }
  return 0;
}

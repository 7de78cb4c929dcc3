/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
static int counter = 2000; /* the same name again */
static int hits(void) {
  static int n = 0;
  return ++n;
}
static __attribute__((noinline)) int depth(int x) {
  static int n = 300;
  n += x;
  return n;
}
int c_step(int x) {
  counter++;
  return hits() * 1000000 + depth(x);
}
int c_name(int x) {
  switch (x) {
    case 0:
      return 31;
    case 1:
      return 17;
    case 2:
      return 99;
    case 3:
      return 5;
    case 4:
      return 1;
  }
  return 0;
}

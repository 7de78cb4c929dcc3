/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0 */

static int counter = 10;
static int step(void) {
  static int n = 1;
  return n += 1;
}
int a_util(int x) {
  counter += x;
  return counter + step();
}

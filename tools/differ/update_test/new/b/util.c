/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0 */

static int counter = 20;
static int step(void) {
  static int n = 2;
  return n += 2;
}
int b_util(int x) {
  counter += x;
  return 1000 + counter + step();
}

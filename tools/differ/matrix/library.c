/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * A shared object with symbol versions. VERSION says which build it is. */

/* A program that was linked long ago calls the first, a new one the second. */
__attribute__((symver("lib_price@V1"))) int lib_price_of_v1(int n) {
  return n + VERSION;
}
__attribute__((symver("lib_price@@V2"))) int lib_price_of_v2(int n) {
  return n + 10 * VERSION;
}

/* The program has one of this name, too. Until version 3 nothing calls it. */
int lib_hook(int n) { return n; }

int lib_price(int n);

int lib_total(int n) {
#if VERSION == 3
  n = lib_hook(n);
#endif
  return lib_price(n) + 1000 * VERSION;
}

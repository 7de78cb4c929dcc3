/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   Version V has f0 to fV, each of which calls the next. Each version changes
   the function that the last one brought, which was the last, and brings
   another one with a variable of its own. */

#define CONCAT_(a, b) a##b
#define CONCAT(a, b) CONCAT_(a, b)

#define LINK(k, next)                            \
  static int n##k = k * 10;                      \
  static int f##next(int x);                     \
  static __attribute__((noinline)) int f##k(int x) { \
    return f##next(x + 1) + n##k++;              \
  }

#if VERSION > 0
LINK(0, 1)
#endif
#if VERSION > 1
LINK(1, 2)
#endif
#if VERSION > 2
LINK(2, 3)
#endif
#if VERSION > 3
LINK(3, 4)
#endif
#if VERSION > 4
LINK(4, 5)
#endif
#if VERSION > 5
LINK(5, 6)
#endif
#if VERSION > 6
LINK(6, 7)
#endif
#if VERSION > 7
LINK(7, 8)
#endif
#if VERSION > 8
LINK(8, 9)
#endif
#if VERSION > 9
LINK(9, 10)
#endif

static int CONCAT(n, VERSION) = VERSION * 10;
static __attribute__((noinline)) int CONCAT(f, VERSION)(int x) {
  return 1000 * VERSION + x + CONCAT(n, VERSION)++;
}

int chain(int x) { return f0(x); }

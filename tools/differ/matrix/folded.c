/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   Two functions of the same code in version 0, which a linker may fold. The
   second one changes. */

#define KEEP __attribute__((noinline))

KEEP int first(int x) { return 3 * x + 1; }
KEEP int second(int x) { return 3 * x + 1 + VERSION; }
int (*volatile both[])(int) = {first, second};

int chain(int x) { return both[0](x) * 10 + both[1](x); }

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

// Has a symbol that is unique in the whole process, as GCC makes them for
// static variables of templates unless told not to.

asm(R"(
    .pushsection .data
    .globl _ZN6UniqueIiE5valueE
    .type _ZN6UniqueIiE5valueE, @gnu_unique_object
    .size _ZN6UniqueIiE5valueE, 4
_ZN6UniqueIiE5valueE:
    .long 1
    .popsection
)");

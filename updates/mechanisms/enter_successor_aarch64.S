// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Becomes the callee of a frame whose own callee has been unwound. See
// updates/mechanisms/internal/enter_successor_aarch64.h.
//
// There is no unwind information on purpose: between the first and the last
// instruction the registers belong to no frame, and a stack walk that meets
// this code (from a signal handler) must say that it is not reliable.

        .text
        .hidden instar_enter_successor
        .globl  instar_enter_successor
        .type   instar_enter_successor, %function
        .p2align 4
instar_enter_successor:
        mov     x9, x0
        ldp     x19, x20, [x9, #0]
        ldp     x21, x22, [x9, #16]
        ldp     x23, x24, [x9, #32]
        ldp     x25, x26, [x9, #48]
        ldp     x27, x28, [x9, #64]
        ldp     x29, x30, [x9, #80]
        ldp     x10, x16, [x9, #96]
        ldp     x0, x8, [x9, #112]
        ldp     d8, d9, [x9, #128]
        ldp     d10, d11, [x9, #144]
        ldp     d12, d13, [x9, #160]
        ldp     d14, d15, [x9, #176]
        // Last: what lies below the new stack pointer, *x9 included, may be
        // overwritten by a signal handler from here on.
        mov     sp, x10
        br      x16
        .size   instar_enter_successor, . - instar_enter_successor
        .section .note.GNU-stack, "", %progbits

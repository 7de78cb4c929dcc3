// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Becomes the callee of a frame whose own callee has been unwound. See
// updates/mechanisms/internal/enter_successor_x86_64.h.
//
// There is no unwind information on purpose: between the first and the last
// instruction the registers belong to no frame, and a stack walk that meets
// this code (from a signal handler) must say that it is not reliable.

        .text
        .hidden instar_enter_successor
        .globl  instar_enter_successor
        .type   instar_enter_successor, @function
        .p2align 4
instar_enter_successor:
        movq    %rdi, %rax
        movq    0(%rax), %rbx
        movq    8(%rax), %rbp
        movq    16(%rax), %r12
        movq    24(%rax), %r13
        movq    32(%rax), %r14
        movq    40(%rax), %r15
        movq    56(%rax), %r11
        movq    64(%rax), %rdi
        movq    72(%rax), %rsi
        // Last: what lies below the new stack pointer, *%rax included, may be
        // overwritten by a signal handler from here on.
        movq    48(%rax), %rsp
        jmp     *%r11
        .size   instar_enter_successor, . - instar_enter_successor
        .section .note.GNU-stack, "", @progbits

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The base of every continulet's stack. SwitchMachineContext() arrives here the
// first time, with %rsi pointing to the context that it switched to and %rsp at
// the stack's end, a multiple of 16.

        .text
        .globl  instar_continulet_start
        .type   instar_continulet_start, @function
        .globl  instar_continulet_start_end
instar_continulet_start:
        .cfi_startproc
        .cfi_undefined rip              // nobody called this: the stack ends
        xorl    %ebp, %ebp              // a chain of frame pointers ends, too
        movq    %rsi, %rdi
        call    instar_continulet_main@PLT
        ud2                             // it does not return
        .cfi_endproc
instar_continulet_start_end:
        .size   instar_continulet_start, . - instar_continulet_start
        .section .note.GNU-stack, "", @progbits

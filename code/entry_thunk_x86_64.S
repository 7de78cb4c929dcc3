// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// instar_entry_thunk: called by an intercepted entry instead of its first
// instruction. [rsp] is entry + 5, [rsp + 8] the return address into the caller.
//
// To an unwinder it was called by the caller and not by the function that has
// not begun: its canonical frame address lies past both return addresses.
//
// It leaves by `ret` through the slot that held entry + 5, into which the
// handler put the function's current target. So every register is as it came,
// and the processor's return predictor stays in step with the stack.
//
// Whatever may stand between the look-up and the jump lies in the section
// instar_entry, this thunk and what it calls to look up, but not the slow path,
// behind which it is looked up anew. So whoever finds a thread interrupted
// there knows where it goes on, from that slot: 16 bytes below the canonical
// frame address, at every instruction (stack/activity.cc).
//
// Not saved: flags (no caller expects them), x87 and MXCSR control words (the
// interceptor keeps them, as every function does).

    .section instar_entry, "ax", @progbits
    .globl  instar_entry_thunk
    .type   instar_entry_thunk, @function
    .p2align 4
instar_entry_thunk:
    .cfi_startproc
    .cfi_def_cfa rsp, 16
    pushq   %rbp
    .cfi_def_cfa_offset 24
    .cfi_offset rbp, -24
    pushq   %rax                        // struct ThunkFrame, from its end
    .cfi_def_cfa_offset 32
    pushq   %rdi
    .cfi_def_cfa_offset 40
    pushq   %rsi
    .cfi_def_cfa_offset 48
    pushq   %rdx
    .cfi_def_cfa_offset 56
    pushq   %rcx
    .cfi_def_cfa_offset 64
    pushq   %r8
    .cfi_def_cfa_offset 72
    pushq   %r9
    .cfi_def_cfa_offset 80
    pushq   %r10
    .cfi_def_cfa_offset 88
    pushq   %r11
    .cfi_def_cfa_offset 96
    movq    %rsp, %rbp                  // the ThunkFrame
    .cfi_def_cfa_register rbp
    cld
    andq    $-16, %rsp
    movq    %rbp, %rdi
    call    instar_entry_fast@PLT
    testb   %al, %al
    jnz     .Lslow
.Lleave:
    movq    %rbp, %rsp
    .cfi_def_cfa_register rsp
    popq    %r11
    .cfi_def_cfa_offset 88
    popq    %r10
    .cfi_def_cfa_offset 80
    popq    %r9
    .cfi_def_cfa_offset 72
    popq    %r8
    .cfi_def_cfa_offset 64
    popq    %rcx
    .cfi_def_cfa_offset 56
    popq    %rdx
    .cfi_def_cfa_offset 48
    popq    %rsi
    .cfi_def_cfa_offset 40
    popq    %rdi
    .cfi_def_cfa_offset 32
    popq    %rax
    .cfi_def_cfa_offset 24
    popq    %rbp
    .cfi_restore rbp
    .cfi_def_cfa_offset 16
    ret

.Lslow:
    .cfi_def_cfa rbp, 96
    .cfi_offset rbp, -24
    subq    $48, %rsp                   // rbx, r12 to r15 for the handler
    movq    %rbx, 0(%rsp)
    movq    %r12, 8(%rsp)
    movq    %r13, 16(%rsp)
    movq    %r14, 24(%rsp)
    movq    %r15, 32(%rsp)
    movq    %rsp, %rsi
    movq    instar_vector_state_size@GOTPCREL(%rip), %rax
    subq    (%rax), %rsp
    andq    $-64, %rsp
    movq    instar_vector_state_mask@GOTPCREL(%rip), %rax
    movl    (%rax), %eax
    testl   %eax, %eax
    jz      .Lfxsave
    xorl    %edx, %edx
    // The header of the XSAVE area must not hold what lay on the stack.
    movq    %rdx, 512(%rsp)
    movq    %rdx, 520(%rsp)
    movq    %rdx, 528(%rsp)
    movq    %rdx, 536(%rsp)
    movq    %rdx, 544(%rsp)
    movq    %rdx, 552(%rsp)
    movq    %rdx, 560(%rsp)
    movq    %rdx, 568(%rsp)
    xsave64 (%rsp)
    movq    %rbp, %rdi
    call    instar_entry_slow@PLT
    movq    instar_vector_state_mask@GOTPCREL(%rip), %rax
    movl    (%rax), %eax
    xorl    %edx, %edx
    xrstor64 (%rsp)
    jmp     .Llookup
.Lfxsave:
    fxsave64 (%rsp)
    movq    %rbp, %rdi
    call    instar_entry_slow@PLT
    fxrstor64 (%rsp)
.Llookup:
    // Last: the function may have been redirected meanwhile.
    movq    %rbp, %rdi
    call    instar_entry_look_up@PLT
    jmp     .Lleave
    .cfi_endproc
    .size   instar_entry_thunk, . - instar_entry_thunk
    .section .note.GNU-stack, "", @progbits

// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// instar_slot_jumps: a table of jumps, 8 bytes each, and where each of them
// leads, instar_slot_targets. See code/internal/slot_jumps.h.

    .text
    .globl  instar_slot_jumps
    .hidden instar_slot_jumps
    .type   instar_slot_jumps, @function
    .p2align 6
instar_slot_jumps:
    .cfi_startproc
    .set    slot, 0
    .rept   4096
    jmp     *(instar_slot_targets + 8 * slot)(%rip)
    .p2align 3
    .set    slot, slot + 1
    .endr
    .cfi_endproc
    .size   instar_slot_jumps, . - instar_slot_jumps

    .bss
    .globl  instar_slot_targets
    .hidden instar_slot_targets
    .type   instar_slot_targets, @object
    .p2align 6
instar_slot_targets:
    .zero   8 * 4096
    .size   instar_slot_targets, . - instar_slot_targets
    .section .note.GNU-stack, "", @progbits

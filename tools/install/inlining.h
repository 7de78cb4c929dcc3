// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// instar-cc includes this in each file that is compiled with
// -fno-semantic-interposition. It leaves a note in the program, which stays
// there when it is stripped: functions of external linkage may have been
// inlined in their file, so that it has to be known which ones before one is
// redefined (code/symbols/images/elf_notes.h).

#ifndef __ASSEMBLER__
__asm__(
    ".pushsection .note.instar.inlining, \"a\", %note\n"
    ".balign 4\n"
    // The sizes of the name and of what follows it, and the type.
    ".long 7, 0, 1\n"
    ".asciz \"Instar\"\n"
    ".balign 4\n"
    ".popsection\n");
#endif

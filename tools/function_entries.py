# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Makes the five one-byte no-ops at the entries of functions one of five bytes.

The compiler puts five one-byte no-ops at the start of every updatable function,
where code/internal/patchable_entries.h needs one no-op that no thread can stand in the
middle of. It would else write that into memory when the program starts, under
traps if threads run, and with a private copy of each page; and whoever takes the
instructions of a program from its file, as the kernel does for a uprobe, would
execute one byte of five and go on in the middle. So files are changed once they
are linked. Nothing moves, and the build id stays what it is.

An entry is a function start, as .eh_frame_hdr lists them, at which the five
bytes stand.
"""

import mmap
import os
import shutil
import struct

ONE_BYTE_NO_OPS = b"\x90" * 5
NO_OP = b"\x0f\x1f\x44\x00\x00"
EM_X86_64 = 62
PT_LOAD = 1
PT_GNU_EH_FRAME = 0x6474E550
PF_X = 1
# What .eh_frame_hdr begins with: version 1, and the encodings that all linkers
# use (code/internal/patchable_entries.cc).
EH_FRAME_HDR = bytes([1, 0x1B, 0x03, 0x3B])


def function_starts(elf):
    """Yields where in the file functions begin, as .eh_frame_hdr lists them."""
    if elf[:5] != b"\x7fELF\x02" or struct.unpack_from("<H", elf, 18)[0] != EM_X86_64:
        return  # other processors have no entries
    table, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    # type, flags, offset, address, physical address, size in the file
    headers = [struct.unpack_from("<IIQQQQ", elf, table + i * size) for i in range(count)]
    code = [h for h in headers if h[0] == PT_LOAD and h[1] & PF_X]
    for kind, _, offset, address, _, length in headers:
        if kind != PT_GNU_EH_FRAME or elf[offset:offset + 4] != EH_FRAME_HDR:
            continue
        rows, = struct.unpack_from("<I", elf, offset + 8)
        for row in range(min(rows, (length - 12) // 8)):
            start = address + struct.unpack_from("<i", elf, offset + 12 + 8 * row)[0]
            for _, _, code_offset, code_address, _, code_length in code:
                if code_address <= start < code_address + code_length:
                    yield code_offset + start - code_address


def write_with_whole_entries(source, destination, mode):
    """Writes a copy of a file, in which the entries are whole.

    Returns how many have been rewritten.
    """
    shutil.copyfile(source, destination)
    os.chmod(destination, mode)
    # Mapped: with its debug information a program may be larger than memory.
    with open(destination, "r+b") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return 0
        with mmap.mmap(file.fileno(), 0) as elf:
            return make_entries_whole(elf)


def make_entries_whole(elf):
    """Rewrites the entries in `elf`, a bytearray or a writable mmap of an ELF file.

    Returns how many have been rewritten.
    """
    rewritten = 0
    for start in function_starts(elf):
        if elf[start:start + len(NO_OP)] == ONE_BYTE_NO_OPS:
            elf[start:start + len(NO_OP)] = NO_OP
            rewritten += 1
    return rewritten

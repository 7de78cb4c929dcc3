#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the note of an update module that says what it was built for.

The note is an assembly source which is linked into the module: the name and the
build id of the program, and the name of each module that it requires, with that
module's DT_SONAME. updates/update_module.h describes its format.
"""

import argparse
import os
import re
import subprocess
import sys

FORMAT = 1
PROGRAM_NOTE = 2


class Refused(Exception):
    """The note cannot be written; the message says why and what to do."""


def readelf(option, path):
    """What readelf says of this file."""
    result = subprocess.run(["readelf", "--wide", option, "--", path],
                            capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Refused(f"{path} cannot be read: {result.stderr.strip()}")
    return result.stdout


def build_id(program):
    """The program's build id in hexadecimal digits."""
    found = re.search(r"Build ID: ([0-9a-f]+)", readelf("--notes", program))
    if not found:
        raise Refused(
            f"{program} has no build id, by which the module would know it.\n"
            "  Build it with updatable_cc_binary, or link it with instar-cc or instar-c++, or with -Wl,--build-id.")
    return found.group(1)


def update_name(module):
    """The name of the update that a module was given by its macro."""
    # By its section: readelf gives the types of our notes names of its own.
    found = re.search(r"^Displaying notes found in: \.note\.instar\.module\n"
                      r".*\n.*description data: ([0-9a-f ]+)",
                      readelf("--notes", module), re.MULTILINE)
    if found:
        descriptor = bytes.fromhex(found.group(1))
        return descriptor[8:].split(b"\0")[0].decode("ascii", "replace")
    raise Refused(f"{module} has no INSTAR_UPDATE_MODULE (updates/update_module.h).\n"
                  "  Put one into one of its sources: only updates can be required.")


def soname(module):
    """The DT_SONAME of a module."""
    found = re.search(r"\(SONAME\).*\[(.*)\]", readelf("--dynamic", module))
    if not found:
        raise Refused(f"{module} has no DT_SONAME: build it with update_module.")
    return found.group(1)


def assembly(strings, count):
    """The source of the note."""
    lines = [
        '.section .note.instar.program, "a", @note',
        "    .balign 4",
        f"    .long 2f - 1f, 4f - 3f, {PROGRAM_NOTE}",
        '1:  .asciz "Instar"',
        "2:  .balign 4",
        f"3:  .long {FORMAT}, {count}",
    ]
    for text in strings:
        if re.search(r'["\\\n]', text):
            raise Refused(f"{text!r} cannot be the name of a program or a module.")
        lines.append(f'    .asciz "{text}"')
    lines += ["4:  .balign 4", '.section .note.GNU-stack, "", @progbits']
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--label", required=True, help="what messages call the module")
    parser.add_argument("--program", help="the program as linked")
    parser.add_argument("--requires", nargs="*", default=[], help="modules")
    parser.add_argument("--output", required=True, help="an assembly source")
    arguments = parser.parse_args()
    try:
        strings = ["", ""]
        if arguments.program:
            strings = [os.path.basename(arguments.program), build_id(arguments.program)]
        for module in arguments.requires:
            strings += [update_name(module), soname(module)]
        text = assembly(strings, len(arguments.requires))
    except Refused as refused:
        print(f"\n{arguments.label} cannot be an update module: {refused}\n",
              file=sys.stderr)
        return 1
    with open(arguments.output, "w", encoding="ascii") as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

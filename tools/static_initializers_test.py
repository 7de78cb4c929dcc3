#!/usr/bin/env python3
"""No library initializes anything dynamically at namespace scope.

A program may use the library from a constructor function that runs before those of its files: what such a file would
have initialized is zero then. What is allowed: the standard streams, which come with headers of others and count
themselves, and Boost.Asio's tags, which have no state. Functions marked as constructors are no initializers: they are
written for any order.

usage: static_initializers_test.py ARCHIVES... --and-not ARCHIVE
(the last one must be found out, or this test sees nothing)
"""

import re
import subprocess
import sys

INITIALIZER = re.compile(r"__static_initialization_and_destruction_0|__cxx_global_var_init|_GLOBAL__(?:sub_)?I_")
SECTION = re.compile(r"^\s+\[\s*(\d+)\] (\S+)")
SYMBOL = re.compile(r"^\s+\d+: ([0-9a-f]+)\s+(\w+) FUNC\s+\w+\s+\w+\s+(\d+) (\S+)")
TABLE = re.compile(r"^Relocation section '\.rela(\S*)' at")
RELOCATION = re.compile(r"^([0-9a-f]{12,})\s+[0-9a-f]+ R_X86_64_\w+\s+[0-9a-f]+ (\S+)")
ALLOWED = re.compile(r"^(?:_ZNSt8ios_base4Init[CD]1Ev|_ZStL8__ioinit|__cxa_atexit|__dso_handle"
                     r"|\.(?:bss|data|text|rodata|tbss)\b.*|.*__static_initialization_and_destruction_0.*"
                     r"|_Z(?:GV|TV)?(?:NK?)?5boost.*|_ZN5boost.*|_ZGVN5boost.*"
                     r"|__(?:asan|ubsan|tsan|sanitizer)_.*|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__gcov.*)$")


def initializers(archive):
    """What the initializers of an archive use, by object file."""
    listing = subprocess.run(["readelf", "-rsSW", archive], check=True, capture_output=True, text=True).stdout
    found = {}
    for member in listing.split("\nFile: ")[1:] if "\nFile: " in listing else [archive + "\n" + listing]:
        lines = member.splitlines()
        sections, functions, used, table = {}, [], [], ""
        for line in lines[1:]:
            if section := SECTION.match(line):
                sections[section[1]] = section[2]
            elif symbol := SYMBOL.match(line):
                if INITIALIZER.search(symbol[4]):
                    functions.append((symbol[3], int(symbol[1], 16), int(symbol[2], 0)))
            elif header := TABLE.match(line):
                table = header[1]
            elif table and (relocation := RELOCATION.match(line)):
                used.append((table, int(relocation[1], 16), relocation[2]))
        for number, start, size in functions:
            for table, offset, symbol in used:
                if table == sections[number] and start <= offset < start + size and not ALLOWED.match(symbol):
                    found.setdefault(lines[0], set()).add(symbol)
    return found


def main(arguments):
    split = arguments.index("--and-not")
    failed = len(arguments[:split]) < 20
    for archive in arguments[:split]:
        for name, symbols in sorted(initializers(archive).items()):
            failed = True
            readable = subprocess.run(["c++filt"], input="\n".join(sorted(symbols)), check=True, capture_output=True,
                                      text=True).stdout.split("\n")
            print(f"{archive}: {name} initializes something at namespace scope: it uses {', '.join(readable)}. "
                  "Use a static variable of a function.")
    if not any(initializers(archive) for archive in arguments[split + 1:]):
        failed = True
        print("the initializer that is there for the test was not found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

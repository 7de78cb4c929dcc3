#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes a header with where things lie in linked files, and their build ids.

addresses.py PREFIX=FILE...: PREFIX_BUILD_ID, and PREFIX_AT_NAME for each symbol
of C in it. For modules that are made by hand.
"""

import re
import subprocess
import sys


def output_of(*command):
    """What the command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main():
    for argument in sys.argv[1:]:
        prefix, path = argument.split("=", 1)
        notes = output_of("readelf", "--wide", "--notes", path)
        build_id = re.search(r"Build ID: ([0-9a-f]+)", notes).group(1)
        print(f'#define {prefix}_BUILD_ID "{build_id}"')
        seen = set()
        for line in output_of("nm", "--format=posix", path).splitlines():
            fields = line.split()
            if len(fields) < 3 or not re.fullmatch(r"near_\w+", fields[0]):
                continue
            if fields[1] in "tTdDbBrR" and fields[0] not in seen:
                seen.add(fields[0])
                print(f"#define {prefix}_AT_{fields[0]} 0x{fields[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

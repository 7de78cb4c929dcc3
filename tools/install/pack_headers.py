#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Packs headers as they are installed.

    pack_headers.py --output HEADERS.tar HEADER...

updates/update_plan.h becomes instar/updates/update_plan.h, and so does what it
includes: outside of this repository a name such as base/check.h may be
another's. The headers for C are instar.h and instar_hooks.h themselves.
"""

import argparse
import io
import re
import sys
import tarfile


def installed(text, headers):
    """The header's text, in which it includes the others by their new names."""
    return re.sub(
        r'^(\s*#\s*include\s*)"([^"]+)"',
        lambda match: (f'{match[1]}"instar/{match[2]}"'
                       if match[2] in headers else match[0]),
        text, flags=re.MULTILINE)


FOR_C = {"manager/c/instar.h": "instar.h", "manager/c/instar_hooks.h": "instar_hooks.h"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", required=True)
    parser.add_argument("headers", nargs="+")
    arguments = parser.parse_args()
    headers = sorted(set(arguments.headers))
    with tarfile.open(arguments.output, "w") as archive:
        for header in headers:
            with open(header, encoding="utf-8") as file:
                contents = installed(file.read(), set(headers)).encode()
            entry = tarfile.TarInfo(FOR_C.get(header, "instar/" + header))
            entry.size = len(contents)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(contents))
    return 0


if __name__ == "__main__":
    sys.exit(main())

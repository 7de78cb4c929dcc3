#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes a copy of a linked program whose function entries are whole.

    finish_program.py --program LINKED --output PROGRAM

function_entries.py says what that means, and why. For programs that are not
built by updatable_cc_binary it is what comes after the linker; without it they
work too, and the entries are rewritten in memory when the program starts.
"""

import argparse
import sys

sys.dont_write_bytecode = True  # not into the source tree

# pylint: disable=wrong-import-position
from function_entries import write_with_whole_entries


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True, help="as linked")
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    write_with_whole_entries(arguments.program, arguments.output, 0o755)
    return 0


if __name__ == "__main__":
    sys.exit(main())

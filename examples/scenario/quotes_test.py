#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""quotes_test.py PAGE FILE...: whether a page quotes what is tested.

Each of its pieces of C++ stands in one of the files, and a text that has a line "# load", "# undo" or "# explore"
is the whole of one of them: the transcript. Indents that all lines share do not count.
"""

import re
import sys
import textwrap
import unittest

_PAGE, _FILES = sys.argv[1], sys.argv[2:]
del sys.argv[1:]


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class QuotesTest(unittest.TestCase):

    def test_the_page_quotes_what_is_tested(self):
        pieces = re.findall(r"^```(cpp|python|text)\n(.*?)^```", _read(_PAGE), re.DOTALL | re.MULTILINE)
        files = [_read(file) for file in _FILES]
        self.assertTrue(any(kind == "cpp" for kind, _ in pieces))
        for kind, piece in pieces:
            if kind == "text":
                if re.search(r"^# (load|undo|explore)", piece, re.MULTILINE):
                    self.assertIn(piece.strip(), [file.strip() for file in files])
                continue
            self.assertTrue(any(self._stands_in(piece, file) for file in files), "not in the sources:\n" + piece)

    @staticmethod
    def _stands_in(piece, file):
        lines = piece.rstrip().split("\n")
        of_file = file.split("\n")
        for start in range(len(of_file) - len(lines) + 1):
            part = "\n".join(of_file[start:start + len(lines)])
            if textwrap.dedent(part) == textwrap.dedent("\n".join(lines)):
                return True
        return False


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Whether docs/recipes.md quotes the code that is tested, each piece once and in its order."""

import re
import sys
import unittest

_DOCUMENT, _SOURCES = sys.argv[1], sys.argv[2:]
del sys.argv[1:]


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class QuotesTest(unittest.TestCase):

    def test_the_document_quotes_the_code(self):
        quoted = re.findall(r"```cpp\n(.*?)```", _read(_DOCUMENT), re.DOTALL)
        tested = []
        for source in _SOURCES:
            tested += [match[1] for match in
                       re.findall(r"^// \[(.*?)\]\n(.*?)^// \[\1\]$", _read(source), re.DOTALL | re.MULTILINE)]
        self.assertEqual(len(tested), 5)
        self.assertEqual(quoted, tested)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""quotes_test.py COUNT DOCUMENT SOURCES: whether it quotes the code that is tested, each piece once and in its order.

A piece stands in a source between two lines `// [name]`. There are COUNT of them.
"""

import re
import sys
import unittest

_COUNT, _DOCUMENT, _SOURCES = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
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
                       re.findall(r"^ *// \[(.*?)\]\n(.*?)^ *// \[\1\]$", _read(source), re.DOTALL | re.MULTILINE)]
        self.assertEqual(len(tested), _COUNT)
        self.assertEqual(quoted, tested)


if __name__ == "__main__":
    unittest.main()

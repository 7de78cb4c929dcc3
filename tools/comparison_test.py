#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""comparison_test.py PAGE: whether what docs/comparison.md links to is there.

A link with a text like "Suite.Case" leads to a file that has this test, and that a BUILD file names. It looks at the
workspace itself, where a file may be gone that nothing depends on: so the test runs each time (tag "external").
"""

import os
import re
import sys
import unittest

_PAGE = os.path.realpath(sys.argv[1])
del sys.argv[1:]


def _read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def _rows(text, title):
    """The cells of the rows of the first table that follows `title`."""
    table = re.search(r"^\|.*?(?=\n\n)", text[text.index(title):], re.DOTALL | re.MULTILINE).group(0)
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.split("\n")[2:]]


class ComparisonTest(unittest.TestCase):

    def setUp(self):
        self._text = _read(_PAGE)

    def test_every_link_leads_somewhere(self):
        links = re.findall(r"\[([^\]]*)\]\(([^)]*)\)", self._text)
        self.assertGreater(len(links), 50)
        for text, target in links:
            path = os.path.normpath(os.path.join(os.path.dirname(_PAGE), target))
            self.assertTrue(os.path.exists(path), "no such file: " + target)
            if re.fullmatch(r"\w+\.\w+", text):
                self._check_test(path, *text.split("."))

    def _check_test(self, path, suite, case):
        self.assertRegex(_read(path), r"(?m)^TEST(_F|_P)?\(%s,\s+%s\)" % (suite, case), path)
        folder = os.path.dirname(path)
        while not os.path.exists(os.path.join(folder, "BUILD")):
            folder = os.path.dirname(folder)
        # A rule for several names them without what they have in common, be it
        # the folder or the end.
        stem = re.escape(re.sub(r"_test\.cc$", "", os.path.basename(path)))
        named = re.search(r'"([\w/]*/)?%s(_test)?(\.cc)?"' % stem, _read(os.path.join(folder, "BUILD")))
        self.assertTrue(named, "no rule for " + path)

    def test_each_yes_has_a_proof(self):
        ours = {row[0]: row[1] for row in _rows(self._text, "# Compared")}
        proofs = {row[0]: row for row in _rows(self._text, "## What Instar's")}
        self.assertEqual(list(ours), list(proofs))
        for what, (_, answer, _, tests) in proofs.items():
            self.assertEqual({"yes": "Y", "partly": "p", "no": "–"}[answer], ours[what], what)
            if answer != "no":
                self.assertIn("](../", tests, what)


if __name__ == "__main__":
    unittest.main()

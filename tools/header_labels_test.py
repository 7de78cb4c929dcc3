#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""header_labels_test.py TOOL: whether docs/labels.md has the label of each public header, and the tool would say so.

It looks at the workspace itself: a header may be new, which nothing here depends on.
"""

import os
import subprocess
import sys
import tempfile
import unittest

_TOOL = os.path.realpath(sys.argv[1])
del sys.argv[1:]

_PAGE = """# Labels

<!-- tools/header_labels --write: begin -->
<!-- tools/header_labels --write: end -->
The end.
"""
_BUILD = """
package(default_visibility = ["//visibility:private"])
cc_library(name = "shop", hdrs = ["shop.h", "internal/till.h", "//some/shop/internal:desk.h"], visibility = ["//visibility:public"])
updatable_cc_library(name = "price", hdrs = ["price.h"], visibility = ["//visibility:public"])
cc_library(name = "till", hdrs = ["till.h"])
cc_library(name = "fake", testonly = True, hdrs = ["fake.h"], visibility = ["//visibility:public"])
[cc_library(name = "case_" + n, hdrs = [n + ".h"]) for n in ["a", "b"]]
"""


def _run(*arguments):
    done = subprocess.run([_TOOL, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


class Tree:
    """A workspace of one package, //some/shop."""

    def __init__(self, build):
        self._folder = tempfile.TemporaryDirectory()
        self.root = self._folder.name
        os.makedirs(os.path.join(self.root, "some", "shop"))
        os.makedirs(os.path.join(self.root, "docs"))
        self.page = os.path.join(self.root, "docs", "labels.md")
        self.write(self.page, _PAGE)
        self.write(os.path.join(self.root, "some", "shop", "BUILD"), build)

    def write(self, path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def read(self):
        with open(self.page, encoding="utf-8") as file:
            return file.read()

    def close(self):
        self._folder.cleanup()


class HeaderLabelsTest(unittest.TestCase):

    def _tree(self, build):
        tree = Tree(build)
        self.addCleanup(tree.close)
        return tree

    def test_the_page_has_the_label_of_each_public_header(self):
        self.assertEqual(_run(), (0, ""))

    def test_it_writes_what_it_finds(self):
        tree = self._tree(_BUILD)
        self.assertEqual(_run("--root", tree.root, "--write"), (0, ""))
        self.assertIn("\n| `some/shop/price.h` | `//some/shop:price` |\n| `some/shop/shop.h` | `//some/shop` |\n<!--",
                      tree.read())
        self.assertNotIn("till.h", tree.read())
        self.assertNotIn("desk.h", tree.read())
        self.assertNotIn("fake.h", tree.read())
        self.assertTrue(tree.read().endswith("-->\nThe end.\n"))
        self.assertEqual(_run("--root", tree.root), (0, ""))

    def test_it_says_what_is_missing(self):
        tree = self._tree(_BUILD)
        code, said = _run("--root", tree.root)
        self.assertEqual(code, 1)
        self.assertIn("+| `some/shop/shop.h` | `//some/shop` |", said)
        self.assertIn("--write puts it right", said)

    def test_a_public_library_that_is_computed_is_refused(self):
        tree = self._tree('cc_library(name = "shop", hdrs = HEADERS, visibility = ["//visibility:public"])')
        code, said = _run("--root", tree.root)
        self.assertEqual(code, 1)
        self.assertIn("some/shop/BUILD: name and hdrs of a public library are to be written out", said)


if __name__ == "__main__":
    unittest.main()

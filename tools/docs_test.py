#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""docs_test.py README: whether what README.md and docs/ name is there: links with their anchors, sources, and what is to be run.

It looks at the workspace itself, where a file may be gone that nothing depends on: so the test runs each time (tag "external").
"""

import glob
import os
import re
import sys
import unittest

_ROOT = os.path.dirname(os.path.realpath(sys.argv[1]))
del sys.argv[1:]

_PAGES = ["README.md", "CONTRIBUTING.md"] + sorted(
    os.path.relpath(page, _ROOT) for page in glob.glob(_ROOT + "/docs/**/*.md", recursive=True))
# Folders of the workspace in which sources are.
_SOURCES = r"(?:base|code|continuation|docs|examples|heap|manager|stack|third_party|threads|tools|updates)"


def _read(path):
    with open(os.path.join(_ROOT, path), encoding="utf-8") as file:
        return file.read()


def _prose(text):
    return re.sub(r"(?ms)^ *```.*?^ *```", "", text)


def _anchors(text):
    headings = re.findall(r"(?m)^#+ (.*)$", _prose(text))
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


class DocsTest(unittest.TestCase):

    def _of_each_page(self, find):
        missing = [f"{page}: {what}" for page in _PAGES for what in find(page, _read(page))]
        self.assertEqual(missing, [])

    def test_links_and_their_anchors(self):
        def find(page, text):
            for target in re.findall(r"\]\(([^)\s]+)\)", _prose(text)):
                path, _, anchor = target.partition("#")
                if "://" in target:
                    continue
                path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
                if not os.path.exists(os.path.join(_ROOT, path)):
                    yield target
                elif anchor and anchor not in _anchors(_read(path)):
                    yield target
        self._of_each_page(find)

    def test_sources(self):
        def find(_, text):
            for path in re.findall(rf"`({_SOURCES}/[\w./-]+\.(?:h|cc|c|S|py|sh|bzl|md))`", text):
                if not os.path.exists(os.path.join(_ROOT, path)):
                    yield path
        self._of_each_page(find)

    def test_what_is_to_be_run(self):
        def find(_, text):
            for package, name in re.findall(r"bazelw? (?:run|test|build) (?:-\S+ (?:opt )?)*//([\w/]+):(\w+)", text):
                build = os.path.join(_ROOT, package, "BUILD")
                if not os.path.exists(build) or f'"{name}"' not in _read(build):
                    yield f"//{package}:{name}"
        self._of_each_page(find)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""From which commit an installation was made."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import install  # pylint: disable=wrong-import-position


class CommitTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.addCleanup(folder.cleanup)
        self.tree = folder.name

    def git(self, *arguments):
        return subprocess.run(["git", "-C", self.tree, "-c", "user.name=Test", "-c", "user.email=test@localhost", *arguments], check=True,
                              capture_output=True, text=True).stdout.strip()

    def write(self, text):
        with open(os.path.join(self.tree, "file"), "w", encoding="ascii") as file:
            file.write(text)

    @unittest.skipUnless(shutil.which("git"), "git is not there")
    def test_is_the_last_one(self):
        self.git("init", "--quiet")
        self.write("one")
        self.git("add", "file")
        self.git("commit", "--quiet", "--message", "one")
        self.assertEqual(install.commit_of(self.tree), self.git("log", "-1", "--format=%h"))
        self.write("two")
        self.assertIsNone(install.commit_of(self.tree))
        self.git("commit", "--quiet", "--all", "--message", "two")
        self.assertEqual(install.commit_of(self.tree), self.git("log", "-1", "--format=%h"))

    def test_is_not_known_elsewhere(self):
        self.assertIsNone(install.commit_of(None))
        self.assertIsNone(install.commit_of(self.tree))


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Updates of a shared object: symbol versions, names that others have, too, other namespaces.

library_test.py INSTAR_DIFF FLAGS_SH LIBHARNESS.SO
"""

import os
import shutil
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from builds_for_test import DIFFER, HARNESS, flags_of, run  # pylint: disable=wrong-import-position

SOURCES = os.path.dirname(os.path.abspath(__file__))


class LibraryTest(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="instar-library-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.folder)
        for version in 1, 2, 3:
            self.build(version)
        self.link("libshop.so", ["-shared", "-Wl,-soname,libshop.so", self.path("1", "library.o"),
                                 f"-Wl,--version-script={SOURCES}/library.lds"])
        self.link("program", [os.path.join(SOURCES, "library_main.c"), "-rdynamic", self.path("libshop.so"),
                              f"-Wl,-rpath,{self.folder}", HARNESS, "-Wl,-rpath," + os.path.dirname(HARNESS), "-ldl"])

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def build(self, version):
        os.makedirs(self.path(str(version)))
        run(["gcc"] + flags_of("compile") + ["-g", "-O2", f"-DVERSION={version}", "-c", os.path.join(SOURCES, "library.c"),
             "-o", self.path(str(version), "library.o")])

    def link(self, output, arguments):
        run(["gcc", "-Wl,--build-id=sha1", "-o", self.path(output)] + arguments)

    def diff(self, new):
        module = self.path(f"fix{new}.so")
        run([DIFFER, "--program", self.path("libshop.so"), "--old", self.path("1"), "--new", self.path(str(new)),
             "--name", "fix", "-o", module, "--", "library.o"], env=dict(os.environ, INSTAR_CXX="c++"))
        return module

    def say(self, *commands):
        return run([self.path("program")], input="".join(command + "\n" for command in commands),
                   env=dict(os.environ, INSTAR_SOCKET_DIRECTORY=self.folder)).splitlines()

    def test_versions_of_symbols(self):
        first, second = "6 15 1015", "7 25 2025"
        self.assertEqual(self.say("show", f"load {self.diff(2)}", "show", "undo", "show"), [first, second, first])

    def test_a_name_that_the_program_has_too(self):
        said = self.say(f"load {self.diff(3)}", "show")
        self.assertEqual(len(said), 2, said)
        self.assertRegex(said[0], r"^load: .*lib_hook.*program")
        self.assertEqual(said[1], "6 15 1015")

    def test_in_another_namespace(self):
        module = self.diff(2)
        said = self.say(f"apart {self.path('libshop.so')}", f"load {module}", "show")
        self.assertEqual(len(said), 2, said)
        self.assertRegex(said[0], r"^load: .*libshop\.so is loaded in a namespace of its own \(dlmopen\)")
        self.assertEqual(said[1], "6 15 1015")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)

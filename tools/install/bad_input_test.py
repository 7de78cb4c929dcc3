#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""What is built wrongly is refused, with the name of the thing and the remedy; the program goes on.

    bad_input_test.py INSTALL SOURCE ARGS...

INSTALL and ARGS install Instar into a temporary folder (processes_test.py).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import processes_test  # pylint: disable=wrong-import-position

SOURCES = {
    "main.c": """
#include <stdio.h>
#include <stdlib.h>
int Price(int count);
int main(void) {
  char line[100];
  while (fgets(line, sizeof line, stdin) != NULL) {
    printf("%d\\n", Price(atoi(line)));
    fflush(stdout);
  }
  return 0;
}
""",
    "price.c": """
int Price(int count);
int Each(void);
int Each(void) { return 100; }
int Price(int count) { return count * Each(); }
""",
    "update.c": """
#include <instar.h>
int Price(int count);
int Each(void);
static int Price2(int count) { return count * 90; }
static int Each2(void) { return 90; }
static const char* Plan(instar_plan* plan) {
  instar_plan_redefine(plan, INSTAR_CODE(Price), INSTAR_CODE(Price2));
  instar_plan_redefine(plan, INSTAR_CODE(Each), INSTAR_CODE(Each2));
  return NULL;
}
INSTAR_UPDATE_MODULE("update", Plan);
""",
}
ONLY_EACH = SOURCES["update.c"].replace("instar_plan_redefine(plan, INSTAR_CODE(Price), INSTAR_CODE(Price2))", "(void)Price2")


class BadInputTest(unittest.TestCase):
    """Each test builds the program in its own folder."""

    installed = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=self.installed.root)
        for name, source in SOURCES.items():
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(source)
        self.environment = dict(self.installed.environment, INSTAR_SOCKET_DIRECTORY=self.path("sockets"))
        self.running = None

    def tearDown(self):
        if self.running is not None:
            self.running.communicate(timeout=processes_test.LIMIT_S)
            self.assertEqual(self.running.returncode, 0)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_in_folder(self, *command, code=0):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self.environment,
                              cwd=self.folder)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def compile(self, compiler, *sources):
        self.run_in_folder(compiler, "-g", "-O2", "-c", *sources)

    def link(self, compiler, *options):
        self.run_in_folder(compiler, "-o", "shop", "main.o", "price.o", *options)

    def make_module(self, code=0):
        return self.run_in_folder("instar-module", "-o", "update.so", "--program", "shop", "update.c", code=code)

    def start(self):
        self.running = subprocess.Popen(
            [self.path("shop")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            bufsize=1, env=dict(self.environment, LD_PRELOAD=self.installed.agent))
        self.goes_on()

    def goes_on(self):
        self.running.stdin.write("2\n")
        self.assertEqual(self.running.stdout.readline(), "200\n")

    def is_refused(self, *parts):
        text = self.run_in_folder("instarctl", "load", "update.so", code=1)
        for part in parts:
            self.assertIn(part, text)
        self.goes_on()

    def test_a_program_without_the_flags(self):
        self.compile("cc", "main.c", "price.c")
        self.link("cc", "-rdynamic")
        self.make_module()
        self.start()
        self.assertIn("no program", self.run_in_folder("instarctl", "load", "update.so", code=3))
        self.running.stdin.close()
        said = self.running.stderr.read()
        self.running.stdin = None
        self.assertIn("none of the functions of shop has an entry", said)
        self.assertIn("instar-cc", said)
        self.assertIn("-fpatchable-function-entry=5", said)

    def test_a_file_without_the_flags(self):
        self.compile("instar-cc", "main.c")
        self.compile("cc", "price.c")
        self.link("instar-cc")
        self.make_module()
        self.start()
        self.is_refused("Price in the program, Each in the program have no patchable entries", "instar-cc",
                        "-fpatchable-function-entry=5")

    def test_the_flags_without_the_options_of_the_linker(self):
        self.compile("instar-cc", "main.c", "price.c")
        self.link("cc")
        text = self.make_module(code=1)
        self.assertIn("the program shop does not have what it uses", text)
        self.assertIn("Price", text)
        self.assertIn("instar-cc", text)
        self.assertIn("-rdynamic", text)

    def test_the_flags_without_a_build_id(self):
        self.compile("instar-cc", "main.c", "price.c")
        self.link("cc", "-rdynamic", "-Wl,--build-id=none")
        text = self.make_module(code=1)
        self.assertIn("shop has no build id", text)
        self.assertIn("-Wl,--build-id", text)

    def test_a_function_that_is_inlined_since_that_was_asked_for(self):
        with open(self.path("price.c"), "w", encoding="utf-8") as file:
            file.write(SOURCES["price.c"].replace("return 100", "return hundred").replace(
                "int Each(void);", "int Each(void);\nextern int hundred;\nint hundred = 100;"))
        self.compile("instar-cc", "-fno-semantic-interposition", "main.c", "price.c")
        self.link("instar-cc")
        with open(self.path("update.c"), "w", encoding="utf-8") as file:
            file.write(ONLY_EACH)
        self.make_module()
        self.start()
        self.is_refused("Each", "inlined", "Price")
        with open(self.path("update.c"), "w", encoding="utf-8") as file:
            file.write(SOURCES["update.c"].replace('"update"', '"both"'))
        self.make_module()
        self.run_in_folder("instarctl", "load", "update.so")
        self.running.stdin.write("2\n")
        self.assertEqual(self.running.stdout.readline(), "180\n")

    def test_a_function_that_may_have_been_inlined(self):
        with open(self.path("update.c"), "w", encoding="utf-8") as file:
            file.write(ONLY_EACH)
        # Nothing is left of it where it was inlined, as it is a constant.
        self.compile("instar-cc", "-fno-semantic-interposition", "main.c", "price.c")
        self.link("instar-cc")
        self.make_module()
        self.start()
        self.is_refused("Each", "inlined where no code of its own is left")
        # Of a stripped program nobody knows.
        self.running.communicate(timeout=processes_test.LIMIT_S)
        self.link("instar-cc", "-s")
        self.make_module()
        self.start()
        self.is_refused("where Each was inlined is not known")

    def test_a_module_for_another_build(self):
        self.compile("instar-cc", "main.c", "price.c")
        self.link("instar-cc")
        self.make_module()
        # The same code, and another file.
        self.link("instar-cc", "-Wl,-z,noseparate-code")
        self.start()
        self.is_refused("it was built for another build of shop", "start the program anew")

    def test_a_module_for_another_program(self):
        self.compile("instar-cc", "main.c", "price.c")
        self.link("instar-cc")
        os.rename(self.path("shop"), self.path("store"))
        self.run_in_folder("instar-module", "-o", "update.so", "--program", "store", "update.c")
        self.link("instar-cc", "-Wl,-z,noseparate-code")
        self.start()
        self.is_refused("it was built for the program store, and this is shop")

    def test_no_module_at_all(self):
        self.compile("instar-cc", "main.c", "price.c")
        self.link("instar-cc")
        self.start()
        shutil.copy("/bin/true", self.path("update.so"))
        self.is_refused("is not an update module")
        os.chmod(self.path("update.so"), 0o666)
        self.is_refused("can be written by others", "chmod go-w")
        os.unlink(self.path("update.so"))
        self.is_refused("cannot be opened: No such file or directory")


if __name__ == "__main__":
    BadInputTest.installed = processes_test.Installation(sys.argv[1], sys.argv[2], sys.argv[3:])
    try:
        CODE = unittest.main(argv=sys.argv[:1], verbosity=2, exit=False).result.wasSuccessful()
    finally:
        shutil.rmtree(BadInputTest.installed.root)
    sys.exit(not CODE)

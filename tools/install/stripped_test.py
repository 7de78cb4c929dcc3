#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""A program with the agent that was stripped, with its debug file and without.

    stripped_test.py INSTALL SOURCE ARGS...

INSTALL and ARGS install Instar into a temporary folder (processes_test.py).
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import processes_test  # pylint: disable=wrong-import-position

# Price is exported, Rate has a name in the symbol table alone, and Tax has no code but in others.
PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
static int calls;
static __attribute__((always_inline)) inline int Tax(int cents) { ++calls; return cents; }
static __attribute__((noinline)) int Rate(int cents) { __asm__ volatile(""); return Tax(cents); }
int Price(int count);
int Price(int count) { return Rate(count * 100); }
int main(void) {
  char line[100];
  while (fgets(line, sizeof line, stdin) != NULL) {
    printf("%d\\n", Price(atoi(line)));
    fflush(stdout);
  }
  return 0;
}
"""
MODULES = {
    "exported": """
#include <instar.h>
int Price(int count);
static int Price2(int count) { return count * 90; }
static const char* Plan(instar_plan* plan) {
  instar_plan_redefine(plan, INSTAR_CODE(Price), INSTAR_CODE(Price2));
  return NULL;
}
INSTAR_UPDATE_MODULE("exported", Plan);
""",
    "local": """
#include <instar.h>
static int New(int cents) { return cents / 2; }
static const char* Plan(instar_plan* plan) {
  instar_plan_redefine_named(plan, "Rate", INSTAR_CODE(New));
  return NULL;
}
INSTAR_UPDATE_MODULE("local", Plan);
""",
    "inlined": """
#include <instar.h>
static int New(int cents) { return cents / 2; }
static const char* Plan(instar_plan* plan) {
  instar_plan_redefine_named(plan, "Tax", INSTAR_CODE(New));
  return NULL;
}
INSTAR_UPDATE_MODULE("inlined", Plan);
""",
}


class StrippedTest(unittest.TestCase):
    """Each test strips the program in its own folder."""

    installed = None
    program = None  # not stripped

    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=self.installed.root)
        self.stripped = self.folder + "/shop"
        self.environment = dict(self.installed.environment, INSTAR_SOCKET_DIRECTORY=self.folder + "/sockets")
        self.running = None

    def tearDown(self):
        if self.running is not None:
            self.running.stdin.close()
            self.assertEqual(self.running.wait(processes_test.LIMIT_S), 0)
            self.running.stdout.close()

    def debug_file(self, path):
        """What `objcopy` and `strip` leave of the program: a debug file at this path, and the program without."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.installed.run("objcopy", "--only-keep-debug", self.program, path)
        self.strip()

    def strip(self, *options):
        self.installed.run("strip", *options, "-o", self.stripped, self.program)

    def link_to(self, path):
        self.installed.run("objcopy", "--add-gnu-debuglink=" + path, self.stripped)

    def start(self, *command):
        self.running = subprocess.Popen(
            [*command, self.stripped], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
            env=dict(self.environment, LD_PRELOAD=self.installed.agent, INSTAR_AGENT="quiet"))
        self.assertEqual(self.price(), 200)

    def price(self):
        self.running.stdin.write("2\n")
        return int(self.running.stdout.readline())

    def instarctl(self, *arguments, code=0):
        done = subprocess.run(["instarctl", "-p", "shop", *arguments], capture_output=True, text=True, check=False,
                              env=self.environment)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def updates(self, module, price):
        self.instarctl("load", self.installed.path(module + ".so"))
        self.assertEqual(self.price(), price)
        self.instarctl("undo")
        self.assertEqual(self.price(), 200)

    def refuses(self, module, reason):
        self.assertIn(reason, self.instarctl("load", self.installed.path(module + ".so"), code=1))
        self.assertEqual(self.price(), 200)

    def is_as_if_it_had_not_been_stripped(self):
        self.updates("exported", 180)
        self.updates("local", 100)
        self.refuses("inlined", "all calls of it were inlined, into Rate")
        self.assertNotIn("stripped", self.instarctl("status"))

    def test_debug_file_beside_it(self):
        self.debug_file(self.folder + "/shop.debug")
        self.link_to(self.folder + "/shop.debug")
        self.start()
        self.is_as_if_it_had_not_been_stripped()

    def test_debug_file_in_its_folder(self):
        self.debug_file(self.folder + "/.debug/shop.debug")
        self.link_to(self.folder + "/.debug/shop.debug")
        self.start()
        self.is_as_if_it_had_not_been_stripped()

    # In a mount namespace of its own, where /usr/lib/debug is another folder.

    def start_with_debug_folder(self, folder):
        command = f'mount --bind {folder} /usr/lib/debug && exec "$@"'
        inside = ["unshare", "-m", "sh", "-c", command, "sh"]
        tried = subprocess.run([*inside, "true"], capture_output=True, text=True, check=False)
        if tried.returncode != 0 or not os.path.isdir("/usr/lib/debug"):
            self.skipTest(tried.stderr or "there is no /usr/lib/debug")
        self.start(*inside)

    def test_debug_file_by_build_id(self):
        notes = subprocess.run(["readelf", "-n", self.program], capture_output=True, text=True, check=True).stdout
        build_id = notes.split("Build ID: ")[1].split()[0]
        self.debug_file(f"{self.folder}/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug")
        self.start_with_debug_folder(self.folder + "/debug")
        self.is_as_if_it_had_not_been_stripped()

    def test_debug_file_by_its_path(self):
        path = f"{self.folder}/debug{self.folder}/shop.debug"
        self.debug_file(path)
        self.link_to(path)
        self.start_with_debug_folder(self.folder + "/debug")
        self.is_as_if_it_had_not_been_stripped()

    # The network is asked for nothing, whatever the environment says.

    def nobody_is_asked(self, command):
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            self.environment.update(
                DEBUGINFOD_URLS=f"http://127.0.0.1:{server.getsockname()[1]}", DEBUGINFOD_TIMEOUT="1",
                DEBUGINFOD_CACHE_PATH=self.folder + "/cache")
            command()
            with self.assertRaises(BlockingIOError):
                server.accept()

    def test_no_server_is_asked_by_the_program(self):
        self.strip()
        self.start()
        self.nobody_is_asked(lambda: self.refuses("local", "of what was stripped, only exported names are known"))

    def test_no_server_is_asked_by_instar_diff(self):
        for build, price in [("old", "100"), ("new", "101")]:
            os.mkdir(f"{self.folder}/{build}")
            source = f"{self.folder}/{build}/shop.c"
            with open(source, "w", encoding="utf-8") as file:
                file.write(PROGRAM.replace("* 100", "* " + price))
            self.installed.run("instar-cc", "-O2", "-c", "-o", f"{self.folder}/{build}/shop.o", source)
        self.installed.run("instar-cc", "-o", self.folder + "/whole", self.folder + "/old/shop.o")
        self.installed.run("strip", "-o", self.stripped, self.folder + "/whole")
        self.nobody_is_asked(lambda: subprocess.run(
            ["instar-diff", "--program", self.stripped, "--old", self.folder + "/old", "--new", self.folder + "/new"],
            check=True, stdout=subprocess.DEVNULL, env=self.environment))

    # What works without.

    def knows_what_is_exported(self):
        self.updates("exported", 180)
        self.refuses("local", "of what was stripped, only exported names are known")
        self.refuses("inlined", "of what was stripped, only exported names are known")
        status = self.instarctl("status")
        self.assertIn("the program was stripped, and its debug file was not found", status)

    def test_no_debug_file(self):
        self.strip()
        self.start()
        self.knows_what_is_exported()

    def test_the_debug_file_of_another_program(self):
        self.debug_file(self.folder + "/shop.debug")
        self.link_to(self.folder + "/shop.debug")
        shutil.copy("/bin/true", self.folder + "/shop.debug")
        self.start()
        self.knows_what_is_exported()

    def test_symbols_alone(self):
        self.strip("--strip-debug")
        self.start()
        self.updates("exported", 180)
        self.refuses("local", "where Rate was inlined is not known")


def main():
    installed = processes_test.Installation(sys.argv[1], sys.argv[2], sys.argv[3:])
    try:
        StrippedTest.installed = installed
        StrippedTest.program = installed.path("shop")
        with open(installed.path("shop.c"), "w", encoding="utf-8") as file:
            file.write(PROGRAM)
        installed.run("instar-cc", "-O2", "-o", installed.path("shop"), installed.path("shop.c"))
        for name, source in MODULES.items():
            with open(installed.path(name + ".c"), "w", encoding="utf-8") as file:
                file.write(source)
            installed.run("instar-module", "-o", installed.path(name + ".so"), "--program", installed.path("shop"),
                          installed.path(name + ".c"))
        result = unittest.main(argv=sys.argv[:1], verbosity=2, exit=False).result
    finally:
        shutil.rmtree(installed.root)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())

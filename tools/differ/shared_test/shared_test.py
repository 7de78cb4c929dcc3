#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""A library and a plug-in are updated in programs that have loaded them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = "tools/differ/shared_test"
LIMIT_S = 60


def path(name):
    return os.path.abspath(os.path.join(HERE, name))


class Program:
    """One process of the program, with this build of the library."""

    def __init__(self, folder, library):
        libraries = tempfile.mkdtemp(dir=folder)
        shutil.copy(path(library), libraries + "/libshop.so.1.0")
        os.symlink("libshop.so.1.0", libraries + "/libshop.so.1")
        environment = dict(os.environ, LD_LIBRARY_PATH=libraries, INSTAR_SOCKET_DIRECTORY=folder + "/sockets")
        self.process = subprocess.Popen([path("program")], env=environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        self.said = []

    def tell(self, command):
        self.process.stdin.write(command + "\n")

    def read_until(self, text):
        """The lines up to the one that begins with this."""
        lines = []
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith(text):
                return lines
        raise AssertionError(f"no {text!r} in {lines}")

    def price(self):
        """Of two things."""
        self.tell("show")
        return self.read_until("buy: ")[-1].split()[1]

    def end(self):
        """What it has said since, and its exit code."""
        self.process.stdin.close()
        rest = self.process.stdout.read()
        self.process.stdout.close()
        return rest, self.process.wait(LIMIT_S)


class SharedTest(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="instar-shared-")  # the path of a socket is short
        self.programs = []

    def tearDown(self):
        for program in self.programs:
            if not program.process.stdin.closed:
                program.end()
        shutil.rmtree(self.folder)

    def start(self, library="libshop.so"):
        self.programs.append(Program(self.folder, library))
        return self.programs[-1]

    def start_and_wait(self, library="libshop.so"):
        program = self.start(library)
        program.price()  # its manager listens
        return program

    def command(self, *arguments):
        environment = dict(os.environ, INSTAR_SOCKET_DIRECTORY=self.folder + "/sockets")
        return subprocess.Popen([os.path.abspath("tools/instarctl/instarctl")] + list(arguments), env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def instarctl(self, *arguments, code=0):
        process = self.command(*arguments)
        out, err = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, code, out + err)
        return out + err

    def test_both_are_updated(self):
        program = self.start()
        commands = ["show", f"open {path('plugin.so')}", "show"]
        for fix in ("shop_fix", "plugin_fix", "shop_fix2", "plugin_fix2"):
            commands += [f"load {path(fix + '.so')}", "show"]
        commands += ["undo", "show"] * 4 + [f"load {path('shop_fix.so')}", f"load {path('plugin_fix.so')}", "show"]
        # It stays where it is, with what an update has made of it.
        commands += ["close", "show", "undo", "undo", "show"]
        for command in commands:
            program.tell(command)
        said, code = program.end()
        self.assertEqual(code, 0)
        with open(path("expected.txt"), encoding="utf-8") as file:
            self.assertEqual(file.read().splitlines(), said.splitlines())

    def test_in_every_process_that_uses_it(self):
        first, second, other = self.start_and_wait(), self.start_and_wait(), self.start_and_wait("other/libshop.so")
        prices = first.price(), other.price()
        self.assertEqual(second.price(), prices[0])
        said = self.instarctl("check", path("shop_fix.so"), "--using", "libshop.so.1")
        self.assertEqual(said.count("shop_fix can be applied"), 2, said)
        for _ in range(2):
            said = self.instarctl("load", path("shop_fix.so"), "--using", "libshop.so.1")
            for program in (first, second):
                self.assertIn(f"program ({program.process.pid}): shop_fix is applied\n", said)
            self.assertIn(f"program ({other.process.pid}): passed over: it has libshop.so.1 in another build", said)
            for program in (first, second):
                self.assertNotEqual(program.price(), prices[0])
            self.assertEqual(other.price(), prices[1])
            said = self.instarctl("undo", "shop_fix", "--using", "libshop.so.1")
            self.assertEqual(said.count("shop_fix is taken back"), 2, said)
            self.assertIn(f"program ({other.process.pid}): shop_fix is not applied\n", said)
            self.assertEqual(first.price(), prices[0])

    def test_refused_where_it_does_not_fit(self):
        other = self.start_and_wait("other/libshop.so")
        said = self.instarctl("load", path("shop_fix.so"), code=1)
        self.assertIn("it changes libshop.so (build ", said)
        said = self.instarctl("load", path("shop_fix.so"), "--using", "libshop.so.1", code=3)
        self.assertIn("no program that can be updated and runs as this user has loaded libshop.so.1", said)
        said = self.instarctl("load", path("plugin_fix.so"), "--using", "plugin.so", code=3)
        self.assertIn("has loaded plugin.so", said)
        for wrong in (["--all"], ["--pid", str(other.process.pid)], ["--json"], ["--program", "program"]):
            self.instarctl("load", path("shop_fix.so"), "--using", "libshop.so.1", *wrong, code=2)

    def test_a_bundle_for_several_builds(self):
        first, other = self.start_and_wait(), self.start_and_wait("other/libshop.so")
        prices = first.price(), other.price()
        bundle = self.folder + "/shop_fix.bundle"
        self.instarctl("bundle", "-o", bundle, path("shop_fix.so"), path("shop_fix_of_v2.so"))
        said = self.instarctl("load", bundle, "--using", "libshop.so.1")
        self.assertEqual(said.count("shop_fix is applied"), 2, said)
        # The first has now what the other one had.
        self.assertEqual(first.price(), prices[1])
        self.assertNotIn(other.price(), prices)
        said = self.instarctl("undo", "shop_fix", "--using", "libshop.so.1")
        self.assertEqual(said.count("shop_fix is taken back"), 2, said)
        self.assertEqual((first.price(), other.price()), prices)
        # For none of what is loaded.
        self.instarctl("bundle", "-o", bundle, path("plugin_fix.so"))
        said = self.instarctl("-p", str(first.process.pid), "load", bundle, code=1)
        self.assertIn("has no module for this build", said)
        self.assertIn("it has them for these builds of plugin.so", said)

    def test_under_watch(self):
        first, second = self.start_and_wait(), self.start_and_wait()
        price = first.price()
        load = ["load", path("shop_fix.so"), "--using", "libshop.so.1"]
        self.instarctl(*load, "--watch", "1s", "--health", "true")
        self.assertNotEqual(first.price(), price)
        self.assertNotEqual(second.price(), price)
        self.instarctl("undo", "shop_fix", "--using", "libshop.so.1")
        bad = self.folder + "/bad"
        process = self.command(*load, "--watch", "600s", "--health", f"test ! -e {bad}")
        said = ""
        while not said.startswith("watching process "):
            said = process.stdout.readline()
            if not said:
                self.fail(f"ended: {process.communicate(timeout=LIMIT_S)}")
        self.assertEqual(sorted(program.price() == price for program in (first, second)), [False, True])
        with open(bad, "w", encoding="utf-8"):
            pass
        out, err = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 6, out + err)
        self.assertIn("it is in no process any more", err)
        self.assertEqual((first.price(), second.price()), (price, price))

    def load_into_the_first(self, first, second):
        """A load that waits in the second process, by number, and has been applied in the first."""
        second.tell("serve")
        second.read_until("serving")
        process = self.command("load", path("shop_fix.so"), "--using", "libshop.so.1", "--timeout", "600")
        self.assertIn(f"program ({first.process.pid}): shop_fix is applied", process.stdout.readline())
        while "shop_fix" not in self.instarctl("-p", str(second.process.pid), "status", "--json").split('"pending"')[1]:
            if process.poll() is not None:
                self.fail(f"ended: {process.communicate(timeout=LIMIT_S)}")
            time.sleep(0.01)
        return process

    def test_a_second_interruption_leaves_it(self):
        programs = self.start_and_wait(), self.start_and_wait()
        price = programs[0].price()
        first, second = sorted(programs, key=lambda program: program.process.pid)
        process = self.load_into_the_first(first, second)
        # Both arrive before it does anything about the first.
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 7, out + err)
        self.assertIn(f"left: shop_fix stays applied in program ({first.process.pid})", err)
        self.assertNotEqual(first.price(), price)
        second.tell("")  # nobody is inside any more
        end = time.monotonic() + LIMIT_S
        while second.price() == price:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        self.instarctl("undo", "shop_fix", "--using", "libshop.so.1")
        self.assertEqual((first.price(), second.price()), (price, price))

    def test_an_interruption_leaves_nothing(self):
        programs = self.start_and_wait(), self.start_and_wait()
        price = programs[0].price()
        first, second = sorted(programs, key=lambda program: program.process.pid)
        process = self.load_into_the_first(first, second)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_S)
        self.assertEqual(process.returncode, 5, out + err)
        self.assertIn("interrupted; shop_fix was taken back", err)
        second.tell("")
        for program in (first, second):
            self.assertEqual(program.price(), price)


if __name__ == "__main__":
    sys.exit(unittest.main())

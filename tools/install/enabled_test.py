#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Updates that last: what is enabled is applied when the program starts, before main().

    enabled_test.py INSTALL SOURCE ARGS...

INSTALL and ARGS install Instar into a temporary folder (processes_test.py);
SOURCE is the program (enabled_for_test.c), which is compiled with what was
installed.
"""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # beside a source

from processes_test import Installation, LIMIT_S  # pylint: disable=wrong-import-position

NOBODY = 65534
CODE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <instar.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int Price(int count);
extern int initialized, main_has_begun;
static int NewPrice(int count) { return %(price)s; }
static ssize_t Slowly(void* cookie, const char* data, size_t size) {
  sleep(1);
  return size;
}
static const char* Plan(instar_plan* plan) {
  if (!initialized) return "the program is not initialized";
  %(before)s
  instar_plan_redefine(plan, INSTAR_CODE(Price), INSTAR_CODE(NewPrice));
  return NULL;
}
INSTAR_UPDATE_MODULE("%(name)s", Plan);
"""
BEFORE_MAIN = 'if (main_has_begun) return "it is too late";'
# As the environment says. To end slowly: in what exit() writes out at its end,
# after all destructors. To wait: it says so on the program's output, and goes
# on with a byte from the gate.
ABORT = {"BAD": "abort"}
BAD = """const char* const bad = getenv("BAD");
  if (bad == NULL) return "not today";
  if (*bad == 'a') abort();
  if (*bad == 's') fputc(0, fopencookie(NULL, "w", (cookie_io_functions_t){.write = Slowly}));
  if (*bad == 'e' || *bad == 's') exit(7);
  if (*bad == '/') {
    char byte;
    int gate;
    if (write(1, "0\\n", 2) != 2) return "?";
    gate = open(bad, O_RDONLY);
    if (read(gate, &byte, 1) != 1) return "?";
    close(gate);
  }"""


class Programs(Installation):
    """Two builds of one program, and modules for them."""

    def __init__(self, install, source, arguments):
        super().__init__(install, source, arguments)
        self.built = {}
        self.environment["PKG_CONFIG_PATH"] = self.path("prefix/lib/pkgconfig")
        libs = subprocess.run(["pkg-config", "--libs", "instar-agent"], check=True, env=self.environment,
                              capture_output=True, text=True).stdout.split()
        os.mkdir(self.path("v1"))
        os.mkdir(self.path("v2"))
        for version in ["v1", "v2"]:
            self.run("instar-cc", "-O2", f'-DVERSION="{version}"', "-o", self.path(version + "/shop"), source, *libs,
                     "-Wl,--no-as-needed", "-linstar")

    def build(self, name, price="count * 90", before="", version="v1", requires=(), program=None):
        """A module, which is built once."""
        key = (name, price, before, version, program)
        if key not in self.built:
            self.built[key] = self.build_now(name, price, before, version, requires, program)
        return self.built[key]

    def build_now(self, name, price, before, version, requires, program):
        folder = tempfile.mkdtemp(dir=self.root)
        output = f"{folder}/{name}.so"
        with open(f"{folder}/{name}.c", "w", encoding="utf-8") as file:
            file.write(CODE % {"name": name, "price": price, "before": before})
        options = [option for module in requires for option in ["--requires", module]]
        self.run("instar-module", "-o", output, "--program", program or self.path(version + "/shop"), *options,
                 f"{folder}/{name}.c")
        return output

    def build_of(self, version):
        notes = subprocess.run(["readelf", "-n", self.path(version + "/shop")], check=True, capture_output=True,
                               text=True).stdout
        return re.search(r"Build ID: (\w{12})", notes)[1]


class EnabledTest(unittest.TestCase):
    """Each test has its own folders of what is enabled, and of sockets."""

    made = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=self.made.root)
        os.chmod(self.folder, 0o755)
        self.state = self.folder + "/state"
        self.environment = dict(self.made.environment, INSTAR_SOCKET_DIRECTORY=self.folder + "/sockets",
                                INSTAR_STATE_DIRECTORY=self.state)
        self.started = []

    def tearDown(self):
        for process in self.started:
            if process.poll() is None:
                process.stdin.close()
                self.assertEqual(process.wait(LIMIT_S), 0)
            process.stdin.close()
            process.stdout.close()

    def start(self, version="v1", program=None, **options):
        environment = dict(self.environment, **options.pop("environment", {}))
        process = subprocess.Popen([program or self.made.path(version + "/shop")], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=options.pop("stderr", None), env=environment,
                                   bufsize=0, **options)
        self.started.append(process)
        return process

    def price(self, process, count=2):
        process.stdin.write(f"{count}\n".encode())
        return self.answer(process)

    def answer(self, process):
        self.assertTrue(select.select([process.stdout], [], [], LIMIT_S)[0], "no answer")
        return int(process.stdout.readline())

    def price_at_start(self, version="v1", **options):
        """Of a program that is started, asked, and ends."""
        process = self.start(version, **options)
        price = self.price(process)
        process.stdin.close()
        self.assertEqual(process.wait(LIMIT_S), 0)
        return price

    def instarctl(self, *arguments, code=0):
        done = subprocess.run(["instarctl"] + list(arguments), capture_output=True, text=True, check=False,
                              env=self.environment)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def log(self):
        return self.instarctl("log", "-p", "shop")

    def test_before_main(self):
        module = self.folder + "/early.so"
        shutil.copy(self.made.build("early", before=BEFORE_MAIN), module)
        self.assertIn("it is too late", self.failure_of_load(module))
        self.assertIn("no update is enabled", self.instarctl("list"))
        said = self.instarctl("enable", module)
        self.assertIn("early is enabled: applied whenever shop, build " + self.made.build_of("v1"), said)
        os.remove(module)  # there is a copy
        for _ in range(2):
            self.assertEqual(self.price_at_start(), 180)
        self.assertEqual(self.log().count("applied  early"), 2)
        # A program that has it can take it back, until its next start.
        process = self.start()
        self.assertEqual(self.price(process), 180)
        self.instarctl("undo", "-p", str(process.pid))
        self.assertEqual(self.price(process), 200)
        self.assertEqual(self.price_at_start(), 180)
        self.assertRegex(self.instarctl("list"), "shop .*\n  early  build " + self.made.build_of("v1"))
        self.assertIn("early is disabled for shop", self.instarctl("disable", "early"))
        self.assertEqual(self.price_at_start(), 200)
        self.assertIn("no update 'early' is enabled", self.instarctl("disable", "early", code=1))

    def failure_of_load(self, module):
        process = self.start()
        self.assertEqual(self.price(process), 200)
        said = self.instarctl("load", module, "-p", str(process.pid), code=1)
        process.stdin.close()
        self.assertEqual(process.wait(LIMIT_S), 0)
        return said

    def test_the_order(self):
        first = self.made.build("good", price="count * 95")
        second = self.made.build("second", price="count * 80", requires=[first])
        self.assertIn("it requires update 'good', which is not enabled before it",
                      self.instarctl("enable", second))
        self.assertEqual(self.price_at_start(), 200)
        self.assertIn("skipped  second: it requires update 'good', which is not applied", self.log())
        self.instarctl("disable", "second")
        self.instarctl("enable", first)
        self.assertNotIn("requires", self.instarctl("enable", second))
        self.assertEqual(self.price_at_start(), 160)
        process = self.start()
        self.assertEqual(self.price(process), 160)
        self.instarctl("undo", "-p", str(process.pid))
        self.assertEqual(self.price(process), 190)

    def test_a_module_for_another_build(self):
        self.instarctl("enable", self.made.build("discount"))
        process = self.start("v2")
        self.assertEqual(self.price(process), 200)
        reason = (f"it is for build {self.made.build_of('v1')}, and this is build {self.made.build_of('v2')}")
        self.assertIn("skipped  discount: " + reason, self.log())
        self.assertIn("update 'discount' is enabled and not applied: " + reason,
                      self.instarctl("status", "-p", str(process.pid)))

    def test_a_bundle(self):
        bundle = self.folder + "/discount.bundle"
        modules = [self.made.build("discount"),
                   self.made.build("discount", price="count * 60", version="v2")]
        self.assertIn("discount for shop, builds", self.instarctl("bundle", "-o", bundle, *modules))
        for version, price in [("v1", 180), ("v2", 120)]:
            process = self.start(version)
            self.assertEqual(self.price(process), 200)
            self.assertIn("redefine Price", self.instarctl("check", bundle, "-p", str(process.pid)))
            self.instarctl("load", bundle, "-p", str(process.pid))
            self.assertEqual(self.price(process), price)
            process.stdin.close()
            process.wait(LIMIT_S)
        self.instarctl("enable", bundle)
        self.assertEqual(self.price_at_start("v1"), 180)
        self.assertEqual(self.price_at_start("v2"), 120)
        # Both run: it is for either, and each gets its own.
        first, second = self.start("v1"), self.start("v2")
        self.assertEqual((self.price(first), self.price(second)), (180, 120))
        # The one of the builds of a bundle is chosen by it.
        only = self.folder + "/only.bundle"
        self.instarctl("bundle", "-o", only, modules[1])
        self.assertIn("is applied already", self.instarctl("load", only, code=1))

    def test_a_bundle_without_this_build(self):
        bundle = self.folder + "/discount.bundle"
        self.instarctl("bundle", "-o", bundle, self.made.build("discount"))
        process = self.start("v2")
        self.assertEqual(self.price(process), 200)
        for command in ["check", "load"]:
            said = self.instarctl(command, bundle, "-p", str(process.pid), code=1)
            self.assertIn(f"has no module for this build ({self.made.build_of('v2')})", said)
            self.assertIn(f"these builds of shop: {self.made.build_of('v1')}", said)
        self.assertEqual(self.price(process), 200)
        self.instarctl("enable", bundle)
        self.assertEqual(self.price_at_start("v2"), 200)
        self.assertIn("skipped  discount: it is for build", self.log())
        # Modules of different updates make none.
        self.assertIn("a bundle is of one update",
                      self.instarctl("bundle", "-o", bundle, self.made.build("discount"),
                                     self.made.build("other", version="v2"), code=1))

    def test_damaged_or_missing(self):
        self.instarctl("enable", self.made.build("good", price="count * 95"))
        self.instarctl("enable", self.made.build("discount"))
        copy, = [name for name in os.listdir(self.state + "/shop") if name.startswith("discount.")]
        with open(f"{self.state}/shop/{copy}", "r+b") as file:
            file.seek(4000)
            file.write(b"damaged")
        self.assertEqual(self.price_at_start(), 190)
        self.assertIn("is damaged", self.log())
        self.assertIn("not applied: ", self.instarctl("list"))
        os.remove(f"{self.state}/shop/{copy}")
        self.assertEqual(self.price_at_start(), 190)
        self.assertIn("is not there", self.log())
        with open(self.state + "/shop/enabled.json", "w", encoding="utf-8") as file:
            file.write("{")
        self.assertEqual(self.price_at_start(), 200)
        self.assertIn("enabled.json is damaged", self.log())
        self.assertIn("enabled.json is damaged", self.instarctl("list"))

    def test_of_another_instar(self):
        module = self.folder + "/discount.so"
        shutil.copy(self.made.build("discount"), module)
        with open(module, "rb") as file:
            contents = file.read()
        with open(module, "wb") as file:
            file.write(contents.replace(b"Instar\0\0\1\0\0\0", b"Instar\0\0\7\0\0\0"))
        self.assertIn("format 7", self.instarctl("enable", module, code=1))
        with open(module, "wb") as file:
            file.write(contents)
        self.instarctl("enable", module)
        path = self.state + "/shop/enabled.json"
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace('"format": 1', '"format": 2'))
        self.assertEqual(self.price_at_start(), 200)
        self.assertIn("is of another Instar", self.log())

    def test_what_others_may_write(self):
        self.instarctl("enable", self.made.build("discount"))
        copy, = [name for name in os.listdir(self.state + "/shop") if name.startswith("discount.")]
        for path in [self.state, self.state + "/shop", f"{self.state}/shop/{copy}"]:
            mode = os.stat(path).st_mode & 0o7777
            os.chmod(path, mode | 0o020)
            self.assertEqual(self.price_at_start(), 200)
            self.assertIn("chmod go-w " + path, self.log())
            os.chmod(path, mode)
        self.assertEqual(self.price_at_start(), 180)

    @unittest.skipUnless(os.geteuid() == 0, "only root can give files away")
    def test_what_is_somebody_elses(self):
        self.instarctl("enable", self.made.build("discount"))
        os.chown(self.state + "/shop", NOBODY, NOBODY)
        self.assertEqual(self.price_at_start(), 200)
        self.assertIn("belongs to user 65534", self.log())

    def nobodys(self):
        """Starts the program as nobody, who can write nothing but sockets and marks."""
        sockets = self.folder + "/nobodys"
        if not os.path.exists(sockets):
            os.mkdir(sockets, 0o700)
            os.chown(sockets, NOBODY, NOBODY)
        return {"environment": {"INSTAR_SOCKET_DIRECTORY": sockets, "HOME": "/nonexistent"},
                "user": NOBODY, "group": NOBODY, "extra_groups": []}

    @unittest.skipUnless(os.geteuid() == 0, "only root can become nobody")
    def test_roots_are_applied_for_others(self):
        self.instarctl("enable", self.made.build("discount"))
        self.assertEqual(self.price_at_start(**self.nobodys()), 180)

    @unittest.skipUnless(os.geteuid() == 0, "only root can become nobody")
    def test_a_crash_of_another_user(self):
        self.instarctl("enable", self.made.build("bad", before=BAD))
        nobodys = self.nobodys()
        nobodys["environment"]["BAD"] = "abort"
        self.assertEqual(self.start(**nobodys).wait(LIMIT_S), -signal.SIGABRT)
        self.assertEqual(self.price_at_start(**nobodys), 200)
        # Nobody's mark is nothing to root.
        self.assertEqual(self.start(environment=ABORT).wait(LIMIT_S), -signal.SIGABRT)
        self.assertEqual(self.price_at_start(environment=ABORT), 200)

    @unittest.skipUnless(os.geteuid() == 0, "only root makes a program of another user")
    def test_set_user_id(self):
        if os.statvfs(self.folder).f_flag & os.ST_NOSUID:
            self.skipTest("the file system knows no set-user-ID")
        self.instarctl("enable", self.made.build("discount"))
        program = self.folder + "/shop"
        shutil.copy(self.made.path("v1/shop"), program)
        self.assertEqual(self.price_at_start(program=program), 180)
        environment = self.nobodys()["environment"]
        for user, mode in [(NOBODY, 0o4755), (0, 0o2755)]:
            os.chown(program, user, NOBODY)
            os.chmod(program, mode)
            started = {} if user == 0 else {"environment": environment}
            self.assertEqual(self.price_at_start(program=program, **started), 200)

    def test_a_crash_is_not_repeated(self):
        self.instarctl("enable", self.made.build("good", price="count * 95"))
        self.instarctl("enable", self.made.build("bad", before=BAD))
        crashed = self.start(environment=ABORT)
        self.assertEqual(crashed.wait(LIMIT_S), -signal.SIGABRT)
        for _ in range(2):
            self.assertEqual(self.price_at_start(environment=ABORT), 190)
        reason = f"process {crashed.pid} ended while it was applied at its start"
        self.assertIn("skipped  bad: " + reason, self.log())
        self.assertIn("not applied: " + reason, self.instarctl("list"))
        # Again only when it is asked for, and once.
        self.instarctl("enable", self.made.build("bad", before=BAD))
        self.assertEqual(self.start(environment=ABORT).wait(LIMIT_S), -signal.SIGABRT)
        self.assertEqual(self.price_at_start(environment=ABORT), 190)
        self.instarctl("disable", "bad")
        self.assertNotIn("not applied", self.instarctl("list"))

    def test_an_end_is_not_repeated(self):
        self.instarctl("enable", self.made.build("bad", before=BAD))
        self.assertEqual(self.start(environment={"BAD": "exit"}).wait(LIMIT_S), 7)
        self.assertEqual(self.price_at_start(environment={"BAD": "exit"}), 200)

    def test_main_does_not_begin_in_an_end(self):
        self.instarctl("enable", self.made.build("bad", before=BAD))
        process = self.start(environment={"BAD": "slow exit"})
        process.stdin.write(b"2\n")
        self.assertEqual(process.wait(LIMIT_S), 7)
        self.assertEqual(process.stdout.read(), b"")  # not the price
        self.assertEqual(self.price_at_start(environment={"BAD": "slow exit"}), 200)

    def slow(self):
        gate = self.folder + "/gate"
        os.mkfifo(gate)
        self.instarctl("enable", self.made.build("bad", before=BAD))
        return gate

    def test_a_start_that_is_killed(self):
        gate = self.slow()
        process = self.start(environment={"BAD": gate})
        self.answer(process)  # it is in the update
        process.kill()
        process.wait(LIMIT_S)
        self.assertEqual(self.price_at_start(), 200)
        self.assertIn(f"process {process.pid} ended while", self.log())

    def test_two_starts_at_a_time(self):
        gate = self.slow()
        first = self.start(environment={"BAD": gate})
        self.answer(first)  # its mark is there, and says nothing to the second one
        second = self.start(environment={"BAD": gate})
        self.answer(second)
        with open(gate, "wb", buffering=0) as opened:
            opened.write(b"..")
            self.assertEqual((self.price(first), self.price(second)), (180, 180))

    def test_one_that_fails(self):
        self.instarctl("enable", self.made.build("bad", before=BAD))
        self.instarctl("enable", self.made.build("good", price="count * 95"))
        for _ in range(2):
            self.assertEqual(self.price_at_start(), 190)
        self.assertEqual(self.log().count("not today"), 2)

    def test_under_another_name(self):
        module = self.made.build("discount")
        self.instarctl("enable", module, "-p", "bakery")
        self.assertEqual(self.price_at_start(), 200)
        self.assertEqual(self.price_at_start(environment={"INSTAR_NAME": "bakery"}), 180)
        self.assertIn("no update of shop is enabled", self.instarctl("list", "-p", "shop"))
        # The number of a process stands for its name.
        process = self.start()
        self.assertEqual(self.price(process), 200)
        self.instarctl("enable", module, "-p", str(process.pid))
        self.assertIn("no program of the number 1 ", self.instarctl("enable", module, "-p", "1", code=1))
        self.assertRegex(self.instarctl("list"), "(?s)bakery .*discount.*shop .*discount")
        self.assertIn("several programs: bakery, shop", self.instarctl("disable", "discount", code=1))
        self.instarctl("disable", "discount", "-p", "bakery")
        self.instarctl("disable", "discount")

    def test_by_preloading(self):
        bare = self.made.program  # without the agent
        module = self.made.build("discount", program=bare)
        self.instarctl("enable", module)
        preload = {"LD_PRELOAD": self.made.agent}
        self.assertEqual(self.price_at_start(program=bare, environment=preload), 180)
        self.assertEqual(self.price_at_start(program=bare, environment=dict(preload, INSTAR_AGENT="off")), 200)
        self.assertEqual(self.price_at_start(program=bare), 200)


if __name__ == "__main__":
    EnabledTest.made = Programs(sys.argv[1], sys.argv[2], sys.argv[3:])
    try:
        code = unittest.main(argv=sys.argv[:1], verbosity=2, exit=False).result.wasSuccessful()
    finally:
        shutil.rmtree(EnabledTest.made.root)
    sys.exit(not code)

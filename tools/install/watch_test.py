#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Updates that are taken back because something fails soon afterwards.

    watch_test.py INSTALL SOURCE ARGS...    as processes_test.py
"""

import os
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from processes_test import LIMIT_S, ProcessTestCase, main  # noqa: E402

MODULE = """
#include <instar.h>
#include <stdlib.h>
int Price(int count);
static int NewPrice(int count) { %s; return count * 90; }
static const char* Plan(instar_plan* plan) {
  instar_plan_redefine(plan, INSTAR_CODE(Price), INSTAR_CODE(NewPrice));
  return NULL;
}
INSTAR_UPDATE_MODULE("%s", Plan);
"""
FOREVER = "1h"
NAME = f"watched{os.getpid()}"  # others may run on the machine


def build_modules(installed):
    for name, code in [
            ("crashing", "abort()"),
            ("failing", "instar_count_requests(1); instar_count_errors(count == 2)"),
    ]:
        setattr(installed, name, installed.build(name, MODULE % (code, name)))


class WatchTest(ProcessTestCase):
    """load --watch"""

    def setUp(self):
        super().setUp()
        self.environment["INSTAR_STATE_DIRECTORY"] = self.folder + "/state"

    def watch(self, module, *arguments):
        """Starts a load that watches; goes on when it does."""
        watching = subprocess.Popen(
            ["instarctl", "load", module, "--watch", FOREVER] + list(arguments), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=self.environment)
        self.await_line(watching, "watching")
        return watching

    def await_line(self, watching, text):
        for line in watching.stdout:
            if text in line:
                return
        self.fail(f"it ended without \"{text}\": {watching.communicate(timeout=LIMIT_S)[1]}")

    def finish(self, watching, code):
        out, err = watching.communicate(timeout=LIMIT_S)
        self.assertEqual(watching.returncode, code, out + err)
        return out + err

    def crashed(self, *numbers):
        """These workers have ended by a signal; the first of all is the program that was started."""
        for number in sorted(numbers, reverse=True):
            worker = self.workers.pop(number)
            try:
                worker.close()
            except BrokenPipeError:
                pass
            if number == 0:
                self.assertLess(self.program.wait(LIMIT_S), 0)
                self.program = None

    def ask_and_crash(self, number):
        worker = self.workers[number]
        worker.input.write("2\n")
        self.assertEqual(worker.output.readline(), "")

    def test_nothing_fails(self):
        self.start("plain", INSTAR_NAME=NAME)
        said = self.instarctl("load", self.installed.module, "--watch", "0.1s", "--health", "true")
        self.assertIn("discount is applied", said)
        self.assertIn("watched it for 100.0 ms: the health command passed", said)
        self.assertEqual(self.prices(), [180])

    def test_the_health_command_fails(self):
        self.start("plain", INSTAR_NAME=NAME)
        path = self.folder + "/log"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
            log.bind(path)
            self.environment["INSTAR_SYSLOG"] = path
            bad = self.folder + "/bad"
            health = f"test ! -e {bad} || {{ echo $INSTAR_PROGRAM $INSTAR_PID $INSTAR_UPDATE is bad; exit 3; }}"
            watching = self.watch(self.installed.module, "--health", health)
            self.assertEqual(self.prices(), [180])
            open(bad, "w", encoding="ascii").close()
            said = self.finish(watching, 6)
            pid = self.workers[0].pid
            self.assertIn(f"the health command exited with 3: {NAME} {pid} discount is bad; it was taken back", said)
            self.assertIn("discount is taken back", said)
            self.assertRegex(log.recv(4096).decode(),
                             f'event=found_faulty program="{NAME}" '
                             r'update="discount" user=\d+ module=.* sha256=\w{64} '
                             'detail="the health command exited with 3')
        self.assertEqual(self.prices(), [200])

    def test_the_health_command_fails_before(self):
        self.start("plain", INSTAR_NAME=NAME)
        said = self.instarctl("load", self.installed.module, "--watch", FOREVER, "--health", "exit 2", code=1)
        self.assertIn("before the update is loaded, the health command exited with 2; nothing was changed", said)
        self.assertEqual(self.prices(), [200])

    def test_too_many_errors(self):
        self.start("plain", INSTAR_NAME=NAME)
        watching = self.watch(self.installed.failing, "--max-errors", "3")
        for count in [1, 2, 1, 2, 2]:
            self.workers[0].price(count)
        self.assertIn("5 requests counted, 3 errors", self.instarctl("status"))
        self.assertIsNone(watching.poll())
        self.workers[0].price(2)
        said = self.finish(watching, 6)
        self.assertIn("the program has counted 4 errors of 6 requests, and the limit is 3", said)
        self.assertEqual(self.prices(), [200])

    def test_a_crash(self):
        self.start("plain", INSTAR_NAME=NAME)
        watching = self.watch(self.installed.crashing)
        pid = self.workers[0].pid
        self.ask_and_crash(0)
        said = self.finish(watching, 6)
        self.assertIn(f"crashing may have crashed the program: process {pid} ended: ", said)
        self.crashed(0)
        self.assertNotIn("left out", said)  # it is not enabled

    def test_a_crash_of_what_is_enabled(self):
        self.start("plain", INSTAR_NAME=NAME)
        self.instarctl("enable", self.installed.crashing)
        watching = self.watch(self.installed.crashing)
        self.ask_and_crash(0)
        self.assertIn("it is enabled, and will be left out at the next start", self.finish(watching, 6))
        self.crashed(0)
        self.assertRegex(self.instarctl("list"), r"crashing .*\n +not applied: under watch: process \d+ ended: signal 6")

    def test_an_end_says_nothing(self):
        self.start("plain", INSTAR_NAME=NAME)
        watching = self.watch(self.installed.module)
        self.workers[0].close()
        self.assertIn("which says nothing of the update", self.finish(watching, 3))
        self.workers = []

    def test_ctrl_c_leaves_it_applied(self):
        self.start("plain", INSTAR_NAME=NAME)
        watching = self.watch(self.installed.module, "--health", "true")
        watching.send_signal(signal.SIGINT)
        said = self.finish(watching, 8)
        self.assertIn("discount stays applied, and nobody watches it; `instarctl undo discount` takes it back", said)
        self.assertEqual(self.prices(), [180])

    def test_it_cannot_be_taken_back(self):
        self.start("plain", INSTAR_NAME=NAME)
        bad = self.folder + "/bad"
        watching = self.watch(self.installed.module, "--health", f"test ! -e {bad}")
        # Another update comes after it.
        self.instarctl("load", self.installed.failing)
        open(bad, "w", encoding="ascii").close()
        said = self.finish(watching, 7)
        self.assertIn("it is still applied, and cannot be taken back", said)

    def test_all_when_nothing_fails(self):
        self.start("prefork2", workers=3, INSTAR_NAME=NAME)
        said = self.instarctl("load", self.installed.module, "--watch", "0.1s", "--all", "-p", NAME)
        self.assertRegex(said, r"watched process \d+ for 100.0 ms: nothing happened")
        self.assertIn("watched all 3 processes for 100.0 ms: nothing happened", said)
        self.assertEqual(self.prices(), [180] * 3)

    def test_all_ends_with_the_first(self):
        self.start("prefork2", workers=3, INSTAR_NAME=NAME)
        bad = self.folder + "/bad"
        watching = self.watch(self.installed.module, "--all", "-p", NAME, "--health", f"test ! -e {bad}")
        # One of those that others were not forked from.
        self.assertEqual(self.workers[0].price(2), 200)
        self.assertEqual(sorted(self.prices()), [180, 200, 200])
        open(bad, "w", encoding="ascii").close()
        said = self.finish(watching, 6)
        self.assertIn("it is in no process any more", said)
        self.assertEqual(self.prices(), [200] * 3)

    def test_all_when_the_first_crashes(self):
        self.start("prefork2", workers=3, INSTAR_NAME=NAME)
        watching = self.watch(self.installed.crashing, "--all", "-p", NAME)
        changed = [number for number in range(3) if self.has_update(number)]
        self.assertEqual(len(changed), 1)
        self.ask_and_crash(changed[0])
        self.assertIn("may have crashed the program", self.finish(watching, 6))
        self.crashed(changed[0])
        self.assertEqual(self.prices(), [200] * 2)

    def has_update(self, number):
        status = self.instarctl("status", "--program", str(self.workers[number].pid))
        return "crashing" in status

    def test_all_when_another_one_crashes(self):
        self.start("prefork2", workers=3, INSTAR_NAME=NAME)
        watching = subprocess.Popen(
            ["instarctl", "load", self.installed.crashing, "--watch", "5s", "--all", "-p", NAME],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment)
        self.await_line(watching, "watching all 3 processes")
        self.ask_and_crash(1)
        said = self.finish(watching, 6)
        self.assertIn("it is in no process any more", said)
        self.crashed(1)
        self.assertEqual(self.prices(), [200] * 2)


if __name__ == "__main__":
    main(build_modules)

#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""A program with the agent does what daemons do, and is updated afterwards.

    processes_test.py INSTALL SOURCE OTHER_AGENT ARGS...

INSTALL and ARGS install Instar into a temporary folder; SOURCE is the program
(processes_for_test.c), which is compiled with what was installed. OTHER_AGENT
is an agent of another version.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

MODULE = """
#include <instar.h>
int Price(int count);
static int Price2(int count) { return count * 90; }
static const char* Discount(instar_plan* plan) {
  instar_plan_redefine(plan, INSTAR_CODE(Price), INSTAR_CODE(Price2));
  return NULL;
}
INSTAR_UPDATE_MODULE("discount", Discount);
"""
OWN_MANAGER = """
#include <instar.h>
#include <stdio.h>
int main(void) {
  const char* const error = instar_start("other");
  puts(error == NULL ? "started" : error);
  return 0;
}
"""
LIMIT_S = 60
# Programs are found by their names, wherever on the machine they run: no other test's may have this one.
PROGRAM = f"server{os.getpid()}"


class Installation:
    """What all tests use."""

    def __init__(self, install, source, arguments):
        self.root = tempfile.mkdtemp(prefix="instar-processes-")
        # Another user, or one in another root, finds what it needs.
        os.chmod(self.root, 0o755)
        prefix = os.path.join(self.root, "prefix")
        subprocess.run([install] + arguments + ["--prefix", prefix], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        # The names of its own functions, which nobody looks for here, take each manager a while.
        subprocess.run(["strip", "--strip-all", os.path.realpath(prefix + "/lib/libinstar.so")], check=True)
        self.environment = {"PATH": prefix + "/bin:/usr/bin:/bin", "LC_ALL": "C"}
        self.agent = prefix + "/lib/libinstar_agent.so"
        self.program = self.path(PROGRAM)
        self.run("instar-cc", "-O2", "-o", self.program, source, "-pthread")
        self.module = Installation.build(self, "discount", MODULE)

    def build(self, name, source):
        with open(self.path(name + ".c"), "w", encoding="utf-8") as file:
            file.write(source)
        module = self.path(name + ".so")
        self.run("instar-module", "-o", module, "--program", self.program, self.path(name + ".c"))
        return module

    def path(self, name):
        return os.path.join(self.root, name)

    def run(self, *command):
        subprocess.run(command, check=True, env=self.environment)


class Worker:
    """One process of the program, asked through two FIFOs."""

    def __init__(self, folder, number):
        self.input = open(f"{folder}/in.{number}", "w", buffering=1, encoding="ascii")
        self.output = open(f"{folder}/out.{number}", encoding="ascii")
        self.pid = int(self.output.readline())

    def price(self, count):
        self.input.write(f"{count}\n")
        return int(self.output.readline())

    def urgent(self):
        """How many SIGURG its own handler has seen."""
        self.input.write("urgent\n")
        return int(self.output.readline())

    def close(self):
        self.input.close()
        self.output.close()


class ProcessTestCase(unittest.TestCase):
    """Each test starts the program in its own folder."""

    installed = None
    other_agent = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=self.installed.root)
        os.chmod(self.folder, 0o777)
        self.errors = open(self.folder + "/errors", "w+", encoding="utf-8")
        self.environment = dict(self.installed.environment, INSTAR_SOCKET_DIRECTORY=self.folder + "/sockets")
        self.program = None
        self.workers = []

    def tearDown(self):
        for worker in self.workers:
            try:
                worker.close()
            except BrokenPipeError:
                pass  # it has ended, and the test has failed
        if self.program is not None:
            self.assertEqual(self.program.wait(LIMIT_S), 0)
        for worker in self.workers:
            self.await_end(worker.pid)
        self.errors.seek(0)
        self.assertEqual(self.errors.read(), "")
        self.errors.close()

    def await_end(self, pid):
        end = time.monotonic() + LIMIT_S
        while os.path.exists(f"/proc/{pid}"):
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                self.fail(f"process {pid} did not end with its input")
            time.sleep(0.01)

    def start(self, mode, workers=1, asked=None, **environment):
        for number in range(workers):
            os.mkfifo(f"{self.folder}/in.{number}")
            os.mkfifo(f"{self.folder}/out.{number}")
            os.chmod(f"{self.folder}/in.{number}", 0o666)
            os.chmod(f"{self.folder}/out.{number}", 0o666)
        self.program = subprocess.Popen(
            [self.installed.program, mode, self.folder], stderr=self.errors, stdin=subprocess.DEVNULL,
            env=dict(self.environment, LD_PRELOAD=self.installed.agent, **environment))
        self.workers = [Worker(self.folder, number) for number in range(asked or workers)]
        if mode in ("daemon", "double_fork"):
            self.program.wait(LIMIT_S)  # it has left a child

    def instarctl(self, *arguments, code=0):
        done = subprocess.run(["instarctl"] + list(arguments), capture_output=True, text=True, check=False,
                              env=self.environment)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def prices(self):
        return [worker.price(2) for worker in self.workers]

    def update_and_undo(self, *chosen):
        count = len(self.workers)
        self.assertEqual(self.prices(), [200] * count)
        self.instarctl("load", self.installed.module, *chosen)
        self.assertEqual(self.prices(), [180] * count)
        self.instarctl("undo", *chosen)
        self.assertEqual(self.prices(), [200] * count)


class ProcessesTest(ProcessTestCase):
    """What daemons do."""

    def test_a_name_of_its_own(self):
        name = f"shop{os.getpid()}"
        self.start("plain", INSTAR_NAME=name)
        self.assertIn(name, self.instarctl("ps"))
        self.update_and_undo("--program", name)

    def test_a_daemon(self):
        self.start("daemon")
        self.assertNotIn("forked", self.instarctl("ps", "-p", PROGRAM))
        self.update_and_undo()

    def test_two_forks(self):
        self.start("double_fork")
        worker = self.workers[0].pid
        self.assertIn("forked by one", self.instarctl("ps"))
        self.assertIn("forked by one", self.instarctl("ps", "-p", str(worker)))
        # It would listen elsewhere.
        self.environment["INSTAR_SOCKET_DIRECTORY"] = self.folder + "/others"
        self.assertIn("no program that can be updated", self.instarctl("ps"))
        self.instarctl("ps", "-p", PROGRAM, code=3)
        self.environment["INSTAR_SOCKET_DIRECTORY"] = self.folder + "/sockets"
        self.update_and_undo()

    def test_all_descriptors_closed(self):
        self.start("close_all")
        self.update_and_undo("--program", PROGRAM)

    def test_main_has_ended(self):
        self.start("exited_main")
        self.update_and_undo()

    @unittest.skipUnless(os.geteuid() == 0, "only root can change its user")
    def test_another_user(self):
        self.start("setuid")
        self.update_and_undo("--program", PROGRAM)

    @unittest.skipUnless(os.geteuid() == 0, "only root sees what is not dumpable")
    def test_not_dumpable(self):
        self.start("undumpable")
        self.update_and_undo()

    def test_all_of_a_tree(self):
        self.start("prefork3", workers=4)
        parent, children = self.workers[0].pid, sorted(worker.pid for worker in self.workers[1:])
        self.assertEqual(
            re.findall(rf"^( *{PROGRAM}) +(\d+) ", self.instarctl("ps"), re.MULTILINE),
            [(PROGRAM, str(parent))] + [("  " + PROGRAM, str(child)) for child in children])
        tree = {process["pid"]: process for process in json.loads(self.instarctl("ps", "--json"))["processes"]}
        self.assertEqual(sorted(child["pid"] for child in tree[parent]["children"]), children)
        self.assertIn("applied", self.instarctl("load", self.installed.module, "--all"))
        self.assertEqual(self.prices(), [180] * 4)
        self.assertEqual(self.instarctl("status", "--all", "-p", PROGRAM).count("updates: discount"), 4)
        # One has been taken back alone: the others are all the same.
        self.instarctl("undo", "--program", str(self.workers[2].pid))
        self.assertEqual(self.prices(), [180, 180, 200, 180])
        self.assertIn("not applied", self.instarctl("undo", "--all", "-p", PROGRAM))
        self.assertEqual(self.prices(), [200] * 4)

    def test_one_of_a_tree_has_it_already(self):
        self.start("prefork1", workers=2)
        self.instarctl("load", self.installed.module, "--program", str(self.workers[0].pid))
        self.assertEqual(self.prices(), [180, 200])
        self.assertIn("applied already", self.instarctl("load", self.installed.module, "--all", "-p", PROGRAM))
        self.assertEqual(self.prices(), [180, 180])

    def test_a_child_has_what_its_parent_had(self):
        # The module is loaded before the program forks, and undone in the child alone.
        self.start("fork_on_request", workers=2, asked=1)
        self.instarctl("load", self.installed.module)
        self.assertEqual(self.workers[0].price(0), 0)  # forks
        worker = Worker(self.folder, 1)
        self.workers.append(worker)
        self.assertEqual(self.prices(), [180, 180])
        self.instarctl("undo", "--program", str(worker.pid))
        self.assertEqual(self.prices(), [180, 200])
        self.instarctl("undo", "--program", str(self.workers[0].pid))
        self.assertEqual(self.prices(), [200, 200])

    def test_refused_by_one_is_applied_by_none(self):
        self.start("prefork2", workers=3)
        self.instarctl("load", self.installed.module, "--program", str(self.workers[1].pid))
        self.instarctl("load", "/nowhere.so", "--all", "-p", PROGRAM, code=1)
        self.assertEqual(self.prices(), [200, 180, 200])

    def test_the_log_of_the_system(self):
        path = self.folder + "/log"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
            log.bind(path)
            self.start("plain", INSTAR_SYSLOG=path)
            pid = self.workers[0].pid
            self.instarctl("load", self.installed.module)
            with open(self.installed.module, "rb") as module:
                digest = hashlib.sha256(module.read()).hexdigest()
            who = rf'program="{PROGRAM}" update="discount" user={os.getuid()} client=\d+ '
            what = rf'module="{self.installed.module}" sha256={digest} detail=".*"'
            self.assertRegex(log.recv(4096).decode(), rf"^<85>instar\[{pid}\]: event=applied {who}{what}$")
            self.instarctl("load", self.installed.module, code=1)
            self.assertRegex(log.recv(4096).decode(), rf"^<84>instar\[{pid}\]: event=failed {who}{what}$")
            self.instarctl("undo")
            self.assertRegex(log.recv(4096).decode(), rf"^<85>instar\[{pid}\]: event=undone {who}{what}$")
            # Nobody reads, until there is no room: the update does not care.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
                other.setblocking(False)
                try:
                    while True:
                        other.sendto(b"full", path)
                except BlockingIOError:
                    pass
            self.update_and_undo()
        # Nor if the log has gone.
        self.update_and_undo()

    def test_not_compiled_for_updates(self):
        done = subprocess.run(["/bin/true"], capture_output=True, text=True, check=True,
                              env=dict(self.environment, LD_PRELOAD=self.installed.agent))
        self.assertIn("none of the functions of true", done.stderr)
        self.assertIn("instar-cc", done.stderr)
        for setting in ["quiet", "off"]:
            done = subprocess.run(["/bin/true"], capture_output=True, text=True, check=True,
                                  env=dict(self.environment, LD_PRELOAD=self.installed.agent, INSTAR_AGENT=setting))
            self.assertEqual(done.stderr, "")

    def test_two_agents(self):
        copy = self.folder + "/other_agent.so"
        shutil.copy(self.installed.agent, copy)
        done = subprocess.run([self.installed.program], capture_output=True, text=True, check=False,
                              env=dict(self.environment, LD_PRELOAD=f"{self.installed.agent} {copy}",
                                       LD_LIBRARY_PATH=os.path.dirname(self.installed.agent)))
        self.assertIn("has an agent already", done.stderr)
        self.assertEqual(done.returncode, 2)

    def test_a_manager_beside_the_agent(self):
        source, program = self.folder + "/own.c", self.folder + "/own"
        with open(source, "w", encoding="utf-8") as file:
            file.write(OWN_MANAGER)
        prefix = os.path.dirname(os.path.dirname(self.installed.agent))
        self.installed.run("instar-cc", f"-I{prefix}/include", "-o", program, source, f"-L{prefix}/lib", "-linstar",
                           f"-Wl,-rpath,{prefix}/lib")
        for preload, said in [("", "started"), (self.installed.agent, "has a manager already, that of ")]:
            done = subprocess.run([program], capture_output=True, text=True, check=True,
                                  env=dict(self.environment, LD_PRELOAD=preload))
            self.assertIn(said, done.stdout)

    def test_an_agent_of_another_version(self):
        # The program starts, and has no manager.
        done = subprocess.run([self.installed.program], capture_output=True, text=True, check=False,
                              env=dict(self.environment, LD_PRELOAD=self.other_agent,
                                       LD_LIBRARY_PATH=os.path.dirname(self.installed.agent)))
        self.assertRegex(done.stderr, r"is of version 0\.0\.1, and the library .*/libinstar\.so\S* of version .*"
                                      "install both anew")
        self.assertEqual(done.returncode, 2)
        self.assertFalse(os.path.exists(self.folder + "/sockets"))


def main(prepare=lambda installed: None, first=3):
    """Runs the tests of the main module, whose ARGS begin at `first`."""
    ProcessTestCase.installed = Installation(sys.argv[1], sys.argv[2], sys.argv[first:])
    try:
        prepare(ProcessTestCase.installed)
        code = unittest.main(argv=sys.argv[:1], verbosity=2, exit=False).result.wasSuccessful()
    finally:
        shutil.rmtree(ProcessTestCase.installed.root)
    sys.exit(not code)


if __name__ == "__main__":
    ProcessesTest.other_agent = os.path.abspath(sys.argv[3])
    main(first=4)

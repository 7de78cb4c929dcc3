#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""A program with the agent in a service that is hardened, without systemd.

    hardened_test.py INSTALL SOURCE HARDENED ARGS...

INSTALL and ARGS install Instar into a temporary folder; SOURCE is the program
(processes_for_test.c), which is compiled with what was installed. HARDENED
(hardened_for_test.c) executes it with the settings of a unit file. What the
kernel does not permit here is skipped.
"""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import processes_test  # pylint: disable=wrong-import-position
from processes_test import LIMIT_S  # pylint: disable=wrong-import-position

NOT_PERMITTED = 77
KILLS = "SystemCallFilter=@system-service"
FAILS = "SystemCallErrorNumber=EPERM"
# What is said of threads that block all signals, where ptrace(2) is not allowed.
NO_PTRACE = "SystemCallFilter=ptrace"


class HardenedTest(unittest.TestCase):
    """Each test starts the program in its own folder."""

    installed = None
    launcher = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(dir=self.installed.root)
        os.chmod(self.folder, 0o777)
        self.sockets = self.folder + "/sockets"
        self.environment = dict(self.installed.environment, INSTAR_SOCKET_DIRECTORY=self.sockets)
        self.program = None
        self.errors = None
        self.worker = None

    def tearDown(self):
        if self.worker is not None:
            try:
                self.worker.close()
            except BrokenPipeError:
                pass  # it has ended, and the test has failed
        if self.program is not None:
            self.assertEqual(self.program.wait(LIMIT_S), 0)
            self.errors.close()

    def start(self, *settings, mode="plain", number=0, **environment):
        """Starts the program, or skips the test. An empty variable is taken out of the environment."""
        for name in [f"in.{number}", f"out.{number}", "in.0", "out.0"]:
            if not os.path.exists(f"{self.folder}/{name}"):
                os.mkfifo(f"{self.folder}/{name}")
                os.chmod(f"{self.folder}/{name}", 0o666)
        permitted = subprocess.run([self.launcher, *settings, "/bin/true"], capture_output=True, text=True, check=False)
        if permitted.returncode == NOT_PERMITTED:
            self.skipTest(permitted.stdout)
        self.assertEqual(permitted.returncode, 0, permitted.stderr)
        variables = dict(self.environment, LD_PRELOAD=self.installed.agent, **environment)
        # The launcher is not to be updated.
        command = ["/usr/bin/env"] + [f"{name}={value}" for name, value in variables.items() if value]
        self.errors = open(self.folder + "/errors", "w+", encoding="utf-8")  # pylint: disable=consider-using-with
        self.program = subprocess.Popen(
            [self.launcher, *settings] + command + [self.installed.program, mode, self.folder], stderr=self.errors,
            stdin=subprocess.DEVNULL, env={})
        self.await_its_files(number)
        self.worker = processes_test.Worker(self.folder, number)

    def await_its_files(self, number):
        """A program that was ended opens none, and a FIFO would be waited for."""
        while True:
            try:
                os.close(os.open(f"{self.folder}/in.{number}", os.O_WRONLY | os.O_NONBLOCK))
                return
            except OSError as error:
                self.assertEqual(error.errno, errno.ENXIO)
            self.assertIsNone(self.program.poll(), self.said())
            time.sleep(0.01)

    def said(self):
        with open(self.folder + "/errors", encoding="utf-8") as errors:
            return errors.read()

    def instarctl(self, *arguments, code=0, **environment):
        variables = {name: value for name, value in dict(self.environment, **environment).items() if value}
        done = subprocess.run(["instarctl", *arguments], capture_output=True, text=True, check=False, env=variables)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def update_and_undo(self, *chosen, **environment):
        self.assertEqual(self.worker.price(2), 200)
        self.instarctl("load", self.installed.module, *chosen, **environment)
        self.assertEqual(self.worker.price(2), 180)
        self.instarctl("undo", *chosen, **environment)
        self.assertEqual(self.worker.price(2), 200)

    def pid(self):
        return ["--pid", str(self.worker.pid)]

    # What works.

    def test_system_calls_of_services(self):
        self.start(KILLS)
        self.update_and_undo()
        lines = self.said().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertIn(NO_PTRACE, lines[0])
        self.assertIn(NO_PTRACE, self.instarctl("log"))
        self.assertIn(NO_PTRACE, self.instarctl("status"))

    def test_system_calls_that_fail(self):
        self.start(KILLS, FAILS)
        self.update_and_undo()
        self.assertIn("forbids ptrace(2)", self.said())

    def test_all_calls_that_are_needed(self):
        self.start(KILLS, NO_PTRACE)
        self.update_and_undo()
        self.assertEqual(self.said(), "")

    def test_no_memory_that_is_written_and_executed(self):
        self.start("MemoryDenyWriteExecute=yes")
        self.update_and_undo()
        self.assertEqual(self.said(), "")

    def test_no_memory_that_is_written_and_executed_by_a_filter(self):
        self.start("MemoryDenyWriteExecute=seccomp")
        self.update_and_undo()
        self.assertEqual(self.said(), "")

    def test_no_new_privileges(self):
        self.start("NoNewPrivileges=yes")
        self.update_and_undo()
        self.assertEqual(self.said(), "")

    def test_processes_are_hidden(self):
        self.start("ProtectProc=invisible", "ProcSubset=pid")
        self.update_and_undo()
        self.assertEqual(self.said(), "")

    def test_own_tmp(self):
        if self.folder.startswith("/tmp/"):
            self.skipTest("the test itself is in /tmp")
        self.start("PrivateTmp=yes", INSTAR_SOCKET_DIRECTORY="/tmp/sockets")
        self.update_and_undo(*self.pid())
        self.update_and_undo("--program", str(self.worker.pid), INSTAR_SOCKET_DIRECTORY="")
        self.assertEqual(self.said(), "")

    def test_the_module_is_not_in_its_file_system(self):
        modules = self.folder + "/modules"
        os.mkdir(modules)
        module = shutil.copy(self.installed.module, modules)
        self.start("TemporaryFileSystem=" + modules)
        self.assertIn("nothing is in the way", self.instarctl("check", module, *self.pid()))
        self.instarctl("load", module, *self.pid())
        self.assertEqual(self.worker.price(2), 180)
        self.assertIn(module, self.instarctl("status"))

    def test_own_network(self):
        self.start("PrivateNetwork=yes")
        self.update_and_undo(*self.pid(), INSTAR_SOCKET_DIRECTORY="/nowhere")
        self.update_and_undo()

    def test_all_at_once(self):
        hidden = self.folder + "/hidden"
        os.mkdir(hidden)
        self.start(
            "NoNewPrivileges=yes", "PrivateNetwork=yes", "TemporaryFileSystem=" + hidden, "ProtectProc=invisible",
            "ProcSubset=pid", "MemoryDenyWriteExecute=seccomp", KILLS, INSTAR_SOCKET_DIRECTORY=hidden + "/sockets")
        self.update_and_undo(*self.pid())

    @unittest.skipUnless(os.geteuid() == 0, "only root changes its root")
    def test_another_root_after_the_start(self):
        self.start(mode="chroot")
        self.update_and_undo()
        self.update_and_undo(*self.pid())
        self.assertEqual(self.said(), "")

    def test_a_runtime_directory_where_nothing_else_can_be_written(self):
        runtime = self.folder + "/runtime"
        os.mkdir(runtime)
        self.start("ProtectSystem=strict", "TemporaryFileSystem=" + runtime, INSTAR_SOCKET_DIRECTORY="",
                   RUNTIME_DIRECTORY=runtime)
        self.update_and_undo(*self.pid())
        self.assertEqual(self.said(), "")

    def test_nothing_can_be_written_in_proc_either(self):
        runtime = self.folder + "/runtime"
        os.mkdir(runtime)
        self.start("ReadOnlyPaths=/", "TemporaryFileSystem=" + runtime, INSTAR_SOCKET_DIRECTORY=runtime + "/sockets")
        self.update_and_undo(*self.pid())
        self.assertEqual(self.said(), "")

    def test_a_filter_of_all_threads_that_comes_later(self):
        self.start(mode="filter_all_threads")
        self.update_and_undo()
        self.assertEqual(self.said(), "")

    def test_a_thread_that_blocks_all_signals(self):
        self.start(KILLS, NO_PTRACE, mode="deaf")
        self.update_and_undo()

    def test_a_worker_under_the_filter_of_its_service(self):
        self.start(KILLS, NO_PTRACE, mode="worker_plain", number=1)
        self.update_and_undo(*self.pid())

    def test_a_worker_of_a_program_that_has_filtered_all_threads(self):
        self.start(mode="worker_of_filtered", number=1)
        self.update_and_undo(*self.pid())

    # What does not, and says so; the program goes on.

    def refuses(self, *parts, chosen=(), code=1, **environment):
        text = self.instarctl("load", self.installed.module, *chosen, code=code, **environment)
        for part in parts:
            self.assertIn(part, text)
        self.assertEqual(self.worker.price(2), 200)

    def says_why_there_is_no_manager(self, *parts):
        self.assertEqual(self.worker.price(2), 200)
        for part in parts:
            self.assertIn(part, self.said())

    def test_a_thread_that_cannot_be_stopped(self):
        self.start(KILLS, mode="deaf")
        self.refuses("blocks SIGTRAP", "a seccomp filter ends the process", NO_PTRACE)

    def test_a_thread_that_must_not_be_stopped(self):
        self.start(KILLS, FAILS, mode="deaf")
        self.refuses("blocks SIGTRAP", "Operation not permitted")

    def test_a_call_that_would_end_the_process(self):
        self.start(KILLS, "SystemCallFilter=~membarrier")
        self.says_why_there_is_no_manager("would end this process", "SystemCallFilter=membarrier")

    def test_a_filter_of_all_threads_that_would_end_the_process(self):
        self.start(mode="filter_all_threads_strictly")
        self.says_why_there_is_no_manager("the manager ends", "SystemCallFilter=memfd_create")
        self.instarctl("status", *self.pid(), code=3)
        self.assertEqual(self.worker.price(2), 200)

    def test_a_call_that_fails(self):
        self.start(KILLS, FAILS, "SystemCallFilter=~membarrier")
        self.says_why_there_is_no_manager("Operation not permitted", "SystemCallFilter=membarrier")

    def test_no_files_in_memory(self):
        self.start(KILLS, FAILS, "SystemCallFilter=~memfd_create")
        self.assertIn("SystemCallFilter=memfd_create", self.said())
        self.refuses("memfd_create() fails")

    def test_no_local_sockets(self):
        self.start("RestrictAddressFamilies=AF_INET")
        self.says_why_there_is_no_manager("RestrictAddressFamilies=AF_UNIX")

    def test_no_folder_for_the_socket(self):
        self.start(INSTAR_SOCKET_DIRECTORY="/proc/sockets")
        self.says_why_there_is_no_manager("/proc/sockets, cannot be made", "$INSTAR_SOCKET_DIRECTORY",
                                          "RuntimeDirectory=")
        self.assertIn("has started no manager", self.instarctl("status", *self.pid(), code=3))

    def test_no_folder_that_can_be_written(self):
        self.start("ProtectSystem=strict", INSTAR_SOCKET_DIRECTORY="")
        self.says_why_there_is_no_manager("Read-only file system", "RuntimeDirectory=")

    def test_a_worker_that_has_laid_a_filter(self):
        self.start(mode="worker_filter", number=1)
        self.refuses("has laid a seccomp filter", "docs/hardened_services.md", chosen=self.pid(), code=3)

    def test_a_worker_that_has_laid_a_filter_under_that_of_its_service(self):
        self.start(KILLS, NO_PTRACE, mode="worker_filter", number=1)
        self.refuses("has laid a seccomp filter", chosen=self.pid(), code=3)

    def test_a_worker_that_ignores_the_signal(self):
        self.start(mode="worker_ignore", number=1)
        self.refuses("it ignores SIGURG", chosen=self.pid(), code=3)

    def test_a_worker_that_has_taken_the_handler_away(self):
        self.start(mode="worker_default", number=1)
        self.refuses("SIGURG", "is at its default", chosen=self.pid(), code=3)

    def test_a_worker_that_blocks_the_signal(self):
        self.start(mode="worker_block", number=1)
        self.refuses("block SIGURG", chosen=self.pid(), code=3)
        with open(f"/proc/{self.worker.pid}/status", encoding="ascii") as status:
            self.assertIn("ShdPnd:\t0000000000000000\n", status.read())

    def test_a_worker_that_handles_the_signal_itself(self):
        self.start(mode="worker_handle", number=1)
        self.refuses("handles SIGURG itself", chosen=self.pid(), code=3)
        self.assertIn(self.worker.urgent(), range(1, 30))

    @unittest.skipUnless(os.geteuid() == 0, "only root changes its root")
    def test_a_worker_in_another_root(self):
        self.start(mode="chroot_worker", number=1)
        self.refuses("has started no manager", chosen=self.pid(), code=3)
        self.assertIn("cannot be made", self.said())

    @unittest.skipUnless(os.geteuid() == 0, "only root changes its user")
    def test_a_worker_of_another_user(self):
        self.start(mode="setuid_worker", number=1, INSTAR_SOCKET_DIRECTORY="")
        self.update_and_undo(*self.pid())

    @unittest.skipUnless(os.geteuid() == 0, "only root changes its user")
    def test_a_worker_of_another_user_without_memory_that_is_written_and_executed(self):
        self.start("MemoryDenyWriteExecute=yes", mode="setuid_worker", number=1, INSTAR_SOCKET_DIRECTORY="")
        self.refuses("MemoryDenyWriteExecute=no", chosen=self.pid())
        self.assertIn("MemoryDenyWriteExecute=no", self.instarctl("status", *self.pid()))


if __name__ == "__main__":
    HardenedTest.launcher = sys.argv[3]
    # Not in /tmp, which some of these programs do not see.
    tempfile.tempdir = "/var/lib" if os.access("/var/lib", os.W_OK) else None
    HardenedTest.installed = processes_test.Installation(sys.argv[1], sys.argv[2], sys.argv[4:])
    try:
        CODE = unittest.main(argv=sys.argv[:1], verbosity=2, exit=False).result.wasSuccessful()
    finally:
        shutil.rmtree(HardenedTest.installed.root)
    sys.exit(not CODE)

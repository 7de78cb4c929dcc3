#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""What `instarctl load` asks the program, and which files are opened meanwhile.

A proxy stands between the two, and counts; inotify(7) sees who opens the files of
the program and of the library that the update changes. With --figures: how long
it takes from a command on an open connection to the answer that the update is
applied, and a request that does nothing.
"""

import ctypes
import json
import os
import select
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = "tools/differ/shared_test"
LIMIT_S = 60
MOST_ROUND_TRIPS = 6
IN_OPEN = 0x20


def path(name):
    return os.path.abspath(os.path.join(HERE, name))


class Proxy:
    """Listens where instarctl looks, and passes on what comes, with files."""

    def __init__(self, name, target):
        self.target = target
        self.connections = self.requests = self.replies = 0
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(name)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            self.connections += 1
            program = socket.socket(socket.AF_UNIX)
            program.connect(self.target)
            for source, sink, what in ((client, program, "requests"), (program, client, "replies")):
                threading.Thread(target=self.copy, args=(source, sink, what), daemon=True).start()

    def copy(self, source, sink, what):
        """Frames are counted by the lengths before them."""
        rest = b""
        while True:
            try:
                data, files, _, _ = socket.recv_fds(source, 1 << 16, 16)
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                rest += data
                while len(rest) >= 4 and len(rest) >= 4 + struct.unpack("<I", rest[:4])[0]:
                    rest = rest[4 + struct.unpack("<I", rest[:4])[0]:]
                    with self.lock:  # before the other end can act on it
                        setattr(self, what, getattr(self, what) + 1)
                socket.send_fds(sink, [data], files)
                for file in files:
                    os.close(file)
            except OSError:
                return


class Opened:
    """Who opens these files, from now on."""

    def __init__(self, files):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.inotify = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for file in files:
            if self.libc.inotify_add_watch(self.inotify, os.fsencode(file), IN_OPEN) < 0:
                raise OSError(ctypes.get_errno(), file)

    def count(self):
        total = 0
        while select.select([self.inotify], [], [], 0)[0]:
            data = os.read(self.inotify, 1 << 16)
            while data:
                length = struct.unpack("iIII", data[:16])[3]
                data = data[16 + length:]
                total += 1
        return total


class RoundTripsTest(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="instar-trips-")
        for name in ("behind", "front", "libraries"):
            os.mkdir(os.path.join(self.folder, name), 0o700)
        shutil.copy(path("libshop.so"), self.folder + "/libraries/libshop.so.1")
        environment = dict(os.environ, LD_LIBRARY_PATH=self.folder + "/libraries",
                           INSTAR_SOCKET_DIRECTORY=self.folder + "/behind")
        # It waits in read(2) for the next command.
        self.program = subprocess.Popen([path("program")], env=environment, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        self.program.stdin.write("show\n")
        while not self.program.stdout.readline().startswith("tax: "):
            pass

    def tearDown(self):
        self.program.stdin.close()
        self.program.stdout.read()
        self.program.stdout.close()
        self.program.wait(LIMIT_S)
        shutil.rmtree(self.folder)

    def instarctl(self, folder, *arguments):
        environment = dict(os.environ, INSTAR_SOCKET_DIRECTORY=os.path.join(self.folder, folder))
        return subprocess.run([os.path.abspath("tools/instarctl/instarctl")] + list(arguments), env=environment,
                              capture_output=True, text=True, timeout=LIMIT_S, check=False)

    def test_few_and_no_file(self):
        # What the manager reads before the first command has been read when the first is answered.
        self.assertIn("no update is applied", self.instarctl("behind", "undo").stderr)
        name = f"program.{self.program.pid}.sock"
        proxy = Proxy(os.path.join(self.folder, "front", name), os.path.join(self.folder, "behind", name))
        opened = Opened([path("program"), self.folder + "/libraries/libshop.so.1"])
        loaded = self.instarctl("front", "load", path("shop_fix.so"))
        files = opened.count()
        self.assertEqual(loaded.returncode, 0, loaded.stderr)
        print(f"{proxy.connections} connections, {proxy.requests} requests, {proxy.replies} replies, {files} files opened")
        # Each connection that is only tried counts as well. One that takes long is asked how it goes, ten times a second.
        statuses = proxy.requests - 1
        self.assertEqual(proxy.requests, proxy.replies)
        if statuses:
            print(f"a busy machine: the status was asked for {statuses} times")
        self.assertLessEqual(proxy.connections + 1, MOST_ROUND_TRIPS)
        self.assertEqual(files, 0)
        # It sees such things.
        with open(path("program"), "rb"):
            pass
        self.assertEqual(opened.count(), 1)

    @unittest.skipUnless("--figures" in sys.argv, "for --figures")
    def test_figures(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(os.path.join(self.folder, "behind", f"program.{self.program.pid}.sock"))

        def ask(**request):
            """The answer, and how long it took, in microseconds."""
            text = json.dumps(dict(request, version=1, id=1)).encode()
            begin = time.perf_counter()
            connection.sendall(struct.pack("<I", len(text)) + text)
            rest = b""
            while len(rest) < 4 or len(rest) < 4 + struct.unpack("<I", rest[:4])[0]:
                rest += connection.recv(1 << 16)
            took = (time.perf_counter() - begin) * 1e6
            return json.loads(rest[4:])["ok"], took

        ask(request="program")
        trips = [ask(request="program")[1] for _ in range(200)]
        loads, again, parts = [], [], []
        for number in range(20):
            # Each time a file that the program has not seen, and the same once more.
            module = os.path.join(self.folder, f"{number}.so")
            shutil.copy(path("shop_fix.so"), module)
            for times in (loads, again):
                answer, took = ask(request="load", path=module)
                times.append(took)
                if times is loads:
                    parts.append([answer[part] / 1000 for part in ("loading_ns", "preparing_ns", "applying_ns")])
                ask(request="undo")
        trip = statistics.median(trips)
        for name, times in (("loaded", loads), ("loaded again", again)):
            print(f"{name}: {statistics.median(times):.0f} us, {statistics.median(times) / trip:.1f} round trips")
        print(f"round trip: {trip:.0f} us; loading, preparing, applying: "
              f"{[round(statistics.median(part)) for part in zip(*parts)]} us")


if __name__ == "__main__":
    sys.exit(unittest.main(argv=[argument for argument in sys.argv if argument != "--figures"]))

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""A client that knows each answer, and how long each took."""

import array
import multiprocessing
import os
import random
import signal
import socket
import time

# An answer that takes longer is lost.
PATIENCE_S = 20


class Wrong(Exception):
    """An answer is not what it should be."""


def expect(answer, wanted, request=""):
    if answer != wanted:
        raise Wrong(f"{request}: {str(answer)[:200]!r} and not {str(wanted)[:200]!r}")


class Stream:
    """A TCP connection that is read by lines, or by bytes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the connection was closed")
        return line.rstrip(b"\r\n")

    def read(self, size):
        data = self.file.read(size)
        if len(data) != size:
            raise ConnectionError("the connection was closed")
        return data

    def rest(self):
        return self.file.read()

    def close(self):
        self.file.close()
        self.socket.close()


class Checker:
    """Derive: connect(), and request(), which makes one request and compares its answer."""

    # Between two requests, in seconds: it is not the load.
    pause_s = 0.0005

    def __init__(self, port):
        self.port = port
        self.random = random.Random(1)

    def connect(self):
        """Called before the first request, and after one that was lost."""

    def request(self):
        """Raises Wrong, or OSError if there was no answer."""
        raise NotImplementedError


class Watch:
    """Has a checker make requests, in a process of its own, until end()."""

    def __init__(self, checker, path):
        self.path = path
        self.receiver, sender = multiprocessing.Pipe(duplex=False)
        self.process = multiprocessing.Process(target=self._run, args=(checker, path, sender), daemon=True)
        self.process.start()
        sender.close()

    @staticmethod
    def _run(checker, path, sender):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ended = []
        signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
        took = array.array("d")
        wrong, lost, said = 0, 0, []
        connected = False
        while not ended:
            began = time.monotonic()
            try:
                if not connected:
                    checker.connect()
                    connected = True
                began = time.monotonic()
                checker.request()
            except Wrong as error:
                wrong += 1
                said.append(f"wrong: {error}")
            except OSError as error:
                if not ended:
                    lost += 1
                    said.append(f"lost: {type(error).__name__}: {error}")
                connected = False
                time.sleep(0.02)
                continue
            except Exception as error:  # pylint: disable=broad-except
                # It cannot read the answer.
                wrong += 1
                said.append(f"wrong: {type(error).__name__}: {error}")
                connected = False
                continue
            took.extend((began, time.monotonic() - began))
            time.sleep(checker.pause_s)
        with open(path, "wb") as file:
            took.tofile(file)
        sender.send({"requests": len(took) // 2, "wrong": wrong, "lost": lost, "said": said[:5]})

    def end(self):
        """Returns what was seen, and all requests as pairs: when, and how long; seconds."""
        self.process.terminate()
        seen = self.receiver.recv() if self.receiver.poll(PATIENCE_S + 10) else None
        self.process.join(5)
        if seen is None:
            self.process.kill()
            return {"requests": 0, "wrong": 0, "lost": 1, "said": ["the checker has not ended"]}, []
        values = array.array("d")
        with open(self.path, "rb") as file:
            values.fromfile(file, os.path.getsize(self.path) // values.itemsize)
        return seen, list(zip(values[::2], values[1::2]))


def latency(requests):
    """Median, 99th percentile and longest, in microseconds."""
    took = sorted(one[1] for one in requests)
    if not took:
        return None
    return {"requests": len(took), "median_us": round(took[len(took) // 2] * 1e6),
            "p99_us": round(took[len(took) * 99 // 100] * 1e6), "max_us": round(took[-1] * 1e6)}

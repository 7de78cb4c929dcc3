#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Edits, good and bad ones, while instar-live watches.

    live_test.py INSTALL ARGS...

INSTALL and ARGS install Instar into a temporary folder. A small program is
built by make, started, and edited.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

LIMIT_S = 120
PRICE = """#include "price.h"
static int sold;
int price(int count) {
  sold += count;
  return count * 100;
}
"""
MAIN = """#include <stdio.h>
#include <unistd.h>
#include "price.h"
int main(void) {
  for (int last = 0;; usleep(10000)) {
    int now = price(20);
    if (now != last) printf("%d\\n", now);
    fflush(stdout);
    last = now;
  }
}
"""
MAKEFILE = """CC = instar-cc
CFLAGS = -O2
shop: main.o price.o
	$(CC) -o $@ $^
main.o price.o: price.h
"""


# A build can be held at its end.
BUILD = ["sh", "-c", "make -s && { [ ! -p gate ] || cat gate; }"]


def write(path, text):
    # As editors do: never half of it.
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


class Live:
    """instar-live, and what it writes."""

    def __init__(self, *arguments):
        self.seen = 0
        self.log = open("live.log", "wb")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(["instar-live", *arguments], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT)

    def text(self):
        with open("live.log", encoding="utf-8") as file:
            return file.read()

    def expect(self, *texts):
        """Waits until each of these has been written, in this order, since the last call; returns what was written."""
        end = time.monotonic() + LIMIT_S
        pattern = re.compile(".*?".join(map(re.escape, texts)) + "[^\n]*\n", re.DOTALL)
        while True:
            said = self.text()[self.seen:]
            found = pattern.search(said)
            if found:
                self.seen += found.end()
                return said[:found.end()]
            if time.monotonic() > end:
                raise SystemExit(f"FAILED: no {texts} in:\n{said}")
            time.sleep(0.02)

    def end(self):
        """Waits for its end."""
        code = self.process.wait(LIMIT_S)
        self.log.close()
        return code


def expect_price(price):
    """Waits until the program says so."""
    end = time.monotonic() + LIMIT_S
    while True:
        with open("out", encoding="utf-8") as file:
            lines = file.read().split()
        if lines and lines[-1] == str(price):
            return
        if time.monotonic() > end:
            raise SystemExit(f"FAILED: the program says {lines}, not {price}")
        time.sleep(0.02)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def edit_and_see(started):
    """The whole session, twice left and come back to. `started` gets the program's process."""
    write("price.h", "int price(int count);\n")
    write("price.c", PRICE)
    write("main.c", MAIN)
    write("Makefile", MAKEFILE)
    live = Live("--program", "shop", "--run", "sh -c 'exec ./shop >out'", "--", *BUILD)
    started.append(int(re.search(r"shop runs as process (\d+)\.", live.expect("Ctrl-C leaves it running"))[1]))
    expect_price(2000)

    write("price.c", PRICE.replace("+= count", "+= cnt"))
    live.expect("instar-live: price.c\n", "'cnt' undeclared", "not built: the program goes on as it was")
    write("price.c", PRICE.replace("int sold", "int sold[2]").replace("sold +=", "sold[1] +="))
    live.expect("refused: price.o: variable sold", "refused: the program goes on as it was")
    write("price.c", PRICE.replace("100", "90"))
    live.expect("built in", "changed function price", "applied as live-1, ")
    expect_price(1800)
    # The next one goes on from there; one that was undone is none.
    write("price.c", PRICE.replace("100", "80"))
    live.expect("applied as live-2, ")
    expect_price(1600)
    subprocess.run(["instarctl", "-p", "shop", "undo"], check=True, stdout=subprocess.DEVNULL)
    expect_price(1800)
    write("price.c", PRICE.replace("100", "70"))
    live.expect("applied as live-2, ")
    expect_price(1400)
    write("price.c", PRICE.replace("100", "70 /* at last */"))
    live.expect("no function has changed")
    # Two files, one of them new, in one update.
    write("extra.h", "static inline int extra(void) { return 5; }\n")
    write("price.c", '#include "extra.h"\n' + PRICE.replace("100", "70 + extra()"))
    live.expect("applied as live-3, ")
    expect_price(1405)

    # What is edited while it is built is built, though the objects are newer.
    os.mkfifo("gate")
    write("price.c", PRICE.replace("100", "55"))
    with open("gate", "wb"):
        write("price.c", PRICE.replace("100", "65"))
        os.unlink("gate")
    live.expect("edited meanwhile", "instar-live: price.c\n", "applied as live-4, ")
    expect_price(1300)

    live.process.send_signal(signal.SIGINT)
    back = shlex.split(live.expect("To come back:\n", "instar-live --pid").splitlines()[-1])
    assert live.end() == 0 and is_running(started[0])
    # What was edited meanwhile is built at once.
    write("price.c", PRICE.replace("100", "60"))
    live = Live(*back[back.index("--pid"):])
    live.expect("with 4 updates", "applied as live-5, ")
    expect_price(1200)
    os.kill(started[0], signal.SIGKILL)
    live.expect("the program has ended")
    assert live.end() == 0
    assert os.listdir(os.environ["XDG_STATE_HOME"] + "/instar-live") == []


def other_build(started):
    """A program that runs is gone on with if what is built is what it runs."""
    with open("out", "wb") as out, subprocess.Popen(["./shop"], stdout=out, env=dict(
            os.environ, LD_PRELOAD="../prefix/lib/libinstar_agent.so")) as program:
        started.append(program.pid)
        expect_price(1200)
        write("price.c", PRICE.replace("100", "50"))
        subprocess.run(["make", "-s"], check=True)
        live = Live("--pid", str(program.pid), "--program", "shop", "--", "make", "-s")
        live.expect("runs another build than")
        assert live.end() == 1
        write("price.c", PRICE.replace("100", "60"))
        subprocess.run(["make", "-s"], check=True)
        live = Live("--pid", str(program.pid), "--program", "shop", "--", "make", "-s")
        live.expect("Ctrl-C leaves it running")
        write("price.c", PRICE.replace("100", "50"))
        live.expect("applied as live-1, ")
        expect_price(1000)
        program.kill()
        live.expect("the program has ended")
        assert live.end() == 0


def main():
    install = [os.path.abspath(sys.argv[1])] + [
        re.sub("^--input=", "--input=" + os.getcwd() + "/", argument) for argument in sys.argv[2:]]
    root = tempfile.mkdtemp(prefix="instar-live-")
    subprocess.run(install + ["--prefix", root + "/prefix"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # The names of its own functions, which nobody looks for here, take each manager a while.
    subprocess.run(["strip", "--strip-all", os.path.realpath(root + "/prefix/lib/libinstar.so")], check=True)
    os.environ.update(PATH=f"{root}/prefix/bin:{os.environ['PATH']}", LC_ALL="C", INSTAR_SOCKET_DIRECTORY=root + "/sockets",
                      XDG_STATE_HOME=root + "/state")
    os.mkdir(root + "/shop")
    os.chdir(root + "/shop")
    started = []
    try:
        for check in edit_and_see, other_build:
            check(started)
            print("ok", check.__name__, flush=True)
    except BaseException:
        if os.path.exists("live.log"):
            with open("live.log", encoding="utf-8") as file:
                print(file.read(), flush=True)
        raise
    finally:
        for pid in filter(is_running, started):
            os.kill(pid, signal.SIGKILL)
        os.chdir("/")
        shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())

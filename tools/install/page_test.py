#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Does what a page of the documentation says, and compares what is seen.

    page_test.py --page PAGE --section TITLE... [--several-users] --install INSTALL ARGS...

Of the sections named, in the order of the page:

    ```console       commands, each after "$ ", and their output
    ```c NAME        a file of that name (any language)

The commands run in one bash, whose home is a temporary folder. Times, sizes,
numbers of attempts and of processes are compared as such; a line "..." stands
for any lines, and lines that say how far an update has come are passed over.
//tools:install is done by INSTALL ARGS. Programs that were started from below
the home are ended.
"""

import argparse
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# For one command.
LIMIT_S = 900
INSTALL = "tools/bazelw run -c opt //tools:install -- "
DONE = "page_test: done"
ALIKE = [
    (r"\b\d+(\.\d+)? (ns|us|ms|s)\b", "TIME"),
    (r"\b\d+(\.\d+)? (bytes|KiB|MiB)\b", "SIZE"),
    (r"\b\d+ attempts?\b", "ATTEMPTS"),
    (r"\(\d+\)", "(PROCESS)"),
    (r"^( *\w+) +\d+ +\? +", r"\1 PROCESS ? "),  # of instarctl ps
]
# What is said on a busy machine alone: all that PhaseText() of instarctl says,
# and "is applied" before the same line of the result.
PASSED_OVER = r".* (waits for .*|is being prepared|is prepared|takes effect|is being taken back)"


def blocks_of(page, sections):
    """Yields (language, file or None, lines) of the code in these sections."""
    seen, block, opened = None, None, None
    found = set()
    for line in page.splitlines():
        if block is not None:
            if line == "```":
                yield opened + (block,)
                block = None
            else:
                block.append(line)
        elif line.startswith("## "):
            seen = line[3:] in sections
            found.add(line[3:])
        elif seen and line.startswith("```"):
            language, _, name = line[3:].partition(" ")
            opened, block = (language, name or None), []
    missing = set(sections) - found
    if missing:
        raise SystemExit(f"page_test: the page has no section {', '.join(sorted(missing))}")


def commands_of(lines):
    """Yields (command, output lines)."""
    command, output = None, []
    continued = False
    for line in lines:
        if continued:
            command += "\n" + line
        elif line.startswith("$ "):
            if command is not None:
                yield command, output
            command, output = line[2:], []
        elif command is None:
            raise SystemExit(f"page_test: output without a command: {line}")
        else:
            output.append(line)
            continue
        continued = line.endswith("\\")
    if command is not None:
        yield command, output


def alike(line):
    for pattern, word in ALIKE:
        line = re.sub(pattern, word, line)
    return line.rstrip()


def matches(expected, seen):
    """Whether the lines are those; "..." are any."""
    pattern = "".join(r"(.*\n)*" if line == "..." else re.escape(alike(line)) + r"\n" for line in expected)
    seen = [alike(line) for line in seen if not re.fullmatch(PASSED_OVER, line)]
    seen = [line for line, before in zip(seen, [None] + seen) if not (line == before and line.endswith(" is applied"))]
    return re.fullmatch(pattern, "".join(line + "\n" for line in seen)) is not None


class Shell:
    """One bash."""

    def __init__(self, home, environment):
        self.home = home
        self.process = subprocess.Popen(
            ["bash", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dict(environment, HOME=home), start_new_session=True)
        os.set_blocking(self.process.stdout.fileno(), False)

    def run(self, command):
        """Returns the lines that it writes, and its code."""
        self.process.stdin.write(f"{command}\necho \"{DONE} $?\"\n".encode())
        self.process.stdin.flush()
        end = time.monotonic() + LIMIT_S
        output = b""
        while True:
            done = re.search(DONE.encode() + rb" (\d+)\n", output)
            if done:
                break
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            chunk = self.process.stdout.read() if ready else b""
            if not chunk:
                raise SystemExit(f"page_test: no end of: {command}\n{output.decode(errors='replace')}")
            output += chunk
        text = output[:done.start()].decode(errors="replace").replace(self.home, "/home/you")
        return text.splitlines(), int(done[1])

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def end_programs(folder):
    """Ends what runs from below the folder."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if os.readlink(f"/proc/{entry}/exe").startswith(folder + "/"):
                os.kill(int(entry), signal.SIGKILL)
        except OSError:
            pass  # it has ended, or is another user's


def follow(page, sections, install, home, environment):
    """Returns how many commands were not as the page says."""
    shell = Shell(home, environment)
    wrong = 0
    try:
        for language, name, lines in blocks_of(page, sections):
            if name is not None:
                text = "\n".join(lines) + "\n"
                _, code = shell.run(f"cat >{name} <<'END OF FILE'\n{text}END OF FILE")
                assert code == 0, name
            if language != "console":
                continue
            for command, expected in commands_of(lines):
                said = command
                if command.startswith(INSTALL):
                    command = " ".join(install) + " " + command[len(INSTALL):]
                seen, code = shell.run(command)
                if matches(expected, seen):
                    print(f"$ {said}", flush=True)
                    continue
                wrong += 1
                print("\n".join([f"WRONG (code {code}): $ {said}", "--- the page:", *expected, "--- seen:", *seen, "---"]),
                      flush=True)
    finally:
        shell.close()
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--page", required=True)
    parser.add_argument("--section", action="append", required=True)
    parser.add_argument("--several-users", action="store_true", help="sockets are where each user has them by default")
    parser.add_argument("--install", nargs=argparse.REMAINDER, required=True)
    arguments = parser.parse_args()
    with open(arguments.page, encoding="utf-8") as file:
        page = file.read()
    home = tempfile.mkdtemp(prefix="instar-page-")
    # A server that becomes another user's finds what it needs.
    os.chmod(home, 0o755)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TMPDIR": tempfile.gettempdir()}
    if not arguments.several_users:
        environment["INSTAR_SOCKET_DIRECTORY"] = home + "/sockets"
    install = [os.path.abspath(arguments.install[0])] + [
        re.sub("^--input=", "--input=" + os.getcwd() + "/", argument) for argument in arguments.install[1:]]
    try:
        wrong = follow(page, arguments.section, install, home, environment)
    finally:
        end_programs(home)
        shutil.rmtree(home)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

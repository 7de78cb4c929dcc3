# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""A program that runs, what it was made of, and how it becomes what was built."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

from live_builds import Failed
from live_watch import folders_below, is_source

# Exit codes of instar-diff.
DONE, REFUSED, NOTHING = 0, 3, 4


def build_id(path):
    result = subprocess.run(["readelf", "--wide", "--notes", "--", path], capture_output=True, text=True, check=False)
    found = re.search(r"Build ID: ([0-9a-f]+)", result.stdout)
    if not found:
        raise Failed(f"{path} is no program with a build id: build it with instar-cc, or updatable_cc_binary")
    return found.group(1)


def started(pid):
    """When this process was started, in ticks; with its number it names no other one. None: there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def state_folder():
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "instar-live")


def forget_ended():
    """Removes what was kept for processes that are no more."""
    folder = state_folder()
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        pid, _, start = name.partition("-")
        if started(pid) != start:
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def copy(source, destination):
    os.makedirs(os.path.dirname(destination), exist_ok=True)
    shutil.copy2(source, destination)


class Uninterrupted:
    """Ctrl-C reaches what runs meanwhile at once, and this program at the end."""

    def __enter__(self):
        self.seen = False
        self.before = signal.signal(signal.SIGINT, lambda *_: setattr(self, "seen", True))

    def __exit__(self, *error):
        signal.signal(signal.SIGINT, self.before)
        if self.seen and error[0] is None:
            raise KeyboardInterrupt


class Session:
    """What is kept, in a folder of its own:

        program            as it was linked
        0, 1, 2, ...       what it was made of, and what each update brought
          NAME.so          the update that leads there; not in 0
          objects/         of that build; links, where they are those of the build before
          sources/0/ ...   its sources, for what differs in numbers of lines only
    """

    def __init__(self, build, pid, tools, options):
        self.build = build
        self.tools = tools
        self.options = options  # of instar-diff
        self.set_process(pid)

    def set_process(self, pid):
        self.pid = pid
        self.folder = os.path.join(state_folder(), f"{pid}-{started(pid)}")

    def path(self, *parts):
        return os.path.join(self.folder, *[str(part) for part in parts])

    # --- What is kept ---

    def begin(self):
        """Keeps what runs: the program has just been started, or has had no updates."""
        forget_ended()
        running = f"/proc/{self.pid}/exe"
        if build_id(running) != build_id(self.build.program):
            raise Failed(f"process {self.pid} runs another build than {self.build.program}, whose objects are not at hand: "
                         "start it anew")
        partial = self.folder + ".new"
        shutil.rmtree(partial, ignore_errors=True)
        copy(running, os.path.join(partial, "program"))
        self.keep(None, os.path.join(partial, "0"))
        shutil.rmtree(self.folder, ignore_errors=True)
        os.rename(partial, self.folder)

    def keep(self, before, folder):
        """Copies objects and sources there; what is the same as in the folder `before` is linked."""
        files = [(os.path.join(self.build.root, name), os.path.join("objects", name)) for name in self.build.objects()]
        for number, root in enumerate(self.build.sources):
            for at, names in folders_below(root):
                for name in filter(is_source, names):
                    path = os.path.join(at, name)
                    files.append((path, os.path.join("sources", str(number), os.path.relpath(path, root))))
        for path, name in files:
            old = before and os.path.join(before, name)
            new = os.path.join(folder, name)
            try:
                if old and os.path.exists(old):
                    was, now = os.stat(old), os.stat(path)
                    if (was.st_mtime_ns, was.st_size) == (now.st_mtime_ns, now.st_size):
                        os.makedirs(os.path.dirname(new), exist_ok=True)
                        os.link(old, new)
                        continue
                copy(path, new)
            except FileNotFoundError:
                if not name.startswith("sources/"):
                    raise

    def forget(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_known(self):
        return os.path.isdir(self.folder)

    def modules(self):
        """Those of the updates that are applied now: somebody may have undone some."""
        code, said = self.instarctl("status", "--json")
        if code != 0:
            raise Failed(said)
        applied = {one["update"] for one in json.loads(said)["applied"]}
        modules = []
        while True:
            number = len(modules) + 1
            name = f"live-{number}"
            if name not in applied or not os.path.exists(self.path(number, name + ".so")):
                return modules
            modules.append(self.path(number, name + ".so"))

    # --- How it goes on ---

    def instarctl(self, *arguments):
        result = subprocess.run([self.tools["instarctl"], "--pid", str(self.pid), *arguments], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, check=False)
        return result.returncode, result.stdout if result.returncode == 0 else result.stdout + result.stderr

    def load(self, module, say):
        """Says at once what it waits for; returns the code, and all that instarctl wrote."""
        lines = []
        with subprocess.Popen([self.tools["instarctl"], "--pid", str(self.pid), "load", module], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            for line in process.stdout:
                lines.append(line)
                if " waits for " in line:
                    say(line.rstrip())
        return process.returncode, "".join(line for line in lines if " waits for " not in line)

    def update(self, say, built):
        """Compares what was built with what runs, and applies it. `built`: when the build ended."""
        after = self.modules()
        number = len(after) + 1
        name = f"live-{number}"
        old, new = self.path(number - 1), self.path(number)
        shutil.rmtree(new, ignore_errors=True)
        os.makedirs(new)
        module = os.path.join(new, name + ".so")
        command = [self.tools["instar-diff"], "--program", self.path("program"), "--old", old + "/objects",
                   "--new", self.build.root, "-o", module, "--json", new + "/report.json", *self.options]
        for earlier in after:
            command += ["--after", earlier]
        for index, called in enumerate(self.build.sources.values()):
            command += ["--old-sources", f"{called}={old}/sources/{index}"]
        chosen = set(self.build.chosen())
        if chosen:
            kept = old + "/objects"
            for folder, _, files in os.walk(kept):
                chosen |= {os.path.relpath(os.path.join(folder, file), kept) for file in files}
        result = subprocess.run(command + ["--", *sorted(chosen)], cwd=self.build.folder, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, check=False)
        if result.returncode not in (DONE, REFUSED, NOTHING):
            say(result.stderr.rstrip())
            return
        with open(new + "/report.json", encoding="utf-8") as file:
            self.show(json.load(file), say)
        if result.returncode == REFUSED:
            say("refused: the program goes on as it was")
            return
        if result.returncode == NOTHING:
            say("no function has changed")
            return
        with Uninterrupted():
            code, said = self.load(module, say)
            if code == 0:
                say(f"applied as {name}, {time.monotonic() - built:.2f} s after the build")
                self.keep(old, new)
                return
        say(said.rstrip())
        say("not applied: the program goes on as it was")

    @staticmethod
    def show(report, say):
        for change in report["changes"]:
            say(f"{change['status']} {change['kind']} {change['name']}" + (f"  ({change['why']})" if "why" in change else ""))
        for finding in report["findings"]:
            where = finding["object"] + ": " if finding["object"] else ""
            say(f"{finding['severity']}: {where}{finding['message']}")

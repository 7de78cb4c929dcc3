# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Builds a package before and after a patch, and makes an update module of the two builds."""

import json
import os
import re
import shutil
import subprocess
import time

from sources import Failure, run

# What instar-diff's exit codes mean.
OUTCOMES = {0: "generated", 3: "refused", 4: "nothing"}


def mirror(source, target):
    """Makes `target` a copy of the folder `source`; copies only what has another time or size. Without .git."""
    os.makedirs(target, exist_ok=True)
    theirs = {entry.name: entry for entry in os.scandir(target)}
    for entry in os.scandir(source):
        if entry.name == ".git":
            continue
        there = theirs.pop(entry.name, None)
        path = os.path.join(target, entry.name)
        is_folder = entry.is_dir(follow_symlinks=False)
        if there and (there.is_dir(follow_symlinks=False) != is_folder or there.is_symlink() != entry.is_symlink()):
            remove(path)
            there = None
        if is_folder:
            mirror(entry.path, path)
        elif entry.is_symlink():
            if there:
                os.unlink(path)
            os.symlink(os.readlink(entry.path), path)
        elif entry.is_file():
            now, then = entry.stat(), there.stat() if there else None
            if then is None or (now.st_mtime_ns, now.st_size) != (then.st_mtime_ns, then.st_size):
                # A new file: the old one may be running.
                if there:
                    os.unlink(path)
                shutil.copy2(entry.path, path)
    for name in theirs:
        remove(os.path.join(target, name))


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


class Builder:
    """The build of a package, in one folder, and a copy of the build before."""

    def __init__(self, server, series, instar):
        self.server = server
        self.series = series
        self.instar = instar
        self.old = os.path.join(series.folder, "old")
        self.log = os.path.join(series.folder, "log")
        self.built = os.path.join(series.folder, "built")
        self.kept = None  # the last patch of what is in `old`, if that is known

    def current(self):
        """The last patch of what has been built; None: nothing."""
        if not os.path.exists(self.built):
            return None
        with open(self.built, encoding="utf-8") as file:
            return file.read()

    def build(self, patch, code=None):
        """Has the tree built with that patch and those before, and an author's code; returns how long that took."""
        began = time.monotonic()
        name = f"{patch} with {code}" if code else patch
        if self.current() == name and not code:
            return 0
        is_first = self.current() is None
        if not is_first:
            os.unlink(self.built)
            # What failed half-way is built from the beginning.
        self.series.check_out(patch, code)
        if is_first:
            self.server.configure(self.series.tree, self.instar, self.log)
        self.server.make(self.series.tree, self.instar, self.log)
        program = os.path.join(self.series.tree, self.server.program)
        if not os.path.exists(program):
            raise Failure(f"{program} was not built: see {self.log}")
        with open(self.built, "w", encoding="utf-8") as file:
            file.write(name)
        return time.monotonic() - began

    def keep(self, folder):
        """Copies what the old build needs to run."""
        shutil.rmtree(folder, ignore_errors=True)
        for name in [self.server.program, *self.server.runs_with]:
            source, target = os.path.join(self.old, name), os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            if os.path.isdir(source):
                mirror(source, target)
            else:
                shutil.copy2(source, target)

    def compare(self, patch, differ, folder, options=(), code=None):  # pylint: disable=too-many-arguments
        """Makes the module of a patch, in `folder`, beside what runs before it. Returns what is to be recorded."""
        before = self.series.before(patch)
        if self.kept != before:
            self.build(before)
            self.kept = None
            mirror(self.series.tree, self.old)
            self.kept = before
        build_s = self.build(patch, code)
        self.keep(folder)
        result = run_differ(self.server, differ, patch, folder, os.path.join(folder, self.server.program), self.old,
                            self.series.tree, self.series.tree, options)
        result["build_s"] = round(build_s, 1)
        if options:
            result["options"] = list(options)
        return result


def run_differ(server, differ, patch, folder, program, old, new, built_in, options):  # pylint: disable=too-many-arguments
    """Makes `folder`/fix.so of two builds, both made in `built_in`. Returns what is to be recorded."""
    report = os.path.join(folder, "report.json")
    name = re.sub(r"[^A-Za-z0-9._-]", "-", re.sub(r"\.(patch|diff)$", "", patch))[:64]
    command = [differ, "--program", program, "--old", os.path.join(old, server.objects), "--new",
               os.path.join(new, server.objects), "--old-sources", f"{built_in}={old}", "--json", report, "--name", name,
               *[f"--unchanged={source}" for source in server.unchanged], *options, "-o", os.path.join(folder, "fix.so")]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace") as process:
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    result = {
        "outcome": OUTCOMES.get(process.returncode, "failed"),
        "compare_s": round(time.monotonic() - began, 2),
        "compare_mb": round(usage.ru_maxrss / 1024),
    }
    if result["outcome"] == "failed":
        result["said"] = said.strip()[-2000:]
    else:
        result.update(summary(report, built_in))
    return result


def summary(path, built_in):
    """Of instar-diff's report, what is recorded: with the names of sources as they are in the tree that was built."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)
    functions = [change for change in report["changes"] if change["kind"] == "function"]
    result = {
        "objects": report["objects"],
        "changed_objects": report["objects"] - report["identical_objects"],
        "redirected": report["redirected_functions"],
        "changed": [change["name"] for change in functions if change["status"] == "changed"][:40],
        "changed_functions": sum(change["status"] == "changed" for change in functions),
        "new_functions": sum(change["status"] == "new" for change in functions),
        "new_variables": sum(change["kind"] == "variable" and change["status"] == "new" for change in report["changes"]),
        "moved": report["moved_functions"],
    }
    for severity, name in [("refused", "refusals"), ("warning", "warnings"), ("note", "notes")]:
        said = [((finding["object"] + ": " if finding["object"] else "") + finding["message"]).replace(built_in + os.sep, "")
                for finding in report["findings"] if finding["severity"] == severity]
        if said:
            result[name] = said[:20]
            if len(said) > 20:
                result[name].append(f"and {len(said) - 20} more")
    return result


def lines_of_code(path):
    """What a diff adds, but for empty lines and comments."""
    with open(path, encoding="utf-8") as file:
        added = [line[1:].strip() for line in file if line.startswith("+") and not line.startswith("+++")]
    return sum(bool(line) and not re.match(r"/\*|\*(/| |$)|//", line) for line in added)


def changed_lines(series, patch):
    """Of a patch: the files of its program's code, and how many lines it adds and removes there."""
    numbers = run(["git", "-C", series.tree, "diff", "--numstat", series.tag(series.before(patch)),
                   series.tag(patch)]).splitlines()
    files, added, removed = [], 0, 0
    for line in numbers:
        plus, minus, name = line.split("\t")
        if re.search(r"\.(c|cc|cpp|h|hpp|cci|def)$", name) and not re.search(r"(^|/)(tests?|t|reg-tests|test-suite)/", name):
            files.append(name)
            added += int(plus)
            removed += int(minus)
    return files, added, removed

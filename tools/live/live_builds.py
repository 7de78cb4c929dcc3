# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""How a program is built, and where its objects are."""

import os
import re
import subprocess


class Failed(Exception):
    """It cannot go on; the message says why and what to do."""


def run(command, folder):
    """Runs it to its end; returns its code and what it wrote."""
    try:
        result = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    except OSError as error:
        raise Failed(f"{command[0]} cannot be run: {error.strerror}") from error
    return result.returncode, result.stdout


class CommandBuild:
    """A program that a command builds: make, ninja, a script."""

    def __init__(self, command, program, folders, sources):
        self.command = command
        self.folder = os.getcwd()
        self.program = os.path.abspath(program)
        self.folders = [os.path.abspath(folder) for folder in folders or [os.path.dirname(self.program)]]
        # What the objects' names are relative to.
        self.root = os.path.commonpath(self.folders)
        # {folder: what debug information calls it}
        self.sources = {os.path.realpath(folder): os.path.realpath(folder) for folder in sources or [self.folder]}

    def build(self):
        return run(self.command, self.folder)

    def forget_since(self, began):
        """Sources were edited while it was built: what was compiled then may be of before, and make takes it for new."""
        for name in self.objects():
            path = os.path.join(self.root, name)
            if os.stat(path).st_mtime >= began:
                os.unlink(path)

    def objects(self):
        """Paths below self.root of all that may be the program's."""
        names = set()
        for top in self.folders:
            for folder, _, files in os.walk(top):
                names |= {os.path.relpath(os.path.join(folder, name), self.root) for name in files
                          if name.endswith((".o", ".a"))}
        return sorted(names)

    def chosen(self):
        """Those that are compared; none: instar-diff finds the program's."""
        return [] if self.folders == [self.root] else self.objects()


class BazelBuild:
    """An updatable_cc_binary."""

    def __init__(self, bazel, target, options, workspace):
        self.bazel = bazel
        self.target = target
        self.options = options
        self.folder = workspace
        code, said = self.ask("info", *options, "bazel-bin")
        if code != 0:
            raise Failed(said)
        self.root = said.strip()
        package, _, name = re.sub("^@?//", "", target).partition(":")
        self.program = os.path.join(self.root, package, name or os.path.basename(package))
        # Compilers run in a folder that debug information calls so.
        self.sources = {os.path.realpath(workspace): "/proc/self/cwd"}

    def ask(self, command, *arguments):
        result = subprocess.run([self.bazel, command, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, check=False)
        return result.returncode, result.stdout if result.returncode == 0 else result.stderr

    def build(self):
        return run([self.bazel, "build", "--noshow_progress", "--color=no", *self.options, self.target], self.folder)

    def forget_since(self, began):
        """Nothing: Bazel looks at what is in the sources."""

    def objects(self):
        """What the linker was given: objects, and those in archives, which lie where Bazel compiles them."""
        parameters = self.program + "_linked-2.params"
        try:
            with open(parameters, encoding="utf-8") as file:
                arguments = file.read().splitlines()
        except OSError as error:
            raise Failed(f"{self.target} is no updatable_cc_binary: {error.filename} is missing") from error
        bin_folder = os.path.join("bazel-out", self.root.split("/bazel-out/")[1], "")
        names = set()
        for argument in arguments:
            if not argument.startswith(bin_folder):
                continue
            name = argument[len(bin_folder):]
            if name.endswith(".o"):
                names.add(name)
            elif name.endswith((".a", ".lo")):
                names |= set(self.in_archive(name))
        return sorted(names)

    def chosen(self):
        return self.objects()

    def in_archive(self, name):
        folder, archive = os.path.split(name)
        library = re.sub(r"^lib|(\.pic)?\.(a|lo)$", "", archive)
        code, listed = run(["ar", "t", os.path.join(self.root, name)], self.folder)
        if code != 0:
            raise Failed(f"{name} cannot be read: {listed}")
        compiled = {}
        for at, _, files in os.walk(os.path.join(self.root, folder, "_objs", library)):
            for file in files:
                compiled.setdefault(file, []).append(os.path.relpath(os.path.join(at, file), self.root))
        for member in listed.splitlines():
            found = compiled.get(member, [])
            if len(found) == 1:
                yield found[0]
            elif found:
                raise Failed(f"{name} has several objects of the name {member}: {', '.join(found)}. Put their sources into "
                             "libraries of their own")

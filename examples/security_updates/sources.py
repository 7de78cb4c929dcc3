# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Sources of a Debian package as a git tree, one commit for each of the package's patches."""

import os
import re
import shutil
import subprocess
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))
UPSTREAM = "upstream"  # the commit before the first patch


class Failure(Exception):
    """Something outside has not worked: the text says what."""


def run(command, log=None, **options):
    """Runs it, and returns what it prints. Appends that to the file `log`, too."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                            stdin=subprocess.DEVNULL, check=False, **options)
    if log:
        with open(log, "a", encoding="utf-8") as file:
            file.write("$ " + " ".join(command) + "\n" + result.stdout)
    if result.returncode != 0:
        raise Failure(f"{' '.join(command)} failed with {result.returncode}:\n{result.stdout[-4000:]}")
    return result.stdout


def git(tree, *arguments):
    return run(["git", "-C", tree, "-c", "user.name=Instar", "-c", "user.email=instar@localhost", "-c", "core.autocrlf=false",
                "-c", "advice.detachedHead=false", "-c", "gc.auto=0"] + list(arguments))


def fetch(package, folder):
    """The path of the package's .dsc: of its latest version, or of the one before, if a mirror no longer has that."""
    debian_source = os.path.join(ROOT, "tools", "debian_source")
    tried = []
    for name in [package, package + "/bookworm"]:
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            try:
                run([debian_source, name], cwd=temporary)
            except Failure as failure:
                tried.append(str(failure))
                continue
            files = [entry for entry in os.listdir(temporary) if os.path.isfile(os.path.join(temporary, entry))]
            for entry in files:
                os.replace(os.path.join(temporary, entry), os.path.join(folder, entry))
            return os.path.join(folder, next(entry for entry in files if entry.endswith(".dsc")))
    raise Failure("\n".join(tried))


def in_order(patches, moved):
    """Those lines of a series, with some of them in other places."""
    for name, other in moved:
        line = next(line for line in patches if line.split()[0] == name)
        patches.remove(line)
        patches.insert(1 + next(i for i, one in enumerate(patches) if one.split()[0] == other), line)
    return patches


class Series:
    """The git tree of a package, and its patches by name. Each has a tag. `moved`: (patch, the one that it comes after)."""

    def __init__(self, package, work, moved=()):
        self.package = package
        self.moved = moved
        self.folder = os.path.join(work, package)
        self.tree = os.path.join(self.folder, "tree")
        os.makedirs(self.folder, exist_ok=True)
        if not os.path.exists(os.path.join(self.folder, "version")):
            self._make()
        with open(os.path.join(self.folder, "version"), encoding="utf-8") as file:
            self.version = file.read().strip()
        with open(os.path.join(self.folder, "series"), encoding="utf-8") as file:
            self.patches = file.read().split()
        self.joined = {}

    def _make(self):
        shutil.rmtree(self.tree, ignore_errors=True)
        dsc = fetch(self.package, self.folder)
        run(["dpkg-source", "--skip-patches", "--no-check", "-x", dsc, self.tree])
        with open(os.path.join(self.tree, "debian", "patches", "series"), encoding="utf-8") as file:
            lines = [line.split("#")[0].strip() for line in file]
        patches = in_order([line for line in lines if line], self.moved)
        git(self.tree, "init", "--quiet")
        self._commit(UPSTREAM)
        for patch in patches:
            name, *options = patch.split()
            run(["patch", *(options or ["-p1"]), "--no-backup-if-mismatch", "--batch", "--directory", self.tree, "--input",
                 os.path.join(self.tree, "debian", "patches", name)])
            self._commit(name)
        with open(os.path.join(self.folder, "series"), "w", encoding="utf-8") as file:
            file.write("".join(patch.split()[0] + "\n" for patch in patches))
        version = re.search(r"_(.*)\.dsc$", os.path.basename(dsc))[1]
        # The last thing that is written: without it all is made anew.
        with open(os.path.join(self.folder, "version"), "w", encoding="utf-8") as file:
            file.write(version + "\n")

    def _commit(self, name):
        git(self.tree, "add", "--all", "--force")
        git(self.tree, "commit", "--quiet", "--allow-empty", "--message", name)
        git(self.tree, "tag", "--force", self.tag(name))

    @staticmethod
    def tag(name):
        return "patch/" + re.sub(r"[^A-Za-z0-9._-]", "_", name)

    def join(self, together):
        """Of patches that only build together, the last one stands for all: {first: last}."""
        for first, last in together:
            self.joined[last] = self.patches[self.patches.index(first):self.patches.index(last)]

    def before(self, patch):
        """The patch that comes before it, and those joined with it."""
        index = self.patches.index(self.joined.get(patch, [patch])[0])
        return self.patches[index - 1] if index > 0 else UPSTREAM

    def files(self, patch):
        """What it changes."""
        return git(self.tree, "diff", "--name-only", self.tag(self.before(patch)), self.tag(patch)).splitlines()

    def check_out(self, patch, code=None):
        """Has the tree as it is with this patch and those before, and that diff; what a build has made stays."""
        git(self.tree, "checkout", "--quiet", "--force", self.tag(patch))
        if code:
            git(self.tree, "apply", "--index", code)
            git(self.tree, "commit", "--quiet", "--message", code)

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""What every server's description has."""

import os
import re
import shutil
import signal
import socket
import subprocess

from sources import Failure, run


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """One package: derive, and say what differs."""

    name = None       # of the description
    package = None    # of the Debian source package, if that has another name
    language = "C"
    program = None    # path in the tree, after the build
    # The first of the package's patches that is a security update; those before are in every build.
    first = None
    # Patches behind it that are none, or change no code: pattern -> why they are passed over.
    skipped = {}
    # Patches by the fix that they are a part of, where the file's name does not say it.
    fixes = {}
    # Patches of which the first does not build without those up to the last: (first, last).
    together = ()
    # Patches that are applied in another place than in the package: (patch, the one that it comes after), one after the other.
    moved = ()
    # What compiles and links it: headers and programs, with their Debian packages.
    headers = {}
    tools = {"gcc": "gcc", "make": "make", "dpkg-buildflags": "dpkg-dev", "git": "git"}
    # What --old and --new are, in the tree. Which objects there are the program's, instar-diff finds out.
    objects = "."
    # Sources of which the build keeps no object, and which do not change.
    unchanged = ()
    # What of the build is needed to run the server, besides the program.
    runs_with = ()
    # Options of instar-diff that an author gives, with the code or without any, and the reason: {patch: [(option, reason)]}.
    options = {}
    # Several processes have the program: instarctl --all.
    processes = 1
    # Processes other than the first cannot be reached, and come and go.
    is_forking = False
    # Seconds of each phase under load.
    phases = {"before": 3, "applied": 10, "undone": 3, "applied again": 4}

    def __init__(self):
        self.package = self.package or self.name

    def missing_packages(self):
        missing = [package for tool, package in self.tools.items() if shutil.which(tool) is None]
        for header, package in self.headers.items():
            # Whether it is there, and not whether it compiles alone.
            asked = subprocess.run(["gcc", "-E", "-x", "c", "-"], input=f"#if !__has_include(<{header}>)\n#error\n#endif\n".encode(),
                                   capture_output=True, check=False)
            if asked.returncode != 0:
                missing.append(package)
        return sorted(set(missing))

    def fix_of(self, patch):
        """Patches of one name here are one fix."""
        if patch in self.fixes:
            return self.fixes[patch]
        found = re.search(r"CVE-\d+-\d+", patch)
        return found[0] if found else re.sub(r"\.(patch|diff)$", "", patch)

    def why_skipped(self, patch):
        return next((why for pattern, why in self.skipped.items() if re.search(pattern, patch)), None)

    # Paths stay as they are: they would depend on the folder that this is run in. Some packages' builds ask dpkg-buildflags, too.
    build_options = {"DEB_BUILD_MAINT_OPTIONS": "hardening=+all reproducible=-fixfilepath,-fixdebugpath"}

    @classmethod
    def flags(cls):
        """What dpkg-buildpackage has the package built with."""
        environment = dict(os.environ, **cls.build_options)
        return dict(line.split("=", 1) for line in run(["dpkg-buildflags", "--dump"], env=environment).splitlines())

    def environment(self, instar):
        flags = self.flags()
        return dict(os.environ, CC=instar + "/bin/instar-cc", CXX=instar + "/bin/instar-c++", LC_ALL="C",
                    CPATH=instar + "/include",  # an author's code includes instar_hooks.h
                    **self.build_options, **{name: flags[name] for name in ["CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS"]})

    def configure(self, tree, instar, log):
        """Before the first build."""

    def make(self, tree, instar, log):
        """Builds it, or what has changed since the last build. One job: others may use the machine."""
        raise NotImplementedError

    def start(self, folder, work, port):
        """The command that starts it in the foreground. `folder` is laid out as the tree; `work` is empty and its own."""
        raise NotImplementedError

    def load(self, tree, work, port):
        """The command of the package's own client, which sends requests until it is ended; None: there is none."""
        return None

    # What ends it, and what of its output says that something went wrong: none, or an empty string, if all was well.
    load_signal = signal.SIGTERM
    load_errors = staticmethod(lambda said: "")

    def answers(self, port):
        """Whether it has started: it takes connections."""
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    def checker(self, port):
        """An object of class checker.Checker."""
        raise NotImplementedError

    def effects(self):
        """{patch: function(port) -> bool}, whether the fault that the patch mends is seen; harmless to the server."""
        return {}


def only(path, what):
    if not os.path.exists(path):
        raise Failure(f"{path} is not there: {what}")
    return path

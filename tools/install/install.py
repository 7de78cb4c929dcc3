#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Installs Instar for programs that Bazel does not build, or makes a Debian package of it.

    tools/bazelw run -c opt //tools:install -- --prefix ~/instar
    tools/bazelw run -c opt //tools:deb -- --output ~/instar.deb
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

SCRIPTS = ["instar-cc", "instar-finish", "instar-live", "instar-module"]
PROGRAMS = ["instar-diff", "instar-release", "instarctl"]
BUILD_TOOLS = ["entry_list.lds", "finish_update_module.py", "flags.sh", "function_entries.py", "inlining.h", "live_builds.py",
               "live_session.py", "live_watch.py", "update_module_note.py"]


class Layout:
    """Where things lie below a prefix."""

    def __init__(self, root, prefix, libdir):
        self.root = root      # what is written
        self.prefix = prefix  # what it will be called
        self.libdir = libdir

    def path(self, *parts):
        result = os.path.join(self.root, *parts)
        os.makedirs(os.path.dirname(result), exist_ok=True)
        return result


def put(source, destination, mode):
    """Copies a file, which may be in use there."""
    temporary = destination + ".new"
    shutil.copyfile(source, temporary)
    os.chmod(temporary, mode)
    os.replace(temporary, destination)


def link(target, destination):
    """Makes a symbolic link, in place of what was there."""
    temporary = destination + ".new"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, destination)


def write(text, destination, mode=0o644):
    with open(destination + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(destination + ".new", mode)
    os.replace(destination + ".new", destination)


def arrays(path):
    """The arrays of flags.sh."""
    with open(path, encoding="utf-8") as file:
        return {name: re.findall(r"'([^']*)'", values)
                for name, values in re.findall(r"^(\w+)=\((.*)\)$", file.read(), re.MULTILINE)}


def commit_of(tree):
    """The last commit of the tree that is installed from; None: that is not known, or there are changes behind it."""
    if not tree or not shutil.which("git"):
        return None
    asked = [subprocess.run(["git", "-C", tree, *command], capture_output=True, text=True, check=False)
             for command in [["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]]]
    if any(one.returncode != 0 for one in asked) or asked[1].stdout:
        return None
    return asked[0].stdout.strip()


def fill(template, layout, inputs):
    """The template with what stands for @NAME@."""
    flags = arrays(inputs.files["flags.sh"])
    in_search_path = layout.prefix in ("/usr", "/usr/local")
    libdir = os.path.join(layout.prefix, layout.libdir)
    values = {
        "PREFIX": layout.prefix,
        "LIBDIR": layout.libdir,
        "VERSION": inputs.version,
        "LIBRARY": inputs.soname,
        "RPATH": "" if in_search_path else f"-Wl,-rpath,{libdir} ",
        "COMPILE": " ".join(flags["compile"]),
        "LINK": " ".join(flags["link"]),
        "UP": "/".join([".."] * (2 + len(layout.libdir.split("/")))),
    }
    with open(inputs.files[template], encoding="utf-8") as file:
        return re.sub("@([A-Z]+)@", lambda match: values[match[1]], file.read())


def install(layout, inputs):
    """Writes everything below layout.root."""
    files = inputs.files
    for command in SCRIPTS + PROGRAMS:
        put(files[command], layout.path("bin", command), 0o755)
    link("instar-cc", layout.path("bin", "instar-c++"))
    put(files["libinstar.so"], layout.path(layout.libdir, inputs.soname), 0o755)
    link(inputs.soname, layout.path(layout.libdir, "libinstar.so"))
    put(files["libinstar_agent.so"], layout.path(layout.libdir, "libinstar_agent.so"), 0o755)
    for tool in BUILD_TOOLS:
        put(files[tool], layout.path("lib", "instar", tool), 0o644)
    write(layout.libdir + "\n", layout.path("lib", "instar", "libdir"))
    commit = commit_of(inputs.tree)
    if commit:
        write(commit + "\n", layout.path("lib", "instar", "commit"))
    elif os.path.exists(layout.path("lib", "instar", "commit")):
        os.unlink(layout.path("lib", "instar", "commit"))
    for name in ["instar.pc", "instar-agent.pc", "instar-c.pc"]:
        write(fill(name + ".in", layout, inputs), layout.path(layout.libdir, "pkgconfig", name))
    write(fill("InstarConfig.cmake.in", layout, inputs),
          layout.path(layout.libdir, "cmake", "Instar", "InstarConfig.cmake"))
    write(VERSION_FILE.format(version=inputs.version),
          layout.path(layout.libdir, "cmake", "Instar", "InstarConfigVersion.cmake"))
    # Headers of another version would be found beside ours.
    shutil.rmtree(layout.path("include", "instar"), ignore_errors=True)
    with tarfile.open(files["headers.tar"]) as archive:
        # Where Python can: what is no plain file is refused.
        archive.extractall(layout.path("include", ""),
                           **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    for name in files:
        if name.endswith(".bash"):
            put(files[name], layout.path("share", "bash-completion", "completions", name[:-len(".bash")]), 0o644)
        elif name.endswith(".1"):
            put(files[name], layout.path("share", "man", "man1", name), 0o644)


# Before 1.0 any minor version may change the interface.
VERSION_FILE = """set(PACKAGE_VERSION {version})
string(REGEX MATCH "^[0-9]+\\\\.[0-9]+" _instar_minor "${{PACKAGE_VERSION}}")
if(PACKAGE_FIND_VERSION MATCHES "^${{_instar_minor}}(\\\\.|$)" AND NOT PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  if(PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
  endif()
endif()
"""


def packages_of(binaries):
    """The Debian packages of the shared libraries that these name."""
    libraries = set()
    for binary in binaries:
        listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
        if "not found" in listed:
            raise SystemExit(f"instar: {binary} needs a library that is not there:\n{listed}")
        named = subprocess.run(["readelf", "--dynamic", "--wide", binary], capture_output=True, text=True, check=True).stdout
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", named):
            # Those that these need in turn are in the dependencies of their packages.
            libraries |= set(re.findall(rf"^\s*{re.escape(name)} => (/\S+)", listed, re.MULTILINE))
    packages = {}
    for library in sorted(libraries):
        # /lib is a link to /usr/lib, and dpkg knows a file by one of the two.
        for path in [library, os.path.realpath(library), re.sub("^/usr", "", os.path.realpath(library))]:
            found = subprocess.run(["dpkg-query", "--search", path], capture_output=True, text=True, check=False)
            if found.returncode == 0:
                package = found.stdout.split(":")[0]
                break
        else:
            continue  # our own
        version = subprocess.run(["dpkg-query", "--show", "--showformat=${Version}", package],
                                 capture_output=True, text=True, check=True).stdout
        # What comes behind the upstream version changes with each security update.
        packages[package] = re.sub(r"-[^-]*$", "", version)
    return [f"{package} (>= {version})" for package, version in sorted(packages.items())]


def make_package(output, inputs):
    """Writes a Debian package."""
    def ask(*command):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    architecture = ask("dpkg", "--print-architecture")
    with tempfile.TemporaryDirectory(prefix="instar-deb-") as root:
        os.chmod(root, 0o755)
        layout = Layout(os.path.join(root, "usr"), "/usr",
                        "lib/" + ask("gcc", "-print-multiarch"))
        install(layout, inputs)
        needs = packages_of([layout.path(layout.libdir, inputs.soname)] + [layout.path("bin", name) for name in PROGRAMS])
        size = int(ask("du", "-sk", root).split()[0])
        write(f"""Package: instar
Version: {inputs.version}
Architecture: {architecture}
Maintainer: The Instar Authors
Installed-Size: {size}
Depends: {", ".join(needs)}, python3
Recommends: g++, libabsl-dev, pkg-config
Section: devel
Priority: optional
Description: updates a running C or C++ program
 A library, an agent for programs that know nothing of it, and the tools that
 build programs which take their next version without stopping.
""", layout.path("..", "DEBIAN", "control"))
        write("activate-noawait ldconfig\n", layout.path("..", "DEBIAN", "triggers"))
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, output], check=True,
                       stdout=subprocess.DEVNULL)
    print(f"wrote {output}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--input", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--version-of", dest="version", help=argparse.SUPPRESS)
    parser.add_argument("--soname", help=argparse.SUPPRESS)
    parser.add_argument("--deb", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--unoptimized", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--prefix", help="the folder that gets bin/, lib/, include/ and share/")
    parser.add_argument("--output", help="the Debian package to write")
    inputs = parser.parse_args()
    inputs.files = {os.path.basename(path): path for path in inputs.input}
    inputs.tree = os.environ.get("BUILD_WORKSPACE_DIRECTORY")  # bazel run says it
    if inputs.unoptimized:
        print("instar: not optimized; `tools/bazelw run -c opt` makes the fast one", file=sys.stderr)
    # bazel run changes the folder.
    here = os.environ.get("BUILD_WORKING_DIRECTORY", os.getcwd())
    wanted = inputs.output if inputs.deb else inputs.prefix
    if not wanted:
        parser.error("--output FILE.deb is missing" if inputs.deb else "--prefix DIR is missing")
    wanted = os.path.normpath(os.path.join(here, os.path.expanduser(wanted)))
    try:
        if inputs.deb:
            make_package(wanted, inputs)
        else:
            layout = Layout(wanted, wanted, "lib")
            install(layout, inputs)
            print(f"installed in {wanted}")
    except OSError as error:
        print(f"instar: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks a shared object that is to be an update module, and gives it its name.

Refused, with the symbols named, is a module that
  * defines what the program's libraries define: a second copy of the program's
    code, whose static initializers would run again on the program's variables,
  * has STB_GNU_UNIQUE symbols: they are shared between versions of a module,
    and keep it from being unloaded,
  * uses what neither the program, nor its shared libraries, nor a required
    module has: it could not be loaded. This is checked if the executable is
    given, with whatever else is linked into it.

The DT_SONAME that the module was linked with has sixteen zeros in it. They are
replaced by a hash of the contents.

The entries of its functions are made whole (function_entries.py).
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True  # not into the source tree

# pylint: disable=wrong-import-position
from function_entries import make_entries_whole

PLACEHOLDER = "0" * 16
MAX_LISTED = 8
# What nm calls strong definitions: code, data, zeroed data, read-only data,
# common, absolute.
STRONG = set("TDBRCAGS")


class Refused(Exception):
    """The module cannot be used; the message says why and what to do."""


def defined_symbols(path, dynamic):
    """Yields (symbol, type letter of nm) of what this file defines."""
    command = ["nm", "--defined-only", "--format=posix"]
    if dynamic:
        command.append("--dynamic")
    result = subprocess.run(
        command + ["--", path], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Refused(f"{path} cannot be read: {result.stderr.strip()}")
    for line in result.stdout.splitlines():
        fields = line.split()
        if len(fields) >= 2 and len(fields[1]) == 1:
            yield fields[0].split("@")[0], fields[1]


def archive_index(path):
    """The global symbols that an archive's index names; None: it has none, or is no archive."""
    with open(path, "rb") as file:
        if file.read(8) != b"!<arch>\n":
            return None
        header = file.read(60)
        if header[:16].rstrip() != b"/":
            return None
        index = file.read(int(header[48:58]))
    count = int.from_bytes(index[:4], "big")
    return {name.decode() for name in index[4 + 4 * count:].split(b"\0")}


def undefined_symbols(path):
    """Yields the symbols that this shared object needs from others."""
    result = subprocess.run(
        ["nm", "--undefined-only", "--format=posix", "--dynamic", "--", path],
        capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise Refused(f"{path} cannot be read: {result.stderr.strip()}")
    for line in result.stdout.splitlines():
        fields = line.split()
        # Not the weak ones: they may be missing. Those with a version were found
        # in a library when the module was linked.
        if len(fields) >= 2 and fields[1] == "U" and "@" not in fields[0]:
            yield fields[0]


def machine(path):
    """The number of the processor that an ELF file is for."""
    with open(path, "rb") as file:
        return file.read(20)[18:20]


def libraries_in(sysroot, path):
    """The same as shared_libraries() of a file for another processor, whose libraries lie in this folder."""
    found, wanted = set(), [path]
    folders = [os.path.join(sysroot, folder, name) for folder in ("lib", "usr/lib")
               for name in ("", "aarch64-linux-gnu")]
    while wanted:
        dynamic = subprocess.run(["readelf", "--wide", "--dynamic", "--", wanted.pop()],
                                 capture_output=True, text=True, check=False).stdout
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
            for folder in folders:
                library = os.path.join(folder, name)
                if library not in found and os.path.exists(library):
                    found.add(library)
                    wanted.append(library)
    return found


def shared_libraries(path):
    """The shared libraries that are loaded with this file, as far as they are found."""
    sysroot = os.environ.get("INSTAR_ARM64_SYSROOT")  # --config=arm64
    if sysroot and machine(path) != machine(sys.executable):
        return libraries_in(sysroot, path)
    result = subprocess.run(["ldd", path], capture_output=True, text=True, check=False,
                            env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "")})
    if result.returncode != 0:
        return set()  # a static program has none
    return set(re.findall(r"(/\S+) \(0x", result.stdout))


def check_resolves(module, executable, required):
    """Raises Refused if `module` needs what is not there when it is loaded."""
    needed = set(undefined_symbols(module))
    files = [executable] + required
    libraries = shared_libraries(executable) | shared_libraries(module)
    for file in files + sorted(libraries):
        if not needed:
            return
        needed -= {name for name, kind in defined_symbols(file, dynamic=True)}
    if needed:
        ours = any(re.match(r"_ZNK?6instar", name) for name in needed)
        raise Refused(
            f"the program {os.path.basename(executable)} does not have what it uses:\n" +
            readable(needed) +
            "\n  Put the library that defines it into the program's deps, as an "
            "updatable_cc_library or\n  with alwayslink = 1, or its source file into the "
            "module's srcs. A program that Bazel does not build is linked by instar-cc or "
            "instar-c++,\n  or with -rdynamic." +
            ("\n  What is of Instar itself comes whole with //manager:module_api, which //manager "
             "depends on:\n  put one of them into the program's deps." if ours else ""))


def readable(symbols):
    """The demangled names, the first few of them, one a line."""
    names = sorted(symbols)
    listed = names[:MAX_LISTED]
    result = subprocess.run(
        ["c++filt"], input="\n".join(listed), capture_output=True, text=True,
        check=True)
    text = "\n".join("    " + line for line in result.stdout.splitlines())
    if len(names) > len(listed):
        text += f"\n    and {len(names) - len(listed)} more"
    return text


def check(module, program):
    """Raises Refused if `module` must not be loaded into `program`."""
    symbols = dict(defined_symbols(module, dynamic=True))
    unique = [name for name, kind in symbols.items() if kind == "u"]
    if unique:
        raise Refused(
            "it has symbols that are unique in the whole process (STB_GNU_UNIQUE), so "
            "that its next version would share them:\n" + readable(unique) +
            "\n  Compile all of its code with -fno-gnu-unique, as update_module does "
            "for its srcs.")
    strong = {name for name, kind in symbols.items() if kind in STRONG}
    for library in program:
        # There are hundreds of archives, and nearly all have nothing of it.
        index = archive_index(library)
        if index is not None and not strong & index:
            continue
        copies = strong & {
            name for name, kind in defined_symbols(library, dynamic=False)
            if kind in STRONG
        }
        if copies:
            raise Refused(
                f"it brings a second copy of code that the program has in {library}:\n" +
                readable(copies) +
                "\n  Take the source file out of srcs (the header comes with deps), or, if "
                "this is the next version of a function, give it another name.")


def finish(module, soname, output):
    """Writes the module under the name that its contents give it."""
    with open(module, "rb") as file:
        elf = bytearray(file.read())
    make_entries_whole(elf)
    contents = bytes(elf)
    placeholder = soname.encode() + b"\0"
    if contents.count(placeholder) != 1:
        raise Refused(f"its DT_SONAME is not {soname} once: was -soname given in linkopts?")
    digest = hashlib.sha256(contents).hexdigest()[:len(PLACEHOLDER)]
    name = soname.replace(PLACEHOLDER, digest).encode() + b"\0"
    with open(output, "wb") as file:
        file.write(contents.replace(placeholder, name))
    os.chmod(output, 0o755)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", required=True, help="the shared object as linked")
    parser.add_argument("--label", required=True, help="what messages call it")
    parser.add_argument("--soname", required=True, help="with sixteen zeros in it")
    parser.add_argument("--output", required=True)
    parser.add_argument("--program", nargs="*", default=[],
                        help="archives and objects that the program is made of")
    parser.add_argument("--executable", help="the program as linked")
    parser.add_argument("--requires", nargs="*", default=[], help="required modules")
    arguments = parser.parse_args()
    try:
        check(arguments.module, arguments.program)
        if arguments.executable:
            check_resolves(arguments.module, arguments.executable, arguments.requires)
        finish(arguments.module, arguments.soname, arguments.output)
    except Refused as refused:
        print(f"\n{arguments.label} cannot be an update module: {refused}\n",
              file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Runs a program for arm64 under a Linux kernel of its own, in qemu-system-aarch64, and ends as the program ends.

  boot.py --kernel VMLINUZ --busybox BUSYBOX --sysroot FOLDER PROGRAM [ARGUMENTS...]

The system has two processors and two gigabytes, and no disk: all that is there is an image in memory, with the program,
its runfiles, the libraries of FOLDER that these need, and busybox, a static one for arm64. The program finds its files
where they are here, and has the environment, the working directory and TEST_TMPDIR (empty) as here, no standard input,
and one console for both outputs. What it writes into files is lost with the system.

The exit code is that of the program; 128 + the signal that ended it; or 125 if there is none, as the system could not be
started or has ended before the program. `bazel test --run_under` is what it is written for (tools/test_on arm64 --kernel).
"""

import argparse
import os
import re
import shlex
import stat
import subprocess
import sys
import tempfile

ARM64 = 183
NO_VERDICT = 125

# Variables that name what is not there: files of this machine that a test would write, and libraries for this processor.
_NOT_PASSED = re.compile(
    r"XML_OUTPUT_FILE|TEST_(PREMATURE_EXIT_FILE|WARNINGS_OUTPUT_FILE|\w*_DIR|\w*LOG\w*)|LD_\w*|QEMU_\w*|_|PWD|SHLVL")

_LIBRARY_FOLDERS = ("lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu")

_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
unset TERM  # busybox says linux
mkdir -p /proc /sys /dev /tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs shm /dev/shm
mount -t devpts pts /dev/pts
ip link set lo up
# Output as it is written, with no carriage returns.
stty -F /dev/console -opost
(
{environment}
  cd {folder} && exec {command} </dev/null
)
printf '\\n{verdict} %d\\n' $?
poweroff -f
"""


class Image:
    """A cpio archive, as the kernel unpacks it into its first file system."""

    def __init__(self, out):
        self._out = out
        self._names = set()

    def _entry(self, name, mode, content):
        self._names.add(name)
        encoded = name.encode() + b"\0"
        fields = (len(self._names), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        self._out.write(header + bytes(-len(header) % 4) + content + bytes(-len(content) % 4))

    def folder(self, path):
        """An absolute path, and all above it."""
        name = path.strip("/")
        if name and name not in self._names:
            self.folder(os.path.dirname(name))
            self._entry(name, stat.S_IFDIR | 0o755, b"")

    def file(self, path, content, mode=0o755):
        if path.strip("/") not in self._names:
            self.folder(os.path.dirname(path))
            self._entry(path.strip("/"), stat.S_IFREG | mode, content)

    def copy(self, source, path):
        with open(source, "rb") as opened:
            self.file(path, opened.read(), stat.S_IMODE(os.stat(source).st_mode))

    def end(self):
        self._entry("TRAILER!!!", 0, b"")


def machine(path):
    """Of a program or library, what its header says (elf.h: EM_AARCH64 is 183); None if it is something else."""
    with open(path, "rb") as opened:
        header = opened.read(20)
    return int.from_bytes(header[18:20], "little") if header[:4] == b"\x7fELF" else None


def needed_libraries(path):
    """What a file for arm64 asks for: names of libraries, and the path of its loader; none if it is something else."""
    if machine(path) != ARM64:
        return []
    command = ["readelf", "--dynamic", "--program-headers", path]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.findall(r"\(NEEDED\).*\[(.*)\]", listed) + re.findall(r"program interpreter: (.*)\]", listed)


def add_libraries(image, sysroot, paths):
    """Those that the files ask for, with what these ask for in turn. What the sysroot does not have may be a runfile: the
    loader says what is missing."""
    done = set()
    paths = list(paths)
    while paths:
        for name in needed_libraries(paths.pop()):
            if name in done:
                continue
            done.add(name)
            for path in [name] if name.startswith("/") else [f"/{folder}/{name}" for folder in _LIBRARY_FOLDERS]:
                found = sysroot + path
                if os.path.exists(found):
                    image.copy(found, path)
                    paths.append(found)
                    break


def runfiles(program):
    """The files that the program may want, itself included, as absolute paths."""
    found = [program]
    root = os.environ.get("TEST_SRCDIR") or program + ".runfiles"
    for folder, _, names in os.walk(root, followlinks=True):
        found += [os.path.join(folder, name) for name in names]
    return [path for path in found if os.path.isfile(path)]


def make_image(out, program, arguments, busybox, sysroot, verdict):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name.isidentifier() and not _NOT_PASSED.fullmatch(name)
    }
    environment["PATH"] = "/bin"
    image = Image(out)
    image.copy(busybox, "/bin/busybox")
    files = runfiles(program)
    for path in files:
        image.copy(path, path)
    add_libraries(image, sysroot, files)
    for folder in (os.getcwd(), environment.get("TEST_TMPDIR"), environment.get("HOME")):
        if folder:
            image.folder(folder)
    exports = [f"  export {name}={shlex.quote(value)}" for name, value in sorted(environment.items())]
    init = _INIT.format(
        environment="\n".join(exports),
        folder=shlex.quote(os.getcwd()),
        command=shlex.join([program] + arguments),
        verdict=verdict)
    image.file("/init", init.encode())
    image.end()
    out.flush()


def run(kernel, image):
    """Yields what the console says, line by line."""
    system = subprocess.Popen(
        ["qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on", "-smp", "2", "-m", "2G", "-no-reboot",
         "-display", "none", "-monitor", "none", "-serial", "stdio", "-nic", "none", "-kernel", kernel, "-initrd", image,
         "-append", "console=ttyAMA0 quiet panic=-1"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    yield from system.stdout
    if system.wait() != 0:
        raise OSError(f"qemu-system-aarch64 ended with {system.returncode}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("kernel", "busybox", "sysroot"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()

    verdict = "boot.py: the program has ended with"
    try:
        if machine(options.program) not in (ARM64, None):  # a script has none
            raise OSError(f"{options.program} is for another processor")
        with tempfile.NamedTemporaryFile(prefix="arm64-image-") as image:
            make_image(image, os.path.abspath(options.program), options.arguments, options.busybox, options.sysroot, verdict)
            code = NO_VERDICT
            for line in run(options.kernel, image.name):
                if line.startswith(verdict.encode()):
                    code = int(line.split()[-1])
                elif code == NO_VERDICT:
                    sys.stdout.buffer.write(line)
                    sys.stdout.buffer.flush()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"boot.py: {error}", file=sys.stderr)
        return NO_VERDICT
    if code == NO_VERDICT:
        print("boot.py: the system has ended before the program", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())

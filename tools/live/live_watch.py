# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Sources below folders, and what is done to them (inotify(7))."""

import ctypes
import errno
import os
import struct

# <sys/inotify.h>
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x1000000
IN_ISDIR = 0x40000000
EVENT = struct.Struct("iIII")

SUFFIXES = (".c", ".cc", ".cpp", ".cxx", ".c++", ".C", ".h", ".hh", ".hpp", ".hxx", ".inc", ".inl", ".ipp", ".def", ".tcc",
            ".s", ".S", ".y", ".l", ".mk", ".cmake", ".bzl", ".proto")
NAMES = ("Makefile", "makefile", "GNUmakefile", "CMakeLists.txt", "meson.build", "build.ninja", "BUILD", "BUILD.bazel")


def is_source(name):
    # Editors put files of their own beside those that they write: .#price.c, #price.c#, .price.c.swp
    return not name.startswith((".", "#")) and (name.endswith(SUFFIXES) or name in NAMES)


def folders_below(root):
    """Yields (folder, names of its files); none that is hidden, and no symbolic links."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield folder, files


class Watch:
    """What is done to the sources below `roots`; a file descriptor for select()."""

    def __init__(self, roots):
        self.roots = roots
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = self.libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.descriptor < 0:
            self.fail("inotify")
        self.folders = {}  # by watch descriptor
        for root in roots:
            self.add_below(root)

    def fail(self, what):
        number = ctypes.get_errno()
        hint = " (raise fs.inotify.max_user_watches, or name fewer folders by --sources)" if number == errno.ENOSPC else ""
        raise OSError(number, os.strerror(number) + hint, what)

    def fileno(self):
        return self.descriptor

    def add_below(self, root):
        """Returns the sources that are there already."""
        sources = set()
        for folder, files in folders_below(root):
            watch = self.libc.inotify_add_watch(
                self.descriptor, os.fsencode(folder),
                IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ONLYDIR)
            if watch < 0:
                if ctypes.get_errno() in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
                    continue  # it has gone again
                self.fail(folder)
            self.folders[watch] = folder
            sources |= {os.path.join(folder, name) for name in files if is_source(name)}
        return sources

    def read(self):
        """Returns the paths of the sources that were written, moved or removed since the last call."""
        changed = set()
        while True:
            try:
                data = os.read(self.descriptor, 1 << 16)
            except BlockingIOError:
                return changed
            at = 0
            while at < len(data):
                watch, mask, _, length = EVENT.unpack_from(data, at)
                name = os.fsdecode(data[at + EVENT.size:at + EVENT.size + length].split(b"\0")[0])
                at += EVENT.size + length
                if mask & IN_Q_OVERFLOW:
                    # What was missed is not known.
                    for root in self.roots:
                        changed |= self.add_below(root)
                elif mask & IN_IGNORED:
                    self.folders.pop(watch, None)
                elif watch in self.folders:
                    path = os.path.join(self.folders[watch], name)
                    if mask & IN_ISDIR:
                        if mask & (IN_CREATE | IN_MOVED_TO) and not name.startswith("."):
                            changed |= self.add_below(path)
                    # A file that is being written will be closed.
                    elif is_source(name) and not mask & IN_CREATE:
                        changed.add(path)

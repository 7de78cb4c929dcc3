#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Random programs, random edits, and updates from one to the other.

    fuzz.py INSTAR_DIFF FLAGS_SH LIBHARNESS.SO [--count N] [--first SEED] [--jobs N]

Each seed makes a program of two files in two versions. The old one is built,
runs, is updated by what instar-diff makes of the two builds, runs, is undone,
and runs again. What it puts out is compared with that of a third program, which
has both versions in its source, function by function, and shares the variables:
so it does what an update means, without any comparison of machine code.

An update that is refused is counted and no difference; a difference is printed
with its seed, and the folder is kept.
"""

import argparse
import concurrent.futures
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile

from random_program import FILES, Program, write_oracle, write_version

MAIN = """\
#include <stdio.h>
unsigned root_a(unsigned x);
unsigned root_b(unsigned x);
const char* HarnessLoad(const char*);
const char* HarnessUndo(void);
int version;
static void Run(const char* when) {
  printf("%s\\n", when);
  for (unsigned x = 0; x < 40; x++) printf("%u %u\\n", root_a(x), root_b(x));
}
int main(int argc, char** argv) {
  Run("before");
  if (argc > 1) { const char* error = HarnessLoad(argv[1]); if (error) { printf("load: %s\\n", error); return 1; } }
  version = 1;
  Run("updated");
  if (argc > 1) { const char* error = HarnessUndo(); if (error) { printf("undo: %s\\n", error); return 1; } }
  version = 0;
  Run("undone");
  return 0;
}
"""


def run(command, **arguments):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **arguments)


class Failure(Exception):
    """What went wrong, as text."""


def build(program, folder, flags):
    for file in FILES:
        source = os.path.join(folder, f"{file}.{'cc' if program.in_cc[file] else 'c'}")
        compiler = ["g++", "-std=c++17"] if program.in_cc[file] else ["gcc", "-std=gnu99"]
        result = run(compiler + ["-w", "-I" + folder] + flags + ["-c", source, "-o", os.path.join(folder, file + ".o")])
        if result.returncode != 0:
            raise Failure(result.stdout)


def compile_main(folder):
    """The main() of all programs."""
    source, result = os.path.join(folder, "main.c"), os.path.join(folder, "main.o")
    with open(source, "w", encoding="utf-8") as out:
        out.write(MAIN)
    subprocess.run(["gcc", "-O1", "-fPIC", "-c", source, "-o", result], check=True)
    return result


def link(folder, output, arguments, others):
    result = run(["g++", "-o", output] + [os.path.join(folder, file + ".o") for file in FILES] + arguments + others)
    if result.returncode != 0:
        raise Failure(result.stdout)


def attempt(seed, arguments, flags, link_flags, folder):
    """Returns "same", "refused" or "nothing"; raises Failure."""
    rng = random.Random(seed)
    # Of those with types more are refused.
    old = Program(rng, with_types=rng.random() < 0.4)
    new = copy.deepcopy(old)
    new.rng = rng
    for _ in range(rng.randint(1, 6)):
        new.edit()
    level = [rng.choice(("-O0", "-O1", "-O2", "-O2", "-O3"))]
    pie = rng.choice(("-pie", "-no-pie"))
    # Functions of external linkage are inlined, too, as instar-cc allows.
    if rng.random() < 0.3:
        level.append("-fno-semantic-interposition")
    paths = {name: os.path.join(folder, name) for name in ("old", "new", "oracle")}
    for path in paths.values():
        os.makedirs(path)
    write_version(old, paths["old"])
    write_version(new, paths["new"])
    write_oracle(old, new, paths["oracle"])
    build(old, paths["old"], flags + level + ["-g"])
    build(new, paths["new"], flags + level + ["-g"])
    build(old, paths["oracle"], ["-O1"])
    others = [arguments.main, arguments.harness, "-Wl,-rpath," + os.path.dirname(os.path.abspath(arguments.harness))]
    program, oracle, module = (os.path.join(folder, name) for name in ("program", "reference", "update.so"))
    link(paths["old"], program, [pie] + [f for f in link_flags if f != "-Wl,--gc-sections"], others)
    link(paths["oracle"], oracle, ["-fPIC"], others)
    result = run([arguments.differ, "--program", program, "--old", paths["old"], "--new", paths["new"], "-o", module,
                  "a.o", "b.o"])
    with open(os.path.join(folder, "report"), "w", encoding="utf-8") as out:
        out.write(result.stdout)
    if result.returncode == 3:
        return "refused"
    if result.returncode == 4:
        module = None
    elif result.returncode != 0:
        raise Failure(result.stdout)
    environment = dict(os.environ, INSTAR_SOCKET_DIRECTORY=folder)
    expected = run([oracle])
    said = run([program] + ([module] if module else []), env=environment)
    if expected.returncode != 0:
        raise Failure("the reference ended with code " + str(expected.returncode))
    if said.stdout != expected.stdout or said.returncode != 0:
        for number, (is_, was) in enumerate(zip(said.stdout.splitlines(), expected.stdout.splitlines())):
            if is_ != was:
                raise Failure(f"line {number + 1}: {is_!r}, not {was!r}")
        raise Failure(f"it ended with code {said.returncode}: {said.stdout[-300:]}")
    return "same" if module else "nothing"


def attempt_in_folder(seed, arguments, flags, link_flags):
    """What it came to (a key of the counts), and what there is to say of it."""
    # A socket's path is short.
    folder = tempfile.mkdtemp(prefix="instar-fuzz-", dir="/tmp")
    try:
        return attempt(seed, arguments, flags, link_flags, folder), None
    except Failure as failure:
        if arguments.keep:
            shutil.copytree(folder, os.path.join(arguments.keep, f"seed{seed}"), dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("*.sock"))
        return "different", f"seed {seed}: {failure}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def flags_of(script, name):
    script = f'. {script}; printf "%s\\n" "${{{name}[@]}}"'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()


def attempt_all(arguments):
    """How often each came to what."""
    flags, link_flags = (flags_of(arguments.flags, name) for name in ("compile", "link"))
    counts = {"same": 0, "refused": 0, "nothing": 0, "different": 0}
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        seeds = range(arguments.first, arguments.first + arguments.count)
        attempts = [pool.submit(attempt_in_folder, seed, arguments, flags, link_flags) for seed in seeds]
        try:
            for done, each in enumerate(concurrent.futures.as_completed(attempts), 1):
                result, text = each.result()
                counts[result] += 1
                if text:
                    print(text, flush=True)
                if done % 50 == 0 or done == arguments.count:
                    print(f"{done} of {arguments.count}: " + ", ".join(f"{count} {what}" for what, count in counts.items()),
                          flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return counts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("differ")
    parser.add_argument("flags")
    parser.add_argument("harness")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time")
    parser.add_argument("--keep", metavar="FOLDER", help="where folders of differences are kept")
    arguments = parser.parse_args()
    arguments.differ = os.path.abspath(arguments.differ)
    arguments.harness = os.path.abspath(arguments.harness)
    with tempfile.TemporaryDirectory(prefix="instar-fuzz-") as folder:
        arguments.main = compile_main(folder)
        counts = attempt_all(arguments)
    # A generator whose programs are all refused would show nothing.
    return 1 if counts["different"] or counts["same"] < arguments.count // 2 else 0


if __name__ == "__main__":
    sys.exit(main())

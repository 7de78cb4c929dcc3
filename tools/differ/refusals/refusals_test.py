#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""What instar-diff refuses, warns of, or takes as it is: pairs of small sources.

refusals_test.py INSTAR_DIFF FLAGS_SH
"""

import concurrent.futures
import glob
import os
import subprocess
import sys
import tempfile

import cases
import line_cases
import misleading_cases
import signature_cases
from case import DONE

CASES = cases.CASES + line_cases.CASES + misleading_cases.CASES + signature_cases.CASES


def run(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def check(case, differ, flags, link_flags, folder):
    """Returns what is wrong; an empty string: nothing."""
    for build, files in (("old", case.old), ("between", case.between), ("new", case.new)):
        if files is None:
            continue
        flags_of_build = case.flags[build == "new"] if case.flags else []
        os.makedirs(os.path.join(folder, build))
        if isinstance(files, str):
            files = {"t." + case.suffix: files}
        for name, text in files.items():
            path = os.path.join(folder, build, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text + "\n")
        for name in files:
            stem, suffix = os.path.splitext(os.path.join(folder, build, name))
            if suffix == ".h":
                continue
            compiler = ["gcc"] if suffix in (".c", ".S") else ["g++", "-std=c++20" if "co_" in files[name] else "-std=c++17"]
            result = run(compiler + flags + ["-g", "-O2", "-I" + os.path.join(folder, build, "include")] + flags_of_build + [
                "-c", stem + suffix, "-o", stem + ".o"])
            if result.returncode != 0:
                return result.stdout
    main = os.path.join(folder, "main.cc")
    with open(main, "w", encoding="utf-8") as file:
        file.write("int main() {}\n")
    program = os.path.join(folder, "program")
    kind = ["-shared"] if case.shared else [main, "-pie"]
    objects = sorted(glob.glob(os.path.join(folder, case.link, "*.o")))
    result = run(["g++"] + objects + ["-o", program] + kind +
                 [flag for flag in link_flags if flag != "-Wl,--gc-sections"])
    if result.returncode != 0:
        return result.stdout
    output = os.path.join(folder, "update.so")
    update = [differ, "--program", program, "--old", os.path.join(folder, "old")]
    if case.between is not None:
        before = os.path.join(folder, "before.so")
        result = run(update + ["--new", os.path.join(folder, "between"), "-o", before])
        if result.returncode != DONE:
            return "the update before: " + result.stdout
        update[-1] = os.path.join(folder, "between")
        update += ["--after", before]
    result = run(update + ["--new", os.path.join(folder, "new"), "-o", output] + case.options)
    if case.never is not None and case.never in result.stdout:
        return f"{case.never!r} in it:\n{result.stdout}"
    if result.returncode != case.code or case.says not in result.stdout:
        return f"exit code {result.returncode}, not {case.code}, or not {case.says!r}:\n{result.stdout}"
    if os.path.exists(output) != (case.code == DONE):
        return "the module is " + ("not there" if case.code == DONE else "there")
    return ""


def main():
    differ, flags_file = sys.argv[1:]

    def flags_of(name):
        script = f'. {flags_file}; printf "%s\\n" "${{{name}[@]}}"'
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()

    flags, link_flags = flags_of("compile"), flags_of("link")
    failed = 0
    with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR")) as folder, \
            concurrent.futures.ThreadPoolExecutor(2) as pool:
        wrong = pool.map(
            lambda numbered: check(numbered[1], os.path.abspath(differ), flags, link_flags,
                                   os.path.join(folder, str(numbered[0]))), enumerate(CASES))
        for case, text in zip(CASES, wrong):
            print("ok  " if not text else "FAIL", case.name)
            if text:
                print(text)
                failed += 1
    print(f"{len(CASES) - failed} of {len(CASES)} cases as expected")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

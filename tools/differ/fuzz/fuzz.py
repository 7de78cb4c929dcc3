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

FILES = ("a", "b")
WORDS = ("anise", "basil", "cumin", "dill", "fennel", "ginger", "mint", "sage", "thyme")
HEADER = """\
#ifdef __cplusplus
extern "C" {
#endif
%s
#ifdef __cplusplus
}
#endif
static inline __attribute__((unused)) unsigned Sum(const char* s) { unsigned r = 7; while (*s) r = r * 31 + (unsigned char)*s++; return r; }
"""


class Program:
    """Variables, tables and functions, each of a file; a version is a deep copy with edits."""

    def __init__(self, rng):
        self.rng = rng
        self.in_cc = {file: rng.random() < 0.6 for file in FILES}
        self.variables = {}  # name -> (file, initial value, is_static)
        self.tables = {}  # name -> (file, four values)
        self.functions = {}  # name -> dict(file, kind, body, serial)
        self.serial = 0
        for file in FILES:
            for _ in range(rng.randint(2, 5)):
                self.add_variable(file)
            for _ in range(rng.randint(1, 3)):
                self.add_table(file)
            for _ in range(rng.randint(5, 12)):
                self.add_function(file)

        # Each variable is used: whether one that is not is in the program depends
        # on the optimization.
        for name, (file, _, _) in self.variables.items():
            of_file = [function for function, f in self.functions.items() if f["file"] == file]
            self.functions[rng.choice(of_file)]["body"].append(("variable", name, rng.randint(1, 40)))

    def number(self):
        self.serial += 1
        return self.serial

    def add_variable(self, file):
        name = f"v{self.number()}"
        self.variables[name] = (file, self.rng.randint(0, 99), self.rng.random() < 0.7)
        return name

    def add_table(self, file):
        name = f"t{self.number()}"
        self.tables[name] = (file, [self.rng.randint(0, 999) for _ in range(4)])
        return name

    def add_function(self, file):
        name = f"f{self.number()}"
        kind = self.rng.choice(("static", "static", "noinline", "global", "global"))
        self.functions[name] = {"file": file, "kind": kind, "serial": self.serial, "body": []}
        for _ in range(self.rng.randint(1, 5)):
            self.functions[name]["body"].append(self.statement(name))
        return name

    def statement(self, function):
        """A statement of this function: a kind and its parameters."""
        rng = self.rng
        file, serial = self.functions[function]["file"], self.functions[function]["serial"]
        kinds = ["arithmetic", "variable", "if", "switch", "call", "call", "table", "string", "static", "double"]
        if self.in_cc[file]:
            kinds += ["template", "lambda", "throw", "pointer"]
        kind = rng.choice(kinds)
        number = rng.randint(1, 40)
        if kind == "call":
            callees = [name for name, f in self.functions.items()
                       if f["serial"] < serial and (f["file"] == file or f["kind"] == "global")]
            return (kind, rng.choice(callees), number) if callees else ("arithmetic", number, number)
        if kind == "pointer":
            callees = [name for name, f in self.functions.items() if f["serial"] < serial and f["file"] == file]
            if len(callees) < 2:
                return ("arithmetic", number, 3)
            return (kind, rng.choice(callees), rng.choice(callees))
        if kind in ("variable", "lambda"):
            names = [name for name, (of, _, _) in self.variables.items() if of == file]
            return (kind, rng.choice(names), number)
        if kind == "table":
            names = [name for name, (of, _) in self.tables.items() if of == file]
            return (kind, rng.choice(names), number)
        if kind == "string":
            return (kind, " ".join(rng.choices(WORDS, k=2)), number)
        if kind == "static":
            # The same name in many functions; one in each, or which is which could not be told.
            if any(s[0] == "static" for s in self.functions[function]["body"]):
                return ("arithmetic", number, 5)
            return (kind, "n", number, rng.randint(0, 9))
        if kind == "switch":
            return (kind, [rng.randint(0, 99) for _ in range(5)])
        return (kind, number, rng.randint(1, 9))

    def edit(self):
        """One change, as people make them."""
        rng = self.rng
        what = rng.choice(("change", "change", "change", "insert", "remove", "table", "variable", "function", "initial"))
        name = rng.choice(list(self.functions))
        body = self.functions[name]["body"]
        if what == "change":
            at = rng.randrange(len(body))
            if body[at][0] != "static":
                body[at] = self.statement(name)
        elif what == "insert":
            body.insert(rng.randrange(len(body) + 1), self.statement(name))
        elif what == "remove" and len(body) > 1:
            del body[rng.randrange(len(body))]
        elif what == "table":
            table = rng.choice(list(self.tables))
            file, values = self.tables[table]
            values = list(values)
            values[rng.randrange(4)] = rng.randint(0, 999)
            self.tables[table] = (file, values)
        elif what == "variable":
            new = self.add_variable(self.functions[name]["file"])
            body.append(("variable", new, rng.randint(1, 40)))
        elif what == "function":
            file = self.functions[name]["file"]
            new = self.add_function(file)
            self.functions[new]["serial"] = self.functions[name]["serial"] - 0.5
            self.functions[new]["body"] = [s for s in self.functions[new]["body"] if s[0] not in ("call", "pointer")] or [
                ("arithmetic", 3, 4)]
            body.append(("call", new, rng.randint(1, 40)))
        elif what == "initial":
            variable = rng.choice(list(self.variables))
            file, _, is_static = self.variables[variable]
            self.variables[variable] = (file, rng.randint(0, 99), is_static)


def code(statement, function, names):
    """The statement in C or C++; `names` says what a function, a table and a local static are called."""
    kind = statement[0]
    if kind == "arithmetic":
        return f"r = r * {statement[1]}u + {statement[2]}u;"
    if kind == "variable":
        return f"{statement[1]} = {statement[1]} * 3u + r + {statement[2]}u; r ^= {statement[1]};"
    if kind == "if":
        return f"if ((x & 3u) == {statement[2] % 4}u) r += {statement[1]}u; else r ^= x;"
    if kind == "switch":
        cases = " ".join(f"case {i}: r += {value}u; break;" for i, value in enumerate(statement[1]))
        return f"switch (x % 6u) {{ {cases} default: r ^= 1u; }}"
    if kind == "call":
        return f"r += {names('function', statement[1])}(x + {statement[2]}u);"
    if kind == "pointer":
        one, two = (names("function", name) for name in statement[1:])
        return (f"{{ static unsigned (*const p[])(unsigned) = {{ {one}, {two} }}; "
                "const volatile unsigned i = x & 1u; r += p[i](x); }")
    if kind == "table":
        return f"r += {names('table', statement[1])}[(x + {statement[2]}u) & 3u];"
    if kind == "string":
        return f'r = r * {statement[2]}u + Sum("{statement[1]}");'
    if kind == "static":
        variable, definition = names("local", function, statement)
        return f"{definition}{variable} += {statement[2]}u; r ^= {variable};"
    if kind == "double":
        return f"r += (unsigned)((double)(x & 63u) * {statement[1]}.25 + {statement[2]}.5);"
    if kind == "template":
        return f"r += Scaled<{statement[1]}>(x);"
    if kind == "lambda":
        return f"r += [&](unsigned y) {{ return y * {statement[2]}u + {statement[1]}; }}(x);"
    if kind == "throw":
        return f"try {{ if ((x & 7u) == {statement[2] % 8}u) throw {statement[1]}; r += 1u; }} catch (int e) {{ r += (unsigned)e; }}"
    raise AssertionError(kind)


ATTRIBUTES = {"static": "static __attribute__((unused)) ", "noinline": "static __attribute__((noinline, unused)) ", "global": ""}


def linkage(program, file, kind):
    """What stands before a definition that all files know."""
    return 'extern "C" ' if program.in_cc[file] and kind == "global" else ATTRIBUTES[kind]


def roots(program, file):
    """The functions of a file that nothing in it has to call for them to run."""
    return [name for name, f in program.functions.items() if f["file"] == file]


def in_order(program, file):
    return sorted(roots(program, file), key=lambda name: program.functions[name]["serial"])


def prologue(program, file):
    lines = ['#include "program.h"']
    if program.in_cc[file]:
        lines.append("template <unsigned K> __attribute__((noinline)) static unsigned Scaled(unsigned x) "
                     "{ static unsigned calls; return x * K + ++calls; }")
    return lines


def write_version(program, folder):
    """The sources of one version."""
    declarations = [f"unsigned {name}(unsigned x);" for name, f in program.functions.items() if f["kind"] == "global"]
    declarations += [f"unsigned root_{file}(unsigned x);" for file in FILES]
    with open(os.path.join(folder, "program.h"), "w", encoding="utf-8") as out:
        out.write(HEADER % "\n".join(declarations))
    for file in FILES:
        lines = prologue(program, file)
        for name, (of, value, is_static) in program.variables.items():
            if of == file:
                lines.append(f"{'static ' if is_static else ''}unsigned {name} = {value}u;")
        for name, (of, values) in program.tables.items():
            if of == file:
                lines.append(f"static const unsigned {name}[4] = {{ {', '.join(f'{v}u' for v in values)} }};")

        def names(what, name, statement=None):
            if what != "local":
                return name
            return statement[1], f"static unsigned {statement[1]} = {statement[3]}u; "

        for name in in_order(program, file):
            f = program.functions[name]
            body = " ".join(code(s, name, names) for s in f["body"])
            lines.append(f"{linkage(program, file, f['kind'])}unsigned {name}(unsigned x) {{ unsigned r = x; {body} return r; }}")
        calls = " ".join(f"r = r * 5u + {name}(x);" for name in in_order(program, file))
        lines.append(f"{linkage(program, file, 'global')}unsigned root_{file}(unsigned x) {{ unsigned r = 0; {calls} return r; }}")
        with open(os.path.join(folder, f"{file}.{'cc' if program.in_cc[file] else 'c'}"), "w", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")


def write_oracle(old, new, folder):
    """Both versions in one source: each function asks which one it is."""
    versions = (old, new)
    everything = {**old.functions, **new.functions}
    declarations = ["extern int version;"]
    declarations += [f"unsigned {name}(unsigned x);" for name, f in everything.items() if f["kind"] == "global"]
    declarations += [f"unsigned root_{file}(unsigned x);" for file in FILES]
    with open(os.path.join(folder, "program.h"), "w", encoding="utf-8") as out:
        out.write(HEADER % "\n".join(declarations))
    for file in FILES:
        lines = prologue(old, file)
        # What is in both versions is one variable, with the value that it had first.
        for name, (of, value, is_static) in {**new.variables, **old.variables}.items():
            if of == file:
                lines.append(f"{'static ' if is_static else ''}unsigned {name} = {value}u;")
        for number, version in enumerate(versions):
            for name, (of, values) in version.tables.items():
                if of == file:
                    lines.append(f"static const unsigned {name}_{number}[4] = {{ {', '.join(f'{v}u' for v in values)} }};")
        locals_ = {}
        for version in reversed(versions):
            for name, f in version.functions.items():
                for statement in f["body"]:
                    if statement[0] == "static" and f["file"] == file:
                        locals_[f"{name}_{statement[1]}"] = statement[3]
        lines += [f"static unsigned {name} = {value}u;" for name, value in locals_.items()]
        order = sorted((name for name, f in everything.items() if f["file"] == file),
                       key=lambda name: everything[name]["serial"])
        for name in order:
            for number, version in enumerate(versions):
                if name not in version.functions:
                    continue

                def names(what, of, statement=None, number=number):
                    if what == "local":
                        return f"{of}_{statement[1]}", ""
                    return of if what == "function" else f"{of}_{number}"

                body = " ".join(code(s, name, names) for s in version.functions[name]["body"])
                lines.append(f"static unsigned {name}_{number}(unsigned x) {{ unsigned r = x; {body} return r; }}")
            has = [name in version.functions for version in versions]
            answer = f"version ? {name}_1(x) : {name}_0(x)" if all(has) else f"{name}_{int(has[1])}(x)"
            lines.append(f"{linkage(old, file, everything[name]['kind'])}unsigned {name}(unsigned x) {{ return {answer}; }}")
        for number, version in enumerate(versions):
            calls = " ".join(f"r = r * 5u + {name}(x);" for name in in_order(version, file))
            lines.append(f"static unsigned root_{file}_{number}(unsigned x) {{ unsigned r = 0; {calls} return r; }}")
        lines.append(f"{linkage(old, file, 'global')}unsigned root_{file}(unsigned x) "
                     f"{{ return version ? root_{file}_1(x) : root_{file}_0(x); }}")
        with open(os.path.join(folder, f"{file}.{'cc' if old.in_cc[file] else 'c'}"), "w", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")


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
    old = Program(rng)
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

#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Updates of programs that are compiled and linked in the ways that there are.

matrix_test.py INSTAR_DIFF FLAGS_SH LIBHARNESS.SO
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from builds_for_test import DIFFER, HARNESS, flags_of, run  # pylint: disable=wrong-import-position

# Debug information names it, and coroutine.h is included from there.
ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))
SOURCES = os.path.join(ROOT, "tools/differ/matrix")


COMPILE, LINK = flags_of("compile"), flags_of("link")


class Expected:
    """What edge.cc and main.cc do, in any version."""

    def __init__(self):
        self.counter, self.own, self.calls, self.shared, self.fresh, self.known = 100, 5, 0, 40, 70, 700

    def tail_call(self, n, v):
        self.counter += v
        return (n + v) * 3

    def show(self, v):
        self.counter += 11 * v
        yield "addresses: 1 1"
        self.own += v
        self.shared += 2 * v
        self.calls += 7
        yield f"thread-local: {self.own * 1000 + self.shared + self.calls}"
        yield "  one" if v == 1 else "  two"
        n = 4
        if v > 1:
            self.fresh += 1
            self.known += 1
            n += 4000 + self.fresh + self.known
        yield f"through tables: {n * 3 + v}"
        yield f"tail call: {self.tail_call(5, v)}"
        yield f"catches: 1 {8 + 1000 * v}"
        yield f"by table: 0 {self.tail_call(1, v) * v} {2 * v}"
        yield f"choice(0): {10 * v}"
        yield f"choice(1): {self.counter}"
        yield f"choice(2): {self.tail_call(2, v) * v}"
        yield f"choice(3): {v}"
        yield f"choice(4): {3 * v}"
        yield f"choice(5): {-v}"


class MatrixTest(unittest.TestCase):
    def setUp(self):
        # A socket's path is short.
        self.folder = tempfile.mkdtemp(prefix="instar-matrix-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def build(self, source, version, flags):
        """The object of this version, in a folder of its own."""
        folder = self.path(str(version))
        os.makedirs(folder, exist_ok=True)
        compiler = "gcc" if source.endswith(".c") else "g++"
        output = os.path.join(folder, source.rsplit(".", 1)[0] + ".o")
        run([compiler] + COMPILE + ["-g", "-O2", f"-DVERSION={version}", f"-I{ROOT}"] + flags +
            ["-c", os.path.join(SOURCES, source), "-o", output])
        return output

    def link(self, objects, flags):
        run(["g++"] + objects + ["-o", self.path("program"), "-pie"] + LINK + flags +
            [HARNESS, "-Wl,-rpath," + os.path.dirname(HARNESS)])

    def diff(self, name, old, new, source, after=(), linker="", options=()):
        """The module from one version to another."""
        module = self.path(name + ".so")
        command = [DIFFER, "--program", self.path("program"), "--old", self.path(str(old)), "--new", self.path(str(new)),
                   "--name", name, "-o", module, *options]
        for earlier in after:
            command += ["--after", earlier]
        self.said = run(command + ["--", source], env=dict(os.environ, INSTAR_CXX="c++ " + linker))
        return module

    def run_program(self, arguments=(), commands=""):
        return run([self.path("program"), *arguments], input=commands,
                   env=dict(os.environ, INSTAR_SOCKET_DIRECTORY=self.folder)).splitlines()

    def check(self, compile_flags=(), link_flags=(), linker="", has=""):
        """`has`: what objdump has to say of the object or the program, so that this shows what it is to show."""
        objects = [self.build(source, 1, list(compile_flags)) for source in ("edge.cc", "main.cc")]
        self.build("edge.cc", 2, list(compile_flags))
        self.link(objects, list(link_flags) + ([linker] if linker else []))
        described = run(["objdump", "-dr", objects[0]]) + run(["readelf", "-d", "-p", ".comment", self.path("program")])
        self.assertTrue(has in described, f"nothing says {has!r}")
        module = self.diff("update", 1, 2, "edge.o", linker=linker)
        said = self.run_program(commands=f"show\nload {module}\nshow\nshow\nundo\nshow\n")
        expected = Expected()
        self.assertEqual(said, [line for version in (1, 2, 2, 1) for line in expected.show(version)])

    def test_levels(self):
        for level in "-O0", "-O1", "-O2", "-O3", "-Os":
            with self.subTest(level):
                self.check([level])

    def test_external_functions_are_inlined(self):
        for level in "-O2", "-O3":
            with self.subTest(level):
                self.check(["-fno-semantic-interposition", level])

    def test_no_pie(self):
        self.check(link_flags=["-no-pie"])

    def test_linkers(self):
        for linker, has in ("bfd", ""), ("gold", ""), ("lld", "LLD"):
            # Debian 13 has no gold among what compilers need.
            if linker == "gold" and shutil.which("ld.gold") is None:
                print(f"no ld.{linker}: not shown", flush=True)
                continue
            for pie in "-pie", "-no-pie":
                with self.subTest(linker, pie=pie):
                    self.check(link_flags=[pie], linker=f"-fuse-ld={linker}", has=has)

    def test_functions_that_the_linker_has_folded(self):
        objects = [self.build("folded.c", version, []) for version in (0, 2)]
        main = self.build("chain_main.c", 0, [])
        for linker in "gold", "lld":
            if linker == "gold" and shutil.which("ld.gold") is None:
                print(f"no ld.{linker}: not shown", flush=True)
                continue
            for folds in "all", "safe":
                with self.subTest(linker, folds=folds):
                    self.link([objects[0], main], [f"-fuse-ld={linker}", f"-Wl,--icf={folds}"])
                    of = {line.split()[2]: line.split()[0] for line in run(["nm", self.path("program")]).splitlines()
                          if len(line.split()) == 3}
                    self.assertEqual(of["first"] == of["second"], folds == "all")
                    if folds == "all":
                        with self.assertRaisesRegex(AssertionError, "refused: folded.o: second has changed, and the program's "
                                                    "linker has folded it with first, .* without --icf"):
                            self.diff("update", 0, 2, "folded.o")
                    else:
                        module = self.diff("update", 0, 2, "folded.o")
                        self.assertEqual(self.run_program([module]), ["44", "46", "44", "46", "44"])

    def test_no_plt(self):
        self.check(["-fno-plt"], has="jmp    *")
        self.check(["-fno-plt", "-O0"], has="R_X86_64_GOTPCRELX\t_Z5outeri")

    def test_initial_exec(self):
        self.check(["-ftls-model=initial-exec"], has="R_X86_64_GOTTPOFF")

    def test_tls_descriptors(self):
        self.check(["-mtls-dialect=gnu2"], has="R_X86_64_GOTPC32_TLSDESC")
        self.check(["-mtls-dialect=gnu2", "-O0"], has="R_X86_64_GOTPC32_TLSDESC")

    def test_packed_relocations(self):
        self.check(link_flags=["-fuse-ld=bfd", "-Wl,-z,pack-relative-relocs"], has="RELR")

    def test_coroutines(self):
        for level in "-O0", "-O2":
            with self.subTest(level):
                flags = ["-std=c++20", level]
                objects = [self.build(source, 1, flags) for source in ("coroutine.cc", "coroutine_main.cc")]
                self.build("coroutine.cc", 2, flags)
                self.link(objects, [])
                module = self.diff("update", 1, 2, "coroutine.o")
                self.assertIn("coroutines that are suspended finish in the version that they began in", self.said)
                self.assertEqual(self.run_program([module]), [
                    # The first goes on as it began, the second begins in the new version: 2, 6, 10.
                    "first 1", "updated: first 2", "second 2", "doubled 24",
                    "undone: first 3", "second 10", "third 1", "doubled 4"])

    def test_closures(self):
        for level in "-O1", "-O2":
            with self.subTest(level):
                flags = ["-std=c++17", level]
                objects = [self.build(source, 1, flags) for source in ("closure.cc", "closure_main.cc")]
                self.build("closure.cc", 2, flags)
                self.link(objects, [])
                module = self.diff("update", 1, 2, "closure.o")
                self.assertIn("it captures other things than before; closures and objects that exist go on", self.said)
                self.assertEqual(self.run_program([module]), [
                    "first 2", "updated: first 2, copy 2, second 1101", "undone: first 2, second 1101, third 2"])

    def test_debug_information(self):
        """Lines of the module's functions, and variables that are the program's."""
        objects = [self.build(source, 1, []) for source in ("edge.cc", "main.cc")]
        self.build("edge.cc", 2, [])
        self.link(objects, [])
        module = self.diff("update", 1, 2, "edge.o")
        symbols = {line.split(" ", 2)[2]: line.split()[0] for line in run(["nm", "-C", module]).splitlines() if " t " in line}
        with open(os.path.join(SOURCES, "edge.cc"), encoding="utf-8") as file:
            line = 1 + file.read().splitlines().index("int tail_call(int n) {")
        said = run(["addr2line", "-e", module, symbols["tail_call(int)"]]).strip()
        self.assertEqual(said, f"{SOURCES}/edge.cc:{line}")
        asked = ["-ex", "info line added", "-ex", "print counter"]
        environment = {**os.environ, "DEBUGINFOD_URLS": ""}
        with subprocess.Popen([self.path("program")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env=dict(os.environ, INSTAR_SOCKET_DIRECTORY=self.folder)) as program:
            program.stdin.write(f"load {module}\nshow\n")
            program.stdin.flush()
            for said in program.stdout:
                if said.startswith("choice(5)"):
                    break
            result = subprocess.run(
                ["gdb", "-batch", "-nx", "-p", str(program.pid), *asked, "-ex", f"generate-core-file {self.path('core')}"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment)
            # As a crash does, this leaves the module's file.
            program.kill()
        if "Operation not permitted" in result.stdout:
            print("gdb may not attach: not shown", flush=True)
            return
        expected = Expected()
        list(expected.show(2))
        dumped = run(["gdb", "-batch", "-nx", self.path("program"), self.path("core"), *asked], env=environment)
        for said in result.stdout, dumped:
            self.assertIn('edge.cc" starts at address', said)
            self.assertIn(f"= {expected.counter}\n", said)

    def test_report_is_in_the_module(self):
        self.link([self.build(source, 1, []) for source in ("edge.cc", "main.cc")], [])
        self.build("edge.cc", 2, [])
        run(["objcopy", "--dump-section", ".instar.report=" + self.path("report"), self.diff("update", 1, 2, "edge.o"),
             self.path("copy.so")])
        with open(self.path("report"), encoding="utf-8") as file:
            report = json.load(file)
        changed = {change["name"] for change in report["changes"] if change["status"] == "changed"}
        self.assertIn("tail_call(int)", changed)

    def test_thunks_and_variables_without_names(self):
        for level in "-O0", "-O2":
            with self.subTest(level):
                sources = ("literals.c", "thunks.cc")
                objects = [self.build(source, 1, [level]) for source in sources + ("names_main.c",)]
                for source in sources:
                    self.build(source, 2, [level])
                self.link(objects, [])
                module = self.path("update.so")
                run([DIFFER, "--program", self.path("program"), "--old", self.path("1"), "--new", self.path("2"), "-o", module,
                     "--", "literals.o", "thunks.o"])
                self.assertEqual(self.run_program([module]), ["1121 1108", "1223 2212", "1324 1116"])

    def test_thunks_of_inline_functions(self):
        """They are copies of their functions: three updates, all undone, and all once more."""
        def value(version):
            gift = 100 * (2 + 1000 * version) if version else 0
            return str(6 + 110 * version + 11000 * (version + 1) + gift)

        for level in "-O0", "-O1", "-O2", "-O3", "-Os":
            for stripped in False, True:
                with self.subTest(level, stripped=stripped):
                    made = [self.build("inline_thunks.cc", version, [level]) for version in range(4)]
                    self.assertIn("<_ZThn16_N7Product5CentsEv>:\n", run(["objdump", "-d", made[0]]))
                    self.link([made[0], self.build("chain_main.c", 0, [])], [])
                    if stripped:
                        run(["strip", self.path("program")])
                    modules = []
                    for version in 1, 2, 3:
                        modules.append(self.diff(f"update{version}", version - 1, version, "inline_thunks.o", after=modules))
                    self.assertEqual(self.run_program(modules), [value(v) for v in (0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0)])

    def test_thunk_of_inline_function_on_a_stack(self):
        objects = [self.build(source, 0, []) for source in ("inline_thunks.cc", "cold_main.c")]
        for version in 1, 2:
            self.build("inline_thunks.cc", version, [])
        self.link(objects, [])
        modules = [self.diff("first", 0, 1, "inline_thunks.o")]
        modules.append(self.diff("second", 1, 2, "inline_thunks.o", after=modules))
        for loaded in 1, 2:
            said = self.run_program(modules[:loaded])
            self.assertIn("inside: DEADLINE_EXCEEDED", said[0])
            self.assertIn("active: non-virtual thunk to Product::Wait()", said[0])
            self.assertEqual(said[1:], [str(9 + loaded), "outside: loaded"])

    def test_ten_updates(self):
        objects = [self.build("chain.c", 0, []), self.build("chain_main.c", 0, [])]
        self.link(objects, [])
        modules = []
        for version in range(1, 11):
            self.build("chain.c", version, [])
            modules.append(self.diff(f"update{version}", version - 1, version, "chain.o", after=modules))
        expected = []
        variables = [10 * k for k in range(11)]
        for versions in range(11), range(9, -1, -1), range(1, 11), range(9, -1, -1):
            for version in versions:
                used = range(version + 1)
                expected.append(str(1000 * version + version + 1 + sum(variables[k] for k in used)))
                for k in used:
                    variables[k] += 1
            if versions == range(9, -1, -1):
                # What is applied again brings its variables anew.
                variables[1:] = [10 * k for k in range(1, 11)]
        self.assertEqual(self.run_program(modules), expected)

    def test_hooks_alone(self):
        objects = [self.build("hooks.c", 0, []), self.build("chain_main.c", 0, [])]
        self.link(objects, [])
        modules = []
        for version in 1, 2:
            self.build("hooks.c", version, [])
            modules.append(self.diff(f"update{version}", version - 1, version, "hooks.o", after=modules))
            self.assertIn("0 functions to be redefined, 2 hooks", self.said)
        self.assertEqual(self.run_program(modules), ["6", "16", "36", "16", "6"] + ["16", "36", "16", "6"])

    def test_handlers_at_exit(self):
        """What libc_nonshared.a has for each image that is linked."""
        self.link([self.build("at_exit.c", 0, []), self.build("at_exit_main.c", 0, [])], [])
        self.build("at_exit.c", 1, [])
        module = self.diff("update", 0, 1, "at_exit.o")
        calls = ["2", "1003", "before fork"]
        handlers = ["at the end: {0}", "the update's: {1}", "at the end: {0}"]
        self.assertEqual(self.run_program([module]), calls + [line.format(1002, 1102) for line in handlers])
        # What the update has registered stays registered, and its module loaded.
        self.assertEqual(self.run_program([module, "undo"]), calls + [line.format(2, 102) for line in handlers])
        self.assertEqual(self.run_program([module, "quick"]), calls + ["at the end: 2"] * 2)

    def test_cold_part_on_a_stack(self):
        objects = [self.build(source, 1, []) for source in ("cold.c", "cold_main.c")]
        for version in 2, 3:
            self.build("cold.c", version, [])
        self.assertIn(" split.cold", run(["nm", objects[0]]))
        for stripped in False, True:
            self.link(objects, [])
            if stripped:
                run(["strip", self.path("program")])
            one = self.diff("one", 1, 3, "cold.o")
            first = self.diff("first", 1, 2, "cold.o")
            for modules in [one], [first, self.diff("second", 2, 3, "cold.o", after=[first])]:
                with self.subTest(stripped=stripped, modules=len(modules)):
                    said = self.run_program(modules)
                    self.assertIn("inside: DEADLINE_EXCEEDED", said[0])
                    self.assertIn("active: " + ("program+0x" if stripped else "split"), said[0])
                    self.assertEqual(said[1:], ["10", "outside: loaded"])

    def test_functions_that_are_gone_and_new_on_a_stack(self):
        objects = [self.build(source, 1, []) for source in ("tail.c", "tail_main.c")]
        self.build("tail.c", 2, [])
        for stripped in False, True:
            with self.subTest(stripped=stripped):
                self.link(objects, [])
                if stripped:
                    run(["strip", self.path("program")])
                said = self.run_program([self.diff("update", 1, 2, "tail.o")])
                self.assertIn("inside: DEADLINE_EXCEEDED", said[0])
                self.assertEqual(said[1:3], ["10", "outside: done"])
                self.assertIn("inside: DEADLINE_EXCEEDED", said[3])
                self.assertIn("active: fresh", said[3])
                self.assertEqual(said[4:], ["40", "outside: done"])

    def test_function_to_wait_for(self):
        self.link([self.build(source, 1, []) for source in ("cold.c", "cold_main.c")], [])
        self.build("cold.c", 2, [])
        self.assertEqual(self.run_program([self.diff("update", 1, 2, "cold.o")])[0], "inside: loaded")
        module = self.diff("update", 1, 2, "cold.o", options=["--wait-for", "split"])
        self.assertIn("note: the update waits until split is on no stack", self.said)
        said = self.run_program([module])
        self.assertIn("inside: DEADLINE_EXCEEDED", said[0])
        self.assertEqual(said[1:], ["10", "outside: loaded"])

    def test_caller_of_another_signature_in_a_file_that_is_gone(self):
        self.link([self.build(source, 1, []) for source in ("cold.c", "cold_main.c", "gone.c")], [])
        self.build("cold.c", 2, [])
        self.build("cold_main.c", 2, [])
        module = self.path("update.so")
        run([DIFFER, "--program", self.path("program"), "--old", self.path("1"), "--new", self.path("2"), "-o", module])
        run(["objcopy", "-O", "binary", "--only-section=.instar.redefine", "--set-section-flags", ".instar.redefine=alloc",
             module, self.path("rows")])
        with open(self.path("rows"), "rb") as file:
            rows = list(struct.iter_unpack("<QQQII", file.read()))
        watched = [row[0] for row in rows if row[4] == 2]  # kOnlyWatched
        (address,) = [line.split()[0] for line in run(["nm", self.path("program")]).splitlines() if line.endswith(" caller")]
        self.assertIn(int(address, 16), watched)
        # spin(), which is new and never left, calls the new one: an undo is refused while it runs.
        self.assertEqual([row[4] for row in rows if row[3] == 0xffffffff].count(2), 1)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:], verbosity=2)

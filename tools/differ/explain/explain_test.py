#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""What instar-diff --explain says of functions of two builds, which differ in one thing each.

explain_test.py INSTAR_DIFF FLAGS_SH
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

DIFFER, FLAGS = (os.path.abspath(path) for path in sys.argv[1:3])

SOURCE = r"""
#include <stdexcept>
int f(int); int g(int); extern int one, two; extern "C" int puts(const char*); void fill(char*);
struct Cart { int id; @#ifdef NEW
int added;
#endif
int sum; };
static inline int twice(int i) { return (i ^ {3|5}) + one; }
extern "C" int inlined(int i) { return g(twice(g(i))); }
extern "C" int constant(int i) { return g(i) / {7|9}; }
extern "C" int added(int i) { return i + {1|2}; }
extern "C" int callee(int i) { return {f|g}(i) + 1; }
extern "C" int text(int i) { puts("{one|two}"); return g(i); }
extern "C" int variable(int i) { {one|two} = g(i); return 1; }
extern "C" int member(Cart* cart) { return cart->sum; }
extern "C" int more() { @#ifdef NEW
char buffer[200]; fill(buffer);
#endif
return g(7); }
extern "C" int choice(int x) { switch (x) { case 0: return 31; case 1: return f(17); case 2: return {99|f(98)};
  case 3: return f(5) + 1; case 4: return g(7) - 2; } return 0; }
extern "C" int caught(int i) { try { return g(i); } catch (std::{range|domain}_error&) { return 1; } }
extern "C" int rare(int i) { if (__builtin_expect(i == 4711, 0)) throw std::runtime_error("{a|b}"); return f(i); }
extern "C" int same(int i) { return g(i) + 1; }
extern "C" int untouched() { return f(11) ? 5 : 6; }
@#ifdef NEW
extern "C" int brought(int i) { return g(i) + 1; }
#endif
"""


def sources():
    """Both builds' texts: {old|new} where they differ; a line of the new build alone begins with @."""
    for number in 0, 1:
        text = SOURCE
        while "{" in text and "|" in text:
            end = text.index("|")
            begin = text.rindex("{", 0, end)
            close = text.index("}", end)
            text = text[:begin] + (text[begin + 1:end], text[end + 1:close])[number] + text[close + 1:]
        yield text.replace("@", "\n")


class ExplainTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name

        def flags_of(name):
            script = f'. {FLAGS}; printf "%s\\n" "${{{name}[@]}}"'
            return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()

        cls.lines = {}
        for name, text in zip(("old", "new"), sources()):
            os.mkdir(cls.path(name))
            with open(cls.path(name, "shop.cc"), "w", encoding="utf-8") as file:
                file.write(text)
            cls.lines[name] = text.splitlines()
            subprocess.run(["g++", "-std=c++17"] + flags_of("compile") + ["-g", "-O2", "-c", "shop.cc"] +
                           (["-DNEW"] if name == "new" else []), cwd=cls.path(name), check=True)
        with open(cls.path("main.cc"), "w", encoding="utf-8") as file:
            file.write("int one, two; int f(int i) { return i; } int g(int i) { return i; } void fill(char*) {} int main() {}\n")
        link = [flag for flag in flags_of("link") if flag != "-Wl,--gc-sections"]
        subprocess.run(["g++", "main.cc", "old/shop.o", "-o", "shop", "-pie"] + link, cwd=cls.folder, check=True)

    @classmethod
    def path(cls, *names):
        return os.path.join(cls.folder, *names)

    def run_differ(self, *options):
        return subprocess.run([DIFFER, "--program", "shop", "--old", "old", "--new", "new", "--allow-type", "Cart",
                               "--json", "report.json", *options], cwd=self.folder, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)

    def explain(self, function):
        result = self.run_differ("--explain", function)
        self.assertEqual(result.returncode, 0, result.stdout)
        with open(self.path("report.json"), encoding="utf-8") as file:
            explanations = json.load(file)["explanations"]
        self.assertEqual(len(explanations), 1, result.stdout)
        self.said = result.stdout
        return explanations[0]

    def expect(self, function, kind, what, line, inlined=None):
        """`line`: a part of the source line that the difference comes from, in the new build."""
        explanation = self.explain(function)
        self.assertEqual(explanation["kind"], kind, self.said)
        self.assertIn(what, explanation["what"], self.said)
        place = explanation["new"]
        self.assertIn(line, self.lines["new"][place["line"] - 1], self.said)
        self.assertEqual(place["file"], self.path("new", "shop.cc"))
        self.assertEqual(explanation["old"]["file"], self.path("old", "shop.cc"))
        self.assertEqual(place["inlined"], inlined or [])
        return explanation

    def test_constant(self):
        self.expect("constant", "constant", "->", "int constant(")
        self.expect("added", "constant", "1 -> 2", "int added(")

    def test_string(self):
        explanation = self.expect("text", "constant", 'string "one" -> "two"', "puts(")
        self.assertEqual(explanation["new"]["instruction"], "lea rdi, [...]")

    def test_callee(self):
        explanation = self.expect("callee", "callee", "calls g(int) in place of f(int)", "int callee(")
        self.assertEqual(explanation["old"]["instruction"], "call f(int)")
        self.assertEqual(explanation["new"]["instruction"], "call g(int)")

    def test_reference(self):
        self.expect("variable", "reference", "refers to two in place of one", "int variable(")

    def test_member(self):
        self.expect("member", "offset", "offset in an object 4 -> 8", "int member(")

    def test_inlined(self):
        self.expect("inlined", "constant", "3 -> 5", "int twice(", ["twice(int)"])
        self.assertIn("in twice(int), which is inlined", self.said)

    def test_code_that_also_moves_the_stack(self):
        self.expect("more", "code", "other code", "fill(buffer);")

    def test_tables(self):
        self.assertIn(self.explain("choice")["kind"], ("code", "constant", "tables"))
        explanation = self.explain("caught")
        self.assertEqual(explanation["kind"], "tables", self.said)

    def test_cold_part(self):
        self.expect("rare", "constant", 'string "a" -> "b"', "throw std::runtime_error")

    def test_not_changed(self):
        self.assertEqual(self.explain("same")["kind"], "none")
        self.assertEqual(self.explain("brought")["kind"], "new")
        result = self.run_differ("--explain", "nowhere")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no function nowhere in the objects that differ", result.stdout)

    def test_all(self):
        said = self.run_differ("--explain", "*").stdout
        for name in "inlined", "constant", "callee", "member", "caught", "rare":
            self.assertIn(f"shop.o: {name}: ", said)
        self.assertNotIn("shop.o: same: ", said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Which objects of two folders instar-diff takes for those of a program, and what it says of those that are not there.

program_objects_test.py INSTAR_DIFF FLAGS_SH
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

DIFFER, FLAGS = (os.path.abspath(path) for path in sys.argv[1:3])
DONE, FAILED, REFUSED, NOTHING = 0, 1, 3, 4

# A program of five sources; one has no code, as a generated table, one has nothing that others know.
SHOP = {
    "main.c": "int total(int); int main(void) { return total(1) == 0; }",
    "shop.c": "extern int (*const table[])(int); int total(int i) { return table[0](i) + 1; }",
    "table.c": "int tax(int); extern int (*const table[])(int); int (*const table[])(int) = {tax};",
    "lib/tax.c": "int rate = 3; int tax(int i) { return i * rate; }",
    "start.c": "static int started; __attribute__((constructor)) static void start(void) { started = 1; }",
}
# Another program whose objects lie in the same folder.
CHECK = {
    "check/main.c": "int rate = 5; int helper(int); int main(void) { return helper(rate); }",
    "check/helper.c": "int helper(int i) { return i - 5; }",
}


def flags_of(name):
    script = f'. {FLAGS}; printf "%s\\n" "${{{name}[@]}}"'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()


COMPILE, LINK = flags_of("compile"), flags_of("link")


class Build:
    """A folder with sources, their objects, and perhaps programs."""

    def __init__(self, folder, sources, **flags):
        self.folder = folder
        for name, text in sources.items():
            self.write(name, text)
        self.run(["gcc"] + COMPILE + ["-g", "-O1", "-c"], sources, flags)

    def run(self, command, sources, flags):
        for name in sources:
            own = flags.get(os.path.basename(name)[:-2], [])
            subprocess.run(command + own + [name, "-o", name[:-2] + ".o"], cwd=self.folder, check=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text + "\n")

    def archive(self, name, objects, keep):
        subprocess.run(["ar", "rcs", name] + objects, cwd=self.folder, check=True)
        for one in [] if keep else objects:
            os.remove(self.path(one))

    def link(self, program, inputs):
        subprocess.run(["gcc"] + inputs + ["-o", program, "-pie"] + LINK, cwd=self.folder, check=True)
        return self.path(program)


def objects_of(sources):
    return [name[:-2] + ".o" for name in sources]


class ProgramObjectsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def build(self, name, *sources, **flags):
        return Build(os.path.join(self.folder, name), {k: v for one in sources for k, v in one.items()}, **flags)

    def shop(self):
        """The old build, linked, and the new one, in which tax() has changed."""
        for name in "old", "new":
            shutil.rmtree(os.path.join(self.folder, name), ignore_errors=True)
        old = self.build("old", SHOP)
        shutil.copytree(old.folder, os.path.join(self.folder, "new"))
        old.link("shop", objects_of(SHOP))
        return old, self.build("new", {"lib/tax.c": SHOP["lib/tax.c"].replace("i * rate", "i * rate + 7")})

    def differ(self, code, *options, program="old/shop", old="old", new="new"):
        report = os.path.join(self.folder, "report.json")
        output = os.path.join(self.folder, "update.so")
        for path in (report, output):
            if os.path.exists(path):
                os.remove(path)
        result = subprocess.run(
            [DIFFER, "--program", program, "--old", old, "--new", new, "-o", output, "--json", report, *options],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.said = result.stdout
        self.assertEqual(result.returncode, code, self.said)
        self.assertEqual(os.path.exists(output), code == DONE, self.said)
        if os.path.exists(report):
            with open(report, encoding="utf-8") as file:
                self.report = json.load(file)
        return self.said

    def changed(self):
        return [change["name"] for change in self.report["changes"] if change["status"] == "changed"]

    def test_links_to_folders_and_what_is_no_file(self):
        old, new = self.shop()
        for build in old, new:
            os.symlink(".", build.path("again"))
            os.symlink("..", build.path("lib/above"))
            # Before and behind the folder that it leads to.
            os.symlink("lib", build.path("a"))
            os.symlink("lib", build.path("z"))
            os.symlink("nowhere", build.path("nothing.o"))
            os.mkfifo(build.path("pipe.o"))
        self.assertIn("5 objects compared, 4 identical", self.differ(DONE))
        self.assertIn("lib/tax.o:", self.said)
        self.assertIn("pipe.o is no file", self.differ(FAILED, "--", "pipe.o"))

    def test_objects_in_a_folder_to_which_a_link_leads(self):
        old, new = self.shop()
        for build in old, new:
            shutil.move(build.path("lib"), os.path.join(self.folder, "lib of " + os.path.basename(build.folder)))
            os.symlink("../lib of " + os.path.basename(build.folder), build.path("lib"))
        self.assertIn("5 objects compared, 4 identical", self.differ(DONE))

    def test_thin_archive(self):
        old, new = self.shop()
        for build in old, new:
            subprocess.run(["ar", "rcsT", "libshop.a", "shop.o", "lib/tax.o"], cwd=build.folder, check=True)
        self.assertIn("5 objects compared, 4 identical", self.differ(DONE))
        self.assertIn("old/libshop.a is a thin archive, which names its objects and does not hold them: give those",
                      self.differ(FAILED, "--", "libshop.a"))

    def test_all_are_there(self):
        self.shop()
        said = self.differ(DONE)
        self.assertNotIn("warning", said)
        self.assertIn("5 objects compared, 4 identical", said)
        self.assertEqual(self.report["not_compared"], [])

    def test_one_is_missing(self):
        for source in SHOP:
            with self.subTest(source):
                old, new = self.shop()
                for build in (old, new):
                    os.remove(build.path(source[:-2] + ".o"))
                said = self.differ(REFUSED)
                self.assertIn(f"was also linked from {source}, and no object of that is given", said)
                self.assertIn(f"--unchanged '{source}'", said)
                if source != "lib/tax.c":
                    self.assertIn(f"not compared: {source}", self.differ(DONE, "--unchanged", source))
                    self.assertEqual(self.report["not_compared"], [source])

    def test_the_author_names_some(self):
        self.shop()
        said = self.differ(DONE, "lib/tax.o")
        self.assertIn("not compared: main.c, shop.c, start.c, table.c", said)
        self.assertIn("1 object compared", said)

    def test_several_programs_in_a_folder(self):
        old, new = self.shop()
        for build in (old, new):
            Build(build.folder, CHECK)
        Build(new.folder, {"check/helper.c": "int helper(int i) { return i - 55; }",
                           "check/extra.c": "int extra(int i) { return i; }"})
        said = self.differ(DONE)
        self.assertIn("3 objects of other programs left out", said)
        self.assertEqual(self.report["left_out"], ["check/extra.o", "check/helper.o", "check/main.o"])
        self.assertEqual(self.changed(), ["tax"])
        # The folder is the other one's just as well.
        old.link("checker", objects_of(CHECK))
        self.differ(DONE, program="old/checker")
        self.assertEqual(self.changed(), ["helper"])

    def test_files_that_are_no_objects(self):
        old, new = self.shop()
        with open(old.path("shop.o"), "rb") as file:
            header = bytearray(file.read())
        header[18] = 247  # BPF
        for build in (old, new):
            build.write("notes.o", "no object")
            build.write("empty.o", "")
            build.write("libnotes.a", "!<arch>")
            with open(build.path("filter.o"), "wb") as file:
                file.write(header)
        self.assertIn("5 objects compared", self.differ(DONE))
        self.assertIn("notes.o is no ELF file", self.differ(FAILED, "notes.o"))
        # One that a compiler has not finished is one that is missing.
        with open(new.path("shop.o"), "wb"):
            pass
        self.assertIn("Has shop.o been built?", self.differ(REFUSED))

    def test_libraries(self):
        old, new = self.shop()
        for build in (old, new):
            build.archive("libtax.a", ["lib/tax.o", "table.o"], keep=True)
        said = self.differ(DONE)
        self.assertIn("5 objects compared, 4 identical", said)
        for build in (old, new):
            os.remove(build.path("lib/tax.o"))
        said = self.differ(DONE)
        self.assertIn("libtax.a(tax.o):\n  changed function tax", said)
        self.assertIn("5 objects compared, 4 identical", said)
        self.assertIn("1 object compared", self.differ(DONE, "libtax.a(tax.o)"))
        self.assertIn("2 objects compared", self.differ(DONE, "libtax.a"))
        self.assertIn("is not in old or new", self.differ(FAILED, "libtax.a(tix.o)"))

    def test_two_members_of_one_name(self):
        sources = {"main.c": "int one(void); int two(void); int main(void) { return one() + two(); }",
                   "a/util.c": "int one(void) { return 1; }", "b/util.c": "int two(void) { return 2; }"}
        old = self.build("old", sources)
        new = self.build("new", sources, {"b/util.c": "int two(void) { return 22; }"})
        for build in (old, new):
            subprocess.run(["ar", "qcs", "libutil.a", "a/util.o", "b/util.o"], cwd=build.folder, check=True)
            os.remove(build.path("a/util.o"))
            os.remove(build.path("b/util.o"))
        old.link("shop", ["main.o", "libutil.a"])
        self.assertIn("libutil.a(util.o#2):\n  changed function two", self.differ(DONE))

    def test_new_objects(self):
        _, new = self.shop()
        Build(new.folder, {
            "lib/tax.c": "int rate = 3; int more(int); int tax(int i) { return more(i * rate); }",
            "lib/more.c": "int most(int); int more(int i) { return most(i) + 1; }",
            "lib/most.c": "int most(int i) { return i + 2; }",
            "unused.c": "int unused(int i) { return i + 2; }",
        })
        self.differ(DONE)
        self.assertEqual(self.report["left_out"], ["unused.o"])
        self.assertEqual(sorted(change["name"] for change in self.report["changes"]), ["more", "most", "tax"])
        # Which of two is meant is nowhere said.
        Build(new.folder, {"lib/other.c": "int most(int i) { return i + 3; }"})
        self.assertIn("most is defined by lib/most.o, lib/other.o", self.differ(REFUSED))
        self.differ(DONE, "--exclude", "lib/oth*")

    def test_moved_to_a_new_object(self):
        _, new = self.shop()
        Build(new.folder, {"shop.c": "int shop;", "sum.c": SHOP["shop.c"].replace("+ 1", "+ 2")})
        self.differ(DONE)
        self.assertEqual(self.changed(), ["tax", "total"])

    def test_statics_that_come_and_go_in_two_files(self):
        counts = "int %s { static int n; return i * rate + ++n; }"
        sources = dict(SHOP, **{"lib/tax.c": "int rate = 3; " + counts % "tax(int i)"})
        old = self.build("old", sources)
        new = shutil.copytree(old.folder, os.path.join(self.folder, "new"))
        old.link("shop", objects_of(sources))
        # n of another function in another file is another variable.
        Build(new, {"lib/tax.c": SHOP["lib/tax.c"], "shop.c": "extern int rate; " + SHOP["shop.c"].replace(
            "int total(int i) {", counts % "count(int i)" + " int total(int i) { return count(i);")})
        said = self.differ(DONE)
        self.assertNotIn("comes from", said)
        self.assertEqual([change["status"] for change in self.report["changes"] if change["name"].startswith("n.")], ["new"])
        # That of a function that has moved is the same one.
        Build(new, {"lib/tax.c": "int rate = 3;", "shop.c": "extern int rate; " + SHOP["shop.c"].replace("+ 1", "+ 2") +
                    counts % "tax(int i)"})
        self.assertIn("comes from lib/tax.o and keeps its value", self.differ(DONE))

    def test_not_built(self):
        _, new = self.shop()
        os.remove(new.path("shop.o"))
        said = self.differ(REFUSED)
        self.assertIn("shop.o: defines total in the old build; in the new one main.o uses it", said)
        # What nobody uses any more may go.
        _, new = self.shop()
        os.remove(new.path("start.o"))
        self.assertIn("start.o: is not in the new build: the program keeps", self.differ(DONE))

    def test_older_than_its_source(self):
        _, new = self.shop()
        source = new.path("lib/tax.c")
        time = os.stat(new.path("lib/tax.o")).st_mtime
        os.utime(source, (time + 1, time + 1))
        self.assertIn(f"lib/tax.o: is older than {source}", self.differ(DONE))

    def test_compiled_twice(self):
        """One object of a source is the program's, another one is not."""
        old, new = self.shop()
        for build in (old, new):
            for flags, name in (["-O2"], "tax-fast.o"), (["-O1"], "tax-same.o"):
                subprocess.run(["gcc"] + COMPILE + ["-g"] + flags + ["-c", "lib/tax.c", "-o", name], cwd=build.folder,
                               check=True)
            build.write("lib/tax.c", "int rate = 3; int tax(int i) { return rate; }")
            os.remove(build.path("tax-fast.o"))
        self.differ(DONE)
        self.assertEqual(self.changed(), ["tax"])
        self.assertIn("5 objects compared", self.said)
        new.run(["gcc"] + COMPILE + ["-g", "-O1", "-c"], ["lib/tax.c"], {})
        self.assertIn("tax-same.o: has the same code as lib/tax.o", self.differ(REFUSED))
        self.differ(DONE, "--exclude", "tax-same.o")

    def test_less_of_the_source(self):
        """An object of the same source, with a part of it, for another program; the one that is the program's has all of that, too."""
        for less in "static int rates[] = {3, 4}; int RATES(int i) { return rates[i]; }", "int nothing(void);":
            with self.subTest(less):
                self.check_less(less)

    def check_less(self, text):
        whole = text.replace("RATES", "rates_of") + " int tax(int i) { return i * 3 ADDED; }"
        old, new = self.shop()
        for build, added in (old, ""), (new, "+ 7"):
            build.write("lib/tax.c", f"#ifdef LESS\n{text.replace('RATES', 'less')} int other(void) {{ return 1; }}\n#else\n{whole.replace('ADDED', added)}\n#endif")
            for flags, name in ([], "lib/tax.o"), (["-DLESS"], "less.o"):
                subprocess.run(["gcc"] + COMPILE + ["-g", "-O1", *flags, "-c", "lib/tax.c", "-o", name], cwd=build.folder, check=True)
        old.link("shop", objects_of(SHOP))
        self.differ(DONE)
        self.assertEqual(self.changed(), ["tax"])
        self.assertEqual(self.report["left_out"], ["less.o"])

    def test_compiled_in_two_folders(self):
        """What was linked is the one whose source was given to the compiler by that name."""
        old, new = self.shop()
        for build in (old, new):
            subprocess.run(["gcc"] + COMPILE + ["-g", "-O1", "-c", "tax.c", "-o", "tax.o"], cwd=build.path("lib"), check=True)
            subprocess.run(["gcc"] + COMPILE + ["-g", "-O1", "-c", "lib/tax.c", "-o", "tax.o"], cwd=build.folder, check=True)
        old.link("shop", objects_of(SHOP))
        self.differ(DONE)
        self.assertEqual(self.changed(), ["tax"])
        self.assertEqual(self.report["left_out"], ["tax.o"])
        old.link("shop", [name.replace("lib/tax.o", "tax.o") for name in objects_of(SHOP)])
        self.differ(DONE)
        self.assertEqual(self.report["left_out"], ["lib/tax.o"])

    def test_hidden_of_one_name(self):
        """Two sources of one name, of which the linker has made all names local: which local names are whose has to be found out."""
        sources = {
            "main.c": "int tax(int); int levy(int); int main(void) { return tax(1) + levy(1) == 0; }",
            "lib/tax.c": "__attribute__((noinline)) static int rate(int i) { return i * 3; } int tax(int i) { return rate(i) + 1; }",
            "other/tax.c": "__attribute__((noinline)) static int rate(int i) { return i * 4; } int levy(int i) { return rate(i) + 2; }",
        }
        hidden = {"tax": ["-fvisibility=hidden"]}
        old = self.build("old", sources, **hidden)
        old.link("shop", objects_of(sources))
        shutil.copytree(old.folder, os.path.join(self.folder, "new"))
        self.build("new", {"lib/tax.c": sources["lib/tax.c"].replace("i * 3", "i * 5")}, **hidden)
        self.differ(DONE)
        self.assertEqual(self.changed(), ["rate"])

    def test_of_another_build(self):
        for source, text, why in (("shop.c", SHOP["shop.c"].replace("+ 1", "+ 4"), "other code for total"),
                                  ("lib/tax.c", SHOP["lib/tax.c"].replace("3", "4"), "other contents of rate")):
            with self.subTest(source):
                old, new = self.shop()
                Build(old.folder, {source: text})
                said = self.differ(REFUSED)
                self.assertIn(f"was also linked from {source} (", said)
                self.assertIn(why, said)
                self.assertIn(why, self.differ(FAILED, source[:-2] + ".o"))
        del new

    def test_stripped(self):
        old, new = self.shop()
        subprocess.run(["objcopy", "--only-keep-debug", "shop", "shop.debug"], cwd=old.folder, check=True)
        subprocess.run(["strip", "shop", "-o", "stripped"], cwd=old.folder, check=True)
        shutil.copy(old.path("stripped"), old.path("linked"))
        subprocess.run(["objcopy", "--add-gnu-debuglink=shop.debug", "linked"], cwd=old.folder, check=True)
        self.assertIn("an object of it that exports nothing would not be missed", self.differ(DONE, program="old/stripped"))
        self.assertNotIn("warning", self.differ(DONE, program="old/linked"))
        for build in (old, new):
            os.remove(build.path("table.o"))
        said = self.differ(REFUSED, program="old/stripped")
        self.assertIn("old/stripped has table from objects that are not given", said)
        self.differ(DONE, "--unchanged", "*", program="old/stripped")
        self.assertIn("was also linked from table.c", self.differ(REFUSED, program="old/linked"))

    def test_after_an_update(self):
        old, new = self.shop()
        Build(new.folder, {"lib/tax.c": "int rate = 3; int more(int); int tax(int i) { return more(i * rate); }",
                           "lib/more.c": "int more(int i) { return i + 1; }"})
        self.differ(DONE)
        os.rename(os.path.join(self.folder, "update.so"), os.path.join(self.folder, "first.so"))
        third = self.build("third", SHOP, {"lib/more.c": "int more(int i) { return i + 2; }",
                                           "lib/tax.c": "int rate = 3; int more(int); int tax(int i) { return more(i * rate); }"})
        self.differ(DONE, "--after", "first.so", old="new", new="third")
        self.assertEqual(self.changed(), ["more"])
        for build in (new, third):
            os.remove(build.path("lib/more.o"))
        said = self.differ(REFUSED, "--after", "first.so", old="new", new="third")
        self.assertIn("lib/more.o: was brought by an update that is applied", said)
        del old


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)

#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Release files: modules that are made from them, and what is refused.

release_test.py INSTAR_RELEASE INSTAR_DIFF FLAGS_SH
"""

import os
import shutil
import subprocess
import sys
import tempfile

RELEASE, DIFF = (os.path.abspath(path) for path in sys.argv[1:3])
DONE, FAILED, USAGE, NOTHING = 0, 1, 2, 4

PRICE = """#include <stdlib.h>
#include "rates.h"
void report(int line);
static int each(void) { static int calls; return BASE + calls++; }
int price(int count) { return count * each(); }
int checked(int count) { if (count < 0) report(__LINE__); return count; }
struct place { const char* file; int line; };
int report_at(const struct place* place);
static inline void set(struct place* place, const char* file, int line) {
  place->file = file;
  place->line = line;
}
int limited(int count) {
  struct place place;
  set(&place, "price.c", __LINE__);
  if (count > 9) report_at(&place);
  return count;
}
"""
NEXT_PRICE = PRICE.replace("count * each()", "count * each() - rebate()").replace(
    "void report", "static int rebate(void) { return 70; }\nvoid report")
MAIN = """#include <stdio.h>
int price(int count);
int checked(int count);
void report(int line) { printf("%d\\n", line); }
struct place { const char* file; int line; };
int report_at(const struct place* place) { return printf("%d\\n", place->line); }
int main(void) { return price(checked(1)); }
"""


def flags(name):
    script = f'. {sys.argv[3]}; printf "%s\\n" "${{{name}[@]}}"'
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()


def run(*command):
    """Runs it; returns its code and what it wrote."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return result.returncode, result.stdout


def expect(code, says, *command):
    seen, text = run(*command)
    assert seen == code and says in text, f"{command}: code {seen}, not {code}, or not {says!r}:\n{text}"
    return text


def write(path, contents):
    with open(path, "wb") as file:
        file.write(contents)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def compile_in(folder, **sources):
    """Compiles these sources, there and in the same place."""
    for name, text in sources.items():
        write(f"{folder}/{name}.c", text.encode())
        expect(DONE, "", "gcc", *flags("compile"), "-g", "-O2", "-c", f"{folder}/{name}.c", "-o", f"{folder}/{name}.o")


def make_two_builds():
    """shop.old: the build that runs. shop: the folder that it was built in, with the next build."""
    os.mkdir("shop")
    # Of a header with macros alone debug information says nothing.
    write("shop/rates.h", b"#define BASE 100\n")
    compile_in(os.path.abspath("shop"), price=PRICE, main=MAIN)
    link = [flag for flag in flags("link") if flag != "-Wl,--gc-sections"]
    expect(DONE, "", "gcc", "shop/main.o", "shop/price.o", "-o", "shop/shop", "-pie", *link)
    expect(DONE, "2 objects, 3 sources", RELEASE, "shop/shop", "-o", "shop.release")
    shutil.copytree("shop", "shop.old", copy_function=shutil.copy2)
    compile_in(os.path.abspath("shop"), price=NEXT_PRICE)


def same_modules():
    """A module is the same, byte by byte, from a release as from folders; and sources are in it."""
    for folder in "from_folders", "from_release", "with_program":
        os.mkdir(folder)
    here = os.getcwd()
    text = expect(DONE, "changed function price", DIFF, "--program", "shop.old/shop", "--old", "shop.old", "--new", "shop",
                  "--old-sources", f"{here}/shop={here}/shop.old", "-o", "from_folders/fix.so")
    assert "but for moved lines" in text and "checked" not in text and "limited" not in text, text
    # What the program and its objects were is not there any more.
    os.rename("shop.old", "elsewhere")
    again = expect(DONE, "changed function price", DIFF, "--old", "shop.release", "--new", "shop", "-o",
                   "from_release/fix.so")
    os.rename("elsewhere", "shop.old")
    assert again == text, again
    assert read("from_release/fix.so") == read("from_folders/fix.so")
    expect(DONE, "", DIFF, "--program", "shop.old/shop", "--old", "shop.release", "--new-object", "price.o=shop/price.o",
           "--new-object", "main.o=shop/main.o", "-o", "with_program/fix.so")
    assert read("with_program/fix.so") == read("from_folders/fix.so")
    expect(DONE, "changed function price", DIFF, "--old", "shop.release", "--new", "shop", "price.o")


def same_release():
    """Two releases of one build are the same, if sources are as they were; edited ones are left out."""
    expect(DONE, "2 objects, 2 sources", RELEASE, "shop.old/shop", "-o", "later.release")
    expect(DONE, "2 objects, 2 sources", RELEASE, "shop.old/shop", "shop.old", "price.o", "main.o", "-o", "again.release")
    assert read("later.release") == read("again.release")
    expect(DONE, "changed function checked", DIFF, "--old", "later.release", "--new", "shop")


def after_a_module():
    shutil.copytree("shop", "shop.fixed", copy_function=shutil.copy2)
    module = "from_release/fix.so"
    expect(DONE, "2 objects", RELEASE, "shop.old/shop", "shop.fixed", "--after", module, "-o", "fixed.release")
    compile_in(os.path.abspath("shop"), price=NEXT_PRICE.replace("return 7", "return 9"))
    text = expect(DONE, "changed function price", DIFF, "--after", module, "--program", "shop.old/shop", "--old",
                  "shop.fixed", "--new", "shop", "-o", "from_folders/more.so")
    assert expect(DONE, "", DIFF, "--after", module, "--old", "fixed.release", "--new", "shop", "-o",
                  "from_release/more.so") == text
    assert read("from_release/more.so") == read("from_folders/more.so")
    for release, after in ("fixed.release", []), ("shop.release", ["--after", module]):
        expect(FAILED, f"{release} is of the state after", DIFF, *after, "--old", release, "--new", "shop")
    expect(FAILED, "is not the object that the last of the modules was made with", RELEASE, "shop.old/shop", "--after", module,
           "-o", "no.release")


def other_objects():
    """Those of other programs are left out, libraries go along whole, and what is missing is refused."""
    shutil.copytree("shop.old", "several", copy_function=shutil.copy2)
    compile_in(os.path.abspath("several"), other="int main(void) { return 3; }\n")
    expect(DONE, "2 objects", RELEASE, "shop.old/shop", "several", "-o", "several.release")
    # Which objects these are is read in the release's own copy of the program.
    os.rename("shop.old", "elsewhere")
    expect(NOTHING, "", DIFF, "--old", "several.release", "--new", "several")
    os.rename("elsewhere", "shop.old")
    os.mkdir("several/lib")
    expect(DONE, "", "ar", "rcs", "several/lib/libprice.a", "several/price.o")
    os.remove("several/price.o")
    os.remove("several/other.o")
    expect(DONE, "2 objects", RELEASE, "shop.old/shop", "several", "-o", "several.release")
    _, listed = run("tar", "--zstd", "-tf", "several.release")
    assert "objects/lib/libprice.a\n" in listed and "price.o" not in listed, listed
    expect(DONE, "", "ar", "rcs", "several/lib/libprice.a", "shop/price.o")
    expect(DONE, "changed function price", DIFF, "--old", "several.release", "--new", "several")
    shutil.rmtree("several/lib")
    expect(FAILED, "shop/price.c, and no object of that is given", RELEASE, "shop.old/shop", "several", "-o", "no.release")
    expect(DONE, "1 objects", RELEASE, "shop.old/shop", "several", "--unchanged", "*/price.c", "-o", "several.release")
    expect(NOTHING, "", DIFF, "--old", "several.release", "--new", "several")


def names_and_sources():
    """Names may be any UTF-8, in any locale; a source that is a folder now is none."""
    shutil.copytree("shop.old", "names", copy_function=shutil.copy2)
    os.rename("names/price.o", "names/pr\u00efce.o")
    expect(DONE, "2 objects, 2 sources", RELEASE, "shop.old/shop", "names", "-o", "names.release")
    shutil.copytree("names", "names.next", copy_function=shutil.copy2)
    shutil.copy2("shop/price.o", "names.next/pr\u00efce.o")
    expect(DONE, "changed function price", DIFF, "--old", "names.release", "--new", "names.next")
    os.rename("names/pr\u00efce.o", b"names/pr\xefce.o")
    expect(FAILED, 'the name "pr\\357ce.o" is no UTF-8', RELEASE, "shop.old/shop", "names", "-o", "no.release")
    assert not os.path.exists("no.release")
    os.rename("shop/main.c", "main.c")
    os.mkdir("shop/main.c")
    os.utime("shop/main.c", (0, 0))
    expect(DONE, "2 objects, 1 sources", RELEASE, "shop.old/shop", "-o", "names.release")
    os.rmdir("shop/main.c")
    os.rename("main.c", "shop/main.c")


def refused():
    expect(DONE, "", "gcc", "shop/main.o", "shop/price.o", "-o", "other", "-pie", "-Wl,--build-id=sha1")
    expect(FAILED, "shop.release is of another build of shop (", DIFF, "--program", "other", "--old", "shop.release", "--new",
           "shop")
    expect(FAILED, "was not linked from price.o (it has other code for price)", RELEASE, "shop.old/shop", "shop", "-o",
           "no.release")
    expect(FAILED, "nothing.o is not in shop.old", RELEASE, "shop.old/shop", "shop.old", "nothing.o", "-o", "no.release")
    expect(FAILED, "no objects (*.o, *.a) below from_folders", RELEASE, "shop.old/shop", "from_folders", "-o", "no.release")
    expect(FAILED, "cannot be written", RELEASE, "shop.old/shop", "-o", "nowhere/no.release")
    expect(FAILED, "a temporary folder cannot be made ($TMPDIR)", "env", "TMPDIR=nowhere", DIFF, "--old", "shop.release",
           "--new", "shop")
    assert not os.path.exists("no.release")
    expect(FAILED, "nowhere.release is not there", DIFF, "--old", "nowhere.release", "--new", "shop")
    expect(FAILED, "nothing.o is not in ", DIFF, "--old", "shop.release", "--new", "shop",
           "nothing.o")
    expect(FAILED, "is no release file", DIFF, "--old", "shop.old/shop", "--new", "shop")
    expect(USAGE, "--program is needed", DIFF, "--old", "shop.old", "--new", "shop")
    whole = read("shop.release")
    for size in list(range(0, len(whole), len(whole) // 7)) + [len(whole) - 1]:
        write("short.release", whole[:size])
        expect(FAILED, "short.release is no release file", DIFF, "--old", "short.release", "--new", "shop")
    right = run(DIFF, "--old", "shop.release", "--new", "shop")
    for at in range(len(whole) // 5, len(whole) - 8, len(whole) // 5):
        write("changed.release", whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1:])
        same = run(DIFF, "--old", "changed.release", "--new", "shop") == right  # what is kept has not changed
        assert same or expect(FAILED, "changed.release is no release file", DIFF, "--old", "changed.release", "--new", "shop")


def main():
    for index in range(1, 4):
        sys.argv[index] = os.path.abspath(sys.argv[index])
    with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR")) as folder:
        os.chdir(folder)
        make_two_builds()
        for check in same_modules, same_release, after_a_module, other_objects, names_and_sources, refused:
            check()
            print("ok", check.__name__)
        os.chdir("/")
    return 0


if __name__ == "__main__":
    sys.exit(main())

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers of lines: in code, in data, and in names that macros make."""

from case import DONE, NOTHING, REFUSED, Case

# A text that has its line.
LINE_OF_TEXT = """#define TEXT(x) #x
#define TEXT_OF(x) TEXT(x)
void say(const char* s) { (void)s; }
%svoid f(void) { say("t.c:" TEXT_OF(__LINE__) " here"); }"""


# A site of a log, as it is on line 4.
SITE = """struct site { const char* file; int line; int hits; };
void hit(struct site* s) { ++s->hits; }
%s
int f(int i) { %s struct site s = {%s}; hit((struct site*)&s); return i; }"""
REGISTERED = """#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)
struct Reg { Reg(int (*f)(int)); int (*fn)(int); };
Reg* last;
Reg::Reg(int (*f)(int)) : fn(f) { last = this; }
#define REGISTER(f) static Reg JOIN(reg_, __LINE__)(f)
%s
REGISTER(f);
int g(int i) { return i + 1; }
REGISTER(g);"""
COUNTED = """#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)
#define COUNTER(n) static int JOIN(v_, __LINE__); int n(void) { return ++JOIN(v_, __LINE__); }
%sCOUNTER(a)
COUNTER(b)"""
HANDLED = """#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)
typedef int (*handler)(int);
handler first, second;
#define HANDLER(n, op) static int JOIN(h_, __LINE__)(int i) { return i op 5; } handler n(void) { return JOIN(h_, __LINE__); }
__attribute__((noinline)) int run(int i) { return first(second(i)); }
%s"""
INSIDE = """#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)
#define NAMED(n) static int JOIN(h_, __LINE__)(int i); int n(int i) { return JOIN(h_, __LINE__)(i); } int JOIN(h_, __LINE__)(int i)
int (*kept)(int);
%sNAMED(a) { %s }"""
EVERY = """#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)
#define EVERY(what) static int JOIN(n_, __LINE__); if (++JOIN(n_, __LINE__) > 3) { what; }
int k; void f(void) { %s
EVERY(k += 2)
EVERY(k += 3)
}"""
TABLE = """#define N (%d + 5)
int pad;
%s
static const int t[] = {N, 1};
int f(int i) { return t[i]; }
""" + 60 * "int f(int);\n"
ADDED = "int g(void) { return 9; }\n"
LINED = '"t.c", __LINE__'
LINED_BELOW = '.file = "t.c",\n.line =\n__LINE__'


def with_header(before):
    return {"t.c": '#include "t.h"\nint at;\n__attribute__((noipa)) void say(int line) { at = line; }\nint f(int i) { check(i); return i; }',
            "t.h": "void say(int line);\n" + before + "static inline void check(int i) { if (i < 0) say(__LINE__); }"}


CASES = [
    Case("text that has its line", LINE_OF_TEXT % "", LINE_OF_TEXT % "int g(void) { return 9; }\n", NOTHING,
         "1 of them but for moved lines", suffix="c"),
    Case("text with the number of its line that the source spells", LINE_OF_TEXT % "",
         LINE_OF_TEXT.replace("TEXT_OF(__LINE__)", '"5"') % "int g(void) { return 9; }\n", DONE, "changed function f",
         suffix="c"),
    Case("line in a static variable", SITE % ("", "static", LINED),
         SITE % (ADDED, "static", LINED), NOTHING, "2 functions the same", suffix="c"),
    Case("line in a static constant", SITE % ("", "static const", LINED),
         SITE % (ADDED, "static const", LINED), NOTHING, "2 functions the same", suffix="c"),
    Case("line of an initializer of several lines", SITE % ("", "static", LINED_BELOW),
         SITE % (ADDED, "static", LINED_BELOW), NOTHING, "2 functions the same", suffix="c"),
    Case("line in a static variable that the source spells", SITE % ("", "static", LINED),
         SITE % (ADDED, "static", '"t.c", 5'), REFUSED, "has other contents", suffix="c"),
    Case("number in a static variable that is no line", SITE % ("enum { K = 2 };", "static", '"t.c", K'),
         SITE % ("enum { K = 3 };", "static", '"t.c", K'), REFUSED, "has other contents", suffix="c"),
    Case("number in a static variable that is a line, and is spelled elsewhere",
         "enum { K = 5 };\n" + SITE % ("", "static", '"t.c", K'),
         "enum { K = 6 };\n\n" + SITE % ("", "static", '"t.c", K'), REFUSED, "has other contents", suffix="c"),
    Case("registrations named by their lines", REGISTERED % "int f(int i) { return i + 1; }",
         REGISTERED % "int f(int i) {\n  return i + 2;\n}", DONE, "changed function f", never="reg_"),
    Case("statics named by their lines, which get the names of others", COUNTED % "", COUNTED % ADDED, NOTHING,
         "2 functions the same", suffix="c", never="v_"),
    Case("statics named by their lines, one more", COUNTED % "", COUNTED % "COUNTER(h)\n", NOTHING, "2 functions the same",
         suffix="c"),
    Case("statics named by their lines, two that change places", COUNTED % "", COUNTED.replace("(a)\nCOUNTER(b)", "(b)\nCOUNTER(a)")
         % "", NOTHING, "2 functions the same", suffix="c"),
    Case("functions named by their lines, which get the names of others", HANDLED % "HANDLER(a, +)\nHANDLER(b, -)",
         HANDLED % "int g(void) { return 9; }\nHANDLER(a, +)\nHANDLER(b, -)", NOTHING, "5 functions the same", suffix="c"),
    Case("functions named by their lines, one of which is another", HANDLED % "HANDLER(a, +)\nHANDLER(b, -)",
         HANDLED % "HANDLER(b, -)\nHANDLER(c, *)", REFUSED, "h_7 before, h_8 now", suffix="c", never="changed function h_"),
    Case("function named by its line that is edited", HANDLED % "HANDLER(a, +)\nHANDLER(b, -)",
         HANDLED % "HANDLER(a, +)\nHANDLER(b, *)", DONE, "changed function h_8", suffix="c", never="gone"),
    Case("function named by its line that is edited and moves", HANDLED % "HANDLER(a, +)\nHANDLER(b, -)",
         HANDLED % (ADDED + "HANDLER(a, +)\nHANDLER(b, *)"), REFUSED, "cannot be told apart", suffix="c"),
    Case("static of a function named by its line", INSIDE % ("", "static int n; return n += i;"),
         INSIDE % (ADDED, "static int n; return n += i;"), NOTHING, "1 function the same", suffix="c", never="n.0"),
    Case("static of a function named by its line, with an initializer", INSIDE % ("", "static int n = kept(i); return n += i;"),
         INSIDE % (ADDED, "static int n = kept(i); return n += i;"), REFUSED, "is initialized by the first call"),
    Case("lambda of a function named by its line", INSIDE % ("", "auto l = [](int j) { return j; }; kept = l; return kept(i);"),
         INSIDE % (ADDED, "auto l = [](int j) { return j; }; kept = l; return kept(i);"), NOTHING, "functions the same", never="gone"),
    Case("statics of one function named by their lines", EVERY % "", EVERY % "\n", NOTHING, "1 function the same", suffix="c"),
    Case("statics of one function named by their lines, one more", EVERY % "", EVERY % "EVERY(k += 5);\n", DONE,
         "new variable n_4.", suffix="c", never="cannot be told"),
    Case("static with the number of its line that others know then", "\n\nstatic int v_3; int f(void) { return ++v_3; }",
         "\n\nint v_3; int f(void) { return v_3 += 2; }", DONE, "changed function f", suffix="c", never="new variable"),
    Case("number of a line in a table that the line is not in", TABLE % (30, ""), TABLE % (31, "\n"), DONE,
         "changed function f", suffix="c"),
    Case("number of a line that is spelled with zeros before it", SITE % ("#define N 004", "static const", '"t.c", N'),
         SITE % ("#define N 005\n", "static const", '"t.c", N'), DONE, "changed variable s", suffix="c"),
    Case("number of a line that is spelled with a point behind it", SITE % ("#define N 4.0", "static const", '"t.c", N'),
         SITE % ("#define N 5.0\n", "static const", '"t.c", N'), DONE, "changed variable s", suffix="c"),
    Case("static whose own name has the number of its line", "\n\nstatic int v_3; int f(void) { return ++v_3; }",
         "int g(void) { return 9; }\n\n\nstatic int v_3; int f(void) { return v_3 += 2; }", DONE, "changed function f",
         suffix="c", never="v_3"),
    Case("line of a header", with_header(""), with_header("\n"), NOTHING, "1 of them but for moved lines"),
    Case("line of a header that spells the number, too", with_header(""), with_header("#define THREE 3\n"), DONE,
         "changed function f"),
    Case("line of a source whose header of declarations has a folder of its own",
         {"include/d.h": "struct D { int i; };", "include/k.h": "#define K 77", "t.c": '#include "d.h"\n#include "k.h"\n'
          "struct D d; void say(int l); void say(int l) { d.i = l; }\nint f(int i) { if (i) say(__LINE__); return K; }"},
         {"include/d.h": "struct D { int i; };", "include/k.h": "#define K 77", "t.c": '#include "d.h"\n#include "k.h"\n'
          "struct D d; void say(int l); void say(int l) { d.i = l; }\n\nint f(int i) { if (i) say(__LINE__); return K; }"},
         NOTHING, "1 of them but for moved lines", flags=[["-fno-ipa-cp", "-fno-inline"], ["-fno-ipa-cp", "-fno-inline"]]),
]

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Changes that look like less than they are: what has one name in both builds is two things, or one thing has two names."""

from case import DONE, NOTHING, REFUSED, Case


def levels(first, second, suffix="c"):
    """Two files that use a variable, as each declares it."""
    return {"a." + suffix: first + " int f(int i) { return level += i; }",
            "b." + suffix: second + " int g(int i) { return level -= i; }"}


# A coroutine that a build may compile.
COROUTINE = """
#include <coroutine>
struct Task {
  struct promise_type {
    Task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
  std::coroutine_handle<promise_type> handle;
};
struct A {}; struct B {};
__attribute__((noipa)) void g() {} int n;
Task f() { co_await std::suspend_always(); try { g(); } catch (%s&) { n++; } co_return; }
"""
LOCAL_CLASSES = """
struct B { virtual int v() = 0; };
B* f(int i, int j) {
  if (i) { struct L : B { int v() override { return %s; } }; return new L; }
  %s
  struct L : B { int v() override { return %s; } }; return new L;
}
"""
TWO_STATICS = "int f(int i) { if (i > 2) { static int n; n += i; return n; } { static int n; n += %s; return n %s; } }"
SWAPPED_STATICS = ("int f(int i) { int r = 0;\n { static int n; n += 3; r += n; }\n { static int n; n += 5; r += n; }\n return r + i; }",
                   "int f(int i) { int r = 0;\n { static int n; n += 5; r += n; }\n { static int n; n += 3; r += n; }\n return r - i; }")

COUNTS = "static int n; int %s(int i) { n += i; return n %s; }"

# A type that only what a pointer to void leads to is of.
TYPE = "#include <stdlib.h>\nvoid* p; struct S { int %s; }; int f(int i) { %s }"
TYPE_USED = "if (!p) { struct S* s = malloc(sizeof *s); s->a = 5; s->b = i; p = s; } return ((struct S*)p)->a;"
# Its thunk is a copy of the inline one, in its section; of the other one it has a section of its own.
SECOND_BASE = """
struct A { int a = 1; virtual int v() { return a; } };
struct B { int b = 2; virtual int w() = 0; };
struct V : A, B { int c = 3; int w() override %s };
%s
B* made() { return new V; }
"""


def two_weak(first, second, third, is_first=False):
    """Old and new files, of which one changes."""
    weak = "__attribute__((weak)) int f(void) { return %d; } "
    files = {"a.c": weak % first + "int a(void) { return f(); }", "b.c": weak % second + "int b(void) { return f(); }"}
    name = "a.c" if is_first else "b.c"
    return files, {**files, name: weak % third + f"int {name[0]}(void) {{ return f() + 1; }}"}


def two_inline(old, new):
    text = "inline __attribute__((noinline)) int f(int i) { return i + %s; } int %s(int i) { return f(i); }"
    return [{name + ".cc": text % (value, name) for name, value in zip("ab", values)} for values in (old, new)]


CASES = [
    # Lambdas and local classes.
    Case("both lambdas of a function",
         "#include <functional>\nusing F = std::function<int()>;\n"
         "F f(int i) { if (i) return [i] { return i + 1; }; return [i] { return i + 2; }; }",
         "#include <functional>\nusing F = std::function<int()>;\n"
         "F f(int i) { if (i) return [i] { return i + 5; }; return [i] { return i + 7; }; }",
         DONE, "changed function f(int)"),
    Case("local class whose number moves", LOCAL_CLASSES % (1, "", 2),
         LOCAL_CLASSES % (1, "if (j) { struct L : B { int v() override { return 4; } }; return new L; }", 2), DONE,
         "which of several classes of that name it was before cannot be told"),
    Case("local classes that change places", LOCAL_CLASSES % (1, "", 2), LOCAL_CLASSES % (2, "", 1), DONE,
         "which of several classes of that name it was before cannot be told"),
    Case("what a coroutine catches", COROUTINE % "A", COROUTINE % "B", DONE, "changed function f()"),
    # Variables of one name.
    Case("static that goes in one file and comes in another",
         {"a.c": "static int count; int f(int i) { count += i; return count; }", "b.c": "int g(int i) { return i; }"},
         {"a.c": "int f(int i) { return i; }", "b.c": "static int count; int g(int i) { count -= i; return count; }"}, REFUSED,
         "variable count may be one that was in a.o before, or a new one"),
    Case("static that goes to another file with its function",
         {"a.c": "static int count; int f(int i) { count += i; return count; } int a() { return 1; }",
          "b.c": "int g(int i) { return i; }"},
         {"a.c": "int a() { return 2; }",
          "b.c": "static int count; int f(int i) { count += i; return count; } int g(int i) { return i; }"}, DONE,
         "variable count comes from a.o and keeps its value"),
    Case("two statics of a function of C++ that change places", *SWAPPED_STATICS, REFUSED,
         "cannot be told apart, and f(int), which uses one, has changed"),
    Case("two statics of a function of C that change places", *SWAPPED_STATICS, REFUSED,
         "cannot be told apart, and f, which uses one, has changed", suffix="c"),
    Case("two statics of a function with other first values",
         SWAPPED_STATICS[0].replace("int n;", "int n = 7;", 1), SWAPPED_STATICS[0].replace("int n;", "int n = 7;", 1)
         .replace("r + i", "r - i"), DONE, "changed function f(int)"),
    Case("two variables of a section that change places",
         '__attribute__((section("mine"))) int a = 1; __attribute__((section("mine"))) int b = 1; '
         "int f(int i) { a += i; return a; } int g(int i) { b -= i; return b; }",
         '__attribute__((section("mine"))) int b = 1; __attribute__((section("mine"))) int a = 1; '
         "int f(int i) { a += i; return a; } int g(int i) { b -= i; return b; }", REFUSED,
         "mine has changed (where its variables are)", suffix="c"),
    Case("static that goes into an anonymous namespace", "static int n; int f(int i) { n += i; return n; }",
         "namespace { int n; } int f(int i) { n += i; return n + 1; }", DONE, "changed function f(int)", never="new variable"),
    Case("static of a function that goes into an anonymous namespace",
         "struct T { int a; }; static __attribute__((noinline)) int g(T& t, T&) { static int n; return n += t.a; } "
         "int f(T* t) { return g(*t, *t); }",
         "struct T { int a; }; namespace { __attribute__((noinline)) int g(T& t, T&) { static int n; return n += t.a + 1; } } "
         "int f(T* t) { return g(*t, *t); }", DONE, "changed function f(T*)", never="new variable"),
    Case("static that gets an initializer that runs", "int g(int); int f(int i) { static int n = 4; n += i; return n; }",
         "int g(int i) { return i; } int f(int i) { static int n = g(4); n += i; return n + 1; }", REFUSED,
         "would be initialized again", link="old", options=[]),
    Case("labels in a static", "int f(int i) { static void* next; if (next) goto *next; next = &&later; return i; "
         "later: next = 0; return i + 1; }",
         "int f(int i) { static void* next = &&later; if (i == 7) goto *next; next = &&later; return i; "
         "later: next = 0; return i + 3; }", REFUSED, "labels", suffix="c", flags=[["-O0"], ["-O0"]]),
    # Layouts.
    Case("enumerators that move, kept in an int",
         "enum E { A, B }; int kept; void f(int i) { enum E e = i + A; kept = e; } int g() { return kept == B; }",
         "enum E { X, A, B }; int kept; void f(int i) { enum E e = i + A; kept = e; } int g() { return kept == B; }", REFUSED,
         "A was 0, is 1", suffix="c"),
    Case("enumerators of an enumeration without a name", "enum { A = 1, B }; int kept; void f() { kept = B; } int g() { return kept == B; }",
         "enum { X = 1, A, B }; int kept; void f() { kept = B; } int g() { return kept == B; }", REFUSED,
         "B was 2, is 3", suffix="c"),
    Case("type that gets another name and another layout",
         "void* kept; struct S { int count; int size; }; int f() { struct S* s = kept; return s->count - s->size; }",
         "void* kept; struct T { int size; int count; }; int f() { struct T* s = kept; return s->count - s->size; }", REFUSED,
         "type struct T", suffix="c"),
    Case("type that gets another name", "void* kept; struct S { int count; int size; }; int f() { struct S* s = kept; return s->count; }",
         "void* kept; struct T { int count; int size; }; int f() { struct T* s = kept; return s->size; }", DONE,
         "changed function f", suffix="c"),
    Case("type of an anonymous namespace that goes to another file",
         {"a.cc": "namespace { struct S { int a, b; }; } void* kept; int f() { S* s = (S*)kept; return s->a; }",
          "b.cc": "int g(int i) { return i; }"},
         {"a.cc": "void* kept; int g(int i);",
          "b.cc": "namespace { struct S { int b, a; }; } extern void* kept; int f() { S* s = (S*)kept; return s->a; } "
          "int g(int i) { return i; }"}, REFUSED, "type struct (anonymous namespace)::S"),
    Case("padding of a static, which a local variable may have been copied to",
         "struct S { char a; int b; }; struct S s; void f(char a) { struct S t; t.a = a; t.b = 1; s = t; } int g() { return s.b; }",
         "struct S { char a; char c; int b; }; struct S s; void f(char a) { struct S t; t.a = a; t.b = 1; t.c = 2; s = t; } "
         "int g() { return s.b + s.c; }", REFUSED, "--allow-type 'S'", suffix="c"),
    Case("padding of a static", "struct S { char a; int b; }; struct S s; void f(char a) { s.a = a; } int g() { return s.b; }",
         "struct S { char a; char c; int b; }; struct S s; void f(char a) { s.a = a; } int g() { return s.b + s.c; }", DONE,
         "the padding of static variables, which is zero", suffix="c"),
    Case("padding of a static, without optimization",
         "struct S { char a; int b; }; struct S s; void f(char a) { s.a = a; } int g() { return s.b; }",
         "struct S { char a; char c; int b; }; struct S s; void f(char a) { s.a = a; } int g() { return s.b + s.c; }", REFUSED,
         "--allow-type 'S'", suffix="c", flags=[["-O0"], ["-O0"]]),
    # Signatures.
    Case("result of a function of C++", "__attribute__((noinline)) int g(int i) { return i + 1; } void f() { for (;;) g(1); }",
         "__attribute__((noinline)) long g(int i) { return i + 2; } void f() { for (;;) g(1); }", REFUSED,
         "f() is never left, and would call long int g(int)", flags=[["-fno-inline"], ["-fno-inline"]]),
    Case("signature of a function in a constant table",
         "static int g(int i) { return i + 1; } int (*const t[])(int) = {g, g}; int n; void loop() { for (;;) t[n](2); }",
         "static int g(int i, int j) { return i + j; } int (*const t[])(int, int) = {g, g}; int n; "
         "void loop() { for (;;) t[n](2, 5); }", REFUSED, "loop is never left, and would call int g(int, int)", suffix="c"),
    Case("signature of a function whose address is kept",
         "void* kept; static int g(int i) { return i + 1; } void f() { kept = (void*)g; } int h() { return g(2); }",
         "void* kept; static int g(int i, int j) { return i + j; } void f() { kept = (void*)g; } int h() { return g(2, 3); }",
         REFUSED, "f keeps the address of int g(int)", suffix="c", flags=[["-fno-inline"], ["-fno-inline"]]),
    # Constants.
    Case("constant of a header that is a number of a line, too",
         {"t.c": '#include "k.h"\nint f(int* x) {\n\n\n\n  *x = K;\n  return 0; }', "k.h": "#define K 6"},
         {"t.c": '#include "k.h"\nint f(int* x) {\n\n\n\n\n  *x = K;\n  return 0; }', "k.h": "#define K 7"}, DONE,
         "changed function f", options=["--old-sources", "new=old"]),
    Case("numbers in an array whose places change", "int t[] = {10, 20, 30}; int f(int i) { return t[i]; } void g(int i) { t[i] = 1; }",
         "int t[] = {20, 10, 30}; int f(int i) { return t[i + 1]; } void g(int i) { t[i] = 1; }", REFUSED,
         "variable t has other contents", suffix="c"),
    Case("what main() catches", "struct A {}; void g(int); int f() { try { g(1); } catch (A&) { return 1; } return 0; } "
         "void loop() { try { for (;;) g(1); } catch (A&) {  } for (;;) g(2); } void g(int i) { if (i == 2) throw A(); }",
         "struct A {}; struct B {}; void g(int); int f() { try { g(1); } catch (A&) { return 1; } return 0; } "
         "void loop() { try { for (;;) g(1); } catch (A&) { } catch (B&) { } for (;;) g(2); } void g(int i) { if (i == 2) throw B(); }",
         REFUSED, "loop() is never left, and catches"),
    # What comes too late.
    Case("what runs once at start", "int n; __attribute__((noinline)) static void up(void) { n = 1; } void loop(void) { up(); for (;;) n++; }",
         "int n; __attribute__((noinline)) static void up(void) { n = 2; } void loop(void) { up(); for (;;) n++; }", DONE,
         "only loop uses up, and is never left", suffix="c"),
    Case("new variable", "int f(int i) { return i; }", "static int calls; int f(int i) { calls++; return i + calls; }", DONE,
         "new variables start with their first values (calls)", suffix="c"),
    # A name that is one thing's in one build, and another one's in the other.
    Case("static function of a name that a global one takes",
         {"a.c": "static __attribute__((noinline)) int f(int i) { return i + 1; } int fa(int i) { return f(i); }",
          "b.c": "int f(int i) { return i + 100; } int fb(int i) { return f(i); }", "c.c": "int f(int); int fc(int i) { return f(i); }"},
         {"a.c": "int f(int i) { return i + 200; } int fa(int i) { return f(i); }",
          "b.c": "int f(int); int fb(int i) { return f(i); }", "c.c": "int f(int); int fc(int i) { return f(i); }"}, DONE,
         "2 functions the same; 2 functions to be redefined"),
    Case("static variable, beside one of a function, of a name that a global one takes",
         {"a.c": "static int n; int f(int i) { static int n; return n += i; } int fa(int i) { return n += i; }",
          "b.c": "int n; int fb(int i) { return n += i; }"},
         {"a.c": "int n; int f(int i) { static int n; return n += i; } int fa(int i) { return n += i; }",
          "b.c": "extern int n; int fb(int i) { return n += i; }"}, REFUSED,
         "static variables of one name cannot be told apart"),
    Case("static variable of a name that a global one takes",
         {"a.c": "static int count; int fa(int i) { return count += i; }", "b.c": "int count; int fb(int i) { return count += i; }"},
         {"a.c": "int count; int fa(int i) { return count += i; }", "b.c": "extern int count; int fb(int i) { return count += i; }"},
         DONE, "changed function fa"),
    Case("alias of a static", "static int count; int f(int i) { return count += i; }",
         'static int count; extern int other __attribute__((alias("count"))); int f(int i) { return count += i + 1; }', DONE,
         "changed function f", suffix="c", never="new variable"),
    Case("thread_local variable that gets an initializer that runs",
         "int g(int i) { return i; } thread_local int n = 4; int f(int i) { n += i; return n; }",
         "int g(int i) { return i; } thread_local int n = g(4); int f(int i) { n += i; return n; }", REFUSED,
         "thread_local variables get initializers that run"),
    Case("new variable with an initializer of a priority", "int f(int i) { return i; }",
         "struct V { int i; V(int i) : i(i + 1) {} __attribute__((noinline)) int get() { return i; } }; int one = 1; "
         "V v __attribute__((init_priority(200))) (one); int f(int i) { return i + v.get(); }", REFUSED,
         "is new and has an initializer that runs"),
    Case("name that is no linkage name", "int _Z99999999999999999999999(int i) { return i; }",
         "int _Z99999999999999999999999(int i) { return i + 1; }", DONE, "changed function", suffix="c"),
    Case("lambdas of three blocks, of which one captures other things",
         "#include <functional>\n#include <vector>\nstd::vector<std::function<int()>> v;\n"
         "void f(int k, int a, int b) {\n if (k == 0) { v.push_back([a] { return a; }); return; }\n"
         " if (k == 1) { v.push_back([a] { return a + 1; }); return; }\n v.push_back([b, a] { return b * 100 + a; }); }",
         "#include <functional>\n#include <vector>\nstd::vector<std::function<int()>> v;\n"
         "void f(int k, int a, int b) {\n if (k == 0) { v.push_back([b, a] { return b * 1000 + a; }); return; }\n"
         " if (k == 1) { v.push_back([a] { return a + 1; }); return; }\n v.push_back([b, a] { return b * 100 + a; }); }", REFUSED,
         "type struct f(int, int, int)::{lambda()#1} (4 -> 8 bytes)"),
    Case("structures of one name in three blocks",
         "void* kept[3]; int f(int k) { if (k == 0) { struct S { int a, b; }; static struct S s; kept[0] = &s; return s.a; } "
         "if (k == 1) { struct S { int a, b; }; static struct S t; kept[1] = &t; return t.a; } "
         "{ struct S { int b, a; }; static struct S u; kept[2] = &u; return u.a; } }",
         "void* kept[3]; int f(int k) { if (k == 0) { struct S { int b, a; }; static struct S s; kept[0] = &s; return s.a; } "
         "if (k == 1) { struct S { int a, b; }; static struct S t; kept[1] = &t; return t.a; } "
         "{ struct S { int b, a; }; static struct S u; kept[2] = &u; return u.a; } }", REFUSED, "names several types", suffix="c"),
    Case("constant of a template that is instantiated elsewhere",
         {"k.h": "template <class T> struct K { static const int limit; }; extern template struct K<int>;",
          "a.cc": '#include "k.h"\ntemplate <class T> const int K<T>::limit = 5; template struct K<int>;',
          "c.cc": '#include "k.h"\nint f() { return K<int>::limit; }'},
         {"k.h": "template <class T> struct K { static const int limit; }; extern template struct K<int>;",
          "a.cc": '#include "k.h"\ntemplate <class T> const int K<T>::limit = 6; template struct K<int>;',
          "c.cc": '#include "k.h"\nint f() { return K<int>::limit; }'}, DONE, "changed function f()"),
    Case("constant with a weak definition, too",
         {"a.c": "__attribute__((weak)) const int limit = 1;", "b.c": "const int limit = 5;",
          "c.c": "extern const int limit; int f(void) { return limit; }"},
         {"a.c": "__attribute__((weak)) const int limit = 1;", "b.c": "const int limit = 6;",
          "c.c": "extern const int limit; int f(void) { return limit; }"}, DONE, "changed function f"),
    Case("constant that is used by its other name",
         {"a.c": 'const int limit = 5; extern const int other __attribute__((alias("limit")));',
          "c.c": "extern const int other; int f(void) { return other; }"},
         {"a.c": 'const int limit = 6; extern const int other __attribute__((alias("limit")));',
          "c.c": "extern const int other; int f(void) { return other; }"}, DONE, "changed function f"),
    Case("object on the stack of a loop",
         "void* kept; void step(void); struct S { int a, b; }; int get(void) { return ((struct S*)kept)->a; } "
         "void loop(void) { struct S s; s.a = 1; s.b = 2; kept = &s; for (;;) step(); } void step(void) {}",
         "void* kept; void step(void); struct S { int b, a; }; int get(void) { return ((struct S*)kept)->a; } "
         "void loop(void) { struct S s; s.a = 1; s.b = 2; kept = &s; for (;;) step(); } void step(void) {}", REFUSED,
         "--allow-type 'S'", suffix="c", flags=[["-fno-inline"], ["-fno-inline"]]),
    Case("padding of a union's member",
         "struct S { char a; int b; }; static union { struct S s; unsigned raw[2]; } u; "
         "void set(unsigned r) { u.raw[0] = r; } int f(void) { return u.s.a; }",
         "struct S { char a; char c; int b; }; static union { struct S s; unsigned raw[2]; } u; "
         "void set(unsigned r) { u.raw[0] = r; } int f(void) { return u.s.a + u.s.c; }", REFUSED, "--allow-type 'S'", suffix="c"),
    Case("two statics with texts that change places",
         'int f(int i) { if (i) {\n static const char* n = "a"; if (i == 2) n = "x"; return n[0]; }\n'
         ' { static const char* n = "b"; if (i == 3) n = "y"; return n[0]; } }',
         'int f(int i) { if (!i) {\n static const char* n = "b"; if (i == 3) n = "y"; return n[0]; }\n'
         ' { static const char* n = "a"; if (i == 2) n = "x"; return n[0]; } }', REFUSED, "cannot be told apart"),
    Case("hexadecimal constant of a header that is a number of a line, too",
         {"t.c": '#include "k.h"\nint f(int* x) {\n\n\n\n  *x = K;\n  return 0; }', "k.h": "#define K 0x6"},
         {"t.c": '#include "k.h"\nint f(int* x) {\n\n\n\n\n  *x = K;\n  return 0; }', "k.h": "#define K 0x7"}, DONE,
         "changed function f"),
    Case("variables whose names end like numbers",
         "int f(int i) { static int n_1, n_2; n_1 += i; n_2 -= i; return n_1 + n_2; }",
         "int f(int i) { static int n_1, n_2, n_3; n_1 += i; n_2 -= i; return n_1 + n_2 + n_3++; }", DONE, "new variable f(int)::n_3"),
    Case("static of a function with another initializer",
         "int g(int i) { return i; } int f(int i) { static int n = g(1); return n += i; }",
         "int g(int i) { return i; } int f(int i) { static int n = g(2); return n += i; }", DONE, "another initializer does not run again",
         flags=[["-fno-inline"], ["-fno-inline"]]),
    Case("static of a header's function that another file calls now",
         {"t.h": "static inline int next() { static int n; return ++n; }", "a.cc": '#include "t.h"\nint f() { return next(); }',
          "b.cc": '#include "t.h"\nint g() { return 1; }'},
         {"t.h": "static inline int next() { static int n; return ++n; }", "a.cc": '#include "t.h"\nint f() { return 1; }',
          "b.cc": '#include "t.h"\nint g() { return next(); }'}, REFUSED, "may be one that was in a.o before, or a new one"),
    Case("static of an instance of a static template that another file has now",
         {name: f"template <int K> __attribute__((noinline)) static int next() {{ static int n; return n += K; }} int {function}() {{ {code} }}"
          for name, function, code in [("a.cc", "f", "return next<4>();"), ("b.cc", "g", "return 1;")]},
         {name: f"template <int K> __attribute__((noinline)) static int next() {{ static int n; return n += K; }} int {function}() {{ {code} }}"
          for name, function, code in [("a.cc", "f", "return 1;"), ("b.cc", "g", "return next<4>();")]}, REFUSED,
         "may be one that was in a.o before, or a new one"),
    # One variable, or one in each file.
    *[Case(f"{name} becomes {other}",
           {"t.h": old, **levels('#include "t.h"\n', '#include "t.h"\n', "cc")},
           {"t.h": new, **levels('#include "t.h"\n', '#include "t.h"\n', "cc")},
           REFUSED, says) for name, old, other, new, says in [
               ("static of a header", "static int level;", "inline", "inline int level;",
                "level is one now, and was several (level of a.o, level of b.o)"),
               ("variable of an anonymous namespace of a header", "namespace { int level; }", "inline", "inline int level;",
                "level is one now, and was several"),
               ("inline variable", "inline int level;", "static", "static int level;",
                "level was one, and is several now (level of a.o, level of b.o)"),
               ("static of a static inline function", "static inline int& at() { static int n; return n; }\n#define level at()",
                "inline", "inline int& at() { static int n; return n; }\n#define level at()",
                "at()::n is one now, and was several"),
               ("static of an inline function", "inline int& at() { static int n; return n; }\n#define level at()",
                "static", "static inline int& at() { static int n; return n; }\n#define level at()",
                "at()::n was one, and is several now")]],
    Case("static of an inline function of one file becomes one of a static function",
         "inline int& at() { static int n; return n; } int f(int i) { return at() += i; }",
         "static inline int& at() { static int n; return n; } int f(int i) { return at() += i; }", DONE,
         "changed function f(int)"),
    Case("statics of two files become one that others know",
         levels("static int level;", "static int level;"),
         levels("int level;", "extern int level;"),
         REFUSED, "level is one now, and was several (level of a.o, level of b.o)"),
    Case("variable that others know becomes statics of two files",
         levels("int level;", "extern int level;"),
         levels("static int level;", "static int level;"),
         REFUSED, "level was one, and is several now (level of a.o, level of b.o)"),
    Case("static that a file gives up for another file's variable of that name",
         levels("int level;", "static int level;"),
         {"a.c": "int level; int f(int i) { return level += 2 * i; }",
          "b.c": "extern int level; int g(int i) { return level -= i; }"},
         REFUSED, "level is one now, and was several (level, level of b.o)"),
    Case("static that becomes inline, and another file has it then",
         {"a.cc": "static int level; int f(int i) { return level += i; }", "b.cc": "int g(int i) { return i; }"},
         levels("inline int level;", "inline int level;", "cc"),
         REFUSED, "level is one now, and was several (level of a.o, level as a new one)"),
    Case("static that becomes inline, as it is in a file that has not changed",
         levels("static int level;", "inline int level;", "cc"),
         levels("inline int level;", "inline int level;", "cc"),
         REFUSED, "level is one now, and was several (level of a.o, level)"),
    Case("inline variable that becomes a static of one of its files",
         levels("inline int level;", "inline int level;", "cc"),
         levels("static int level;", "inline int level;", "cc"),
         REFUSED, "level was one, and is several now (level of a.o, level)"),
    Case("new inline variable of two files",
         {"a.cc": "int f(int i) { return i; }", "b.cc": "int g(int i) { return i; }"},
         levels("inline int level;", "inline int level;", "cc"),
         DONE, "changed function g(int)"),
    Case("static of one file becomes one that others know",
         {"a.c": "static int level; int f(int i) { return level += i; }", "b.c": "int g(int i) { return i; }"},
         levels("int level;", "extern int level;"),
         DONE, "changed function g"),
    # Lambdas that are inlined.
    Case("statics of two lambdas that change places",
         "int f(int i) { auto a = [](int x) { static int n; return n += x; };\n"
         "auto b = [](int x) { static int n; return n -= x; };\n"
         "return a(i) * 1000 + b(i); }",
         "int f(int i) { auto b = [](int x) { static int n; return n -= x; };\n"
         "auto a = [](int x) { static int n; return n += x; };\n"
         "return a(i) * 1000 + b(i); }", REFUSED, "cannot be told apart"),
    Case("statics of two lambdas that stay",
         "int f(int i) { auto a = [](int x) { static int n; return n += x; };\n"
         "auto b = [](int x) { static int n; return n -= x; };\n"
         "return a(i) * 1000 + b(i); }",
         "int f(int i) { auto a = [](int x) { static int n; return n += x; };\n"
         "auto b = [](int x) { static int n; return n -= x; };\n"
         "return a(i) * 2000 + b(i); }", DONE, "changed function f(int)"),
    Case("lambda before one that has a static",
         "int f(int i) { auto a = [](int x) { static int n; return n += x; }; return a(i); }",
         "int f(int i) { auto e = [](int x) { return x % 2 == 0; }; auto a = [](int x) { static int n; return n += x; };\n"
         "return e(i) ? 0 : a(i); }", REFUSED, "is one of a lambda or local class"),
    Case("lambda of a variable, before another one's with a static",
         "static auto a = [](int x) { static int n; return n += x; }; int f(int i) { return a(i); }",
         "static auto e = [](int x) { static int k; return k += x; };\n"
         "static auto a = [](int x) { static int n; return n += x; };\n"
         "int f(int i) { return e(0) + a(i); }", DONE, "new variable e", never="starts anew"),
    # What is there twice, or not at all.
    Case("table of functions of one file, to which a pointer leads",
         "struct O { int (*a)(int); }; static int x(int i) { return i; } static int y(int i) { return i + 1; } "
         "static const struct O o = {x}; static const struct O* at; int f(int i) { if (!at) at = &o; return at->a(i) + y(i); }",
         "struct O { int (*a)(int); }; static int x(int i) { return i; } static int y(int i) { return i + 1; } "
         "static const struct O o = {y}; static const struct O* at; int f(int i) { if (!at) at = &o; return at->a(i) + x(i); }",
         DONE, "constant o has changed (refers to y in place of x): functions that use it get the new one, pointers to the old",
         suffix="c", flags=[["-fno-inline"], ["-fno-inline"]]),
    Case("new destructor", "int f(int i) { return i; }",
         "int f(int i) { return i + 1; } __attribute__((destructor)) static void bye(void) {}", DONE,
         "warning: t.o: bye runs when a program ends", suffix="c"),
    Case("function that becomes a constructor", "int n; void f(void) { n++; } int g(void) { return n; }",
         "int n; __attribute__((constructor)) void f(void) { n++; } int g(void) { return n + 1; }", DONE,
         "warning: t.o: f runs when a program starts", suffix="c"),
    Case("destructor that changes", "int n; __attribute__((destructor)) void f(void) { n++; }",
         "int n; __attribute__((destructor)) void f(void) { n += 2; }", DONE, "changed function f", suffix="c", never="ends"),
    Case("function without room at its entry",
         "__attribute__((patchable_function_entry(0, 0))) int f(int i) { return i + 1; }",
         "__attribute__((patchable_function_entry(0, 0))) int f(int i) { return i + 9; }", REFUSED,
         "f has changed, and has no room for a jump at its entry", suffix="c"),
    Case("function of assembly",
         {"a.S": '.globl f\n.type f, @function\nf: mov $1, %eax\n ret\n.size f, .-f\n'
                 '.section .note.GNU-stack,"",@progbits',
          "b.c": "int g(void) { return 1; }"},
         {"a.S": '.globl f\n.type f, @function\nf: mov $2, %eax\n ret\n.size f, .-f\n'
                 '.section .note.GNU-stack,"",@progbits',
          "b.c": "int g(void) { return 1; }"}, REFUSED, "f has changed, and has no room for a jump at its entry"),
    Case("list of constants", *["struct L { const struct L* next; int k; }; "
                               "static const struct L l0 = {0, %d}, l1 = {&l0, 1}, l2 = {&l1, 2}; "
                               "int f(const struct L* l) { int n = 0; for (; l; l = l->next) n += l->k; return n; } "
                               "int g(void) { return f(&l2); }" % k for k in (1, 5)],
         DONE, "changed function g  (constant l0: its contents at +8)", suffix="c", flags=[["-fno-inline"], ["-fno-inline"]]),
    Case("function within a function, before others of their names",
         *["int f(int i) { __attribute__((noipa)) int h(int x) { return x + i + 1; } %s return h(2) %s; } "
           "int g(int i) { __attribute__((noipa)) int h(int x) { return x + i + 2; } return h(2); } "
           "int e(int i) { __attribute__((noipa)) int h(int x) { return x + i + 2; } return h(2); }" % more
           for more in (("", ""), ("__attribute__((noipa)) int k(int x) { return x - i; }", "+ k(1)"))],
         DONE, "5 functions the same", suffix="c", never="changed function g"),
    Case("type that is gone in one update and back in the next one",
         TYPE % ("a, b", TYPE_USED), TYPE % ("b, a", TYPE_USED), REFUSED,
         "type S is laid out in another way than one of that name was", suffix="c", between=TYPE % ("a, b", "return p != 0;")),
    Case("type that is gone in one update and back in the next one, as it was",
         TYPE % ("a, b", TYPE_USED), TYPE % ("a, b", TYPE_USED), DONE, "changed function f", suffix="c",
         between=TYPE % ("a, b", "return p != 0;")),
    Case("labels of a function, in a table that is const",
         *["void* kept; int f(int i) { static void* const t[] = {&&a, &&b}; if (!kept) kept = t[i]; goto *t[i]; "
           "a: return %s; b: return 2; }" % first for first in ("1", "3")],
         DONE, "holds addresses of labels of a function that has changed", suffix="c"),
    # Files that have taken each other's names.
    Case("files that are renamed", {"a.c": COUNTS % ("f", ""), "b.c": COUNTS % ("g", "")},
         {"b.c": COUNTS % ("f", "+ 100"), "a.c": COUNTS % ("g", "+ 200")}, DONE, "b.o: variable n comes from a.o", suffix="c"),
    Case("file that is renamed over another one",
         {"a.c": COUNTS % ("f", ""), "b.c": COUNTS % ("g", "")}, {"b.c": COUNTS % ("f", "+ 100")}, DONE,
         "b.o: variable n comes from a.o", suffix="c"),
    Case("files that are renamed, and a new static of a name that was there",
         {"a.c": COUNTS % ("f", ""), "b.c": COUNTS % ("g", "")},
         {"b.c": COUNTS % ("f", ""), "a.c": "static int n = 2; int h(int i) { n += i; return n; }"}, REFUSED,
         "a.o: variable n may be one that was in b.o before, or a new one", suffix="c"),
    Case("static that was initialized by the first call",
         "int c() { return 5; } int f(int i) { static int n = c() + i; return n++; }",
         "int c() { return 5; } int f(int i) { static int n = 60; return n++ + i; }", REFUSED,
         "f(int)::n was initialized by the first call, and is from the start now"),
    Case("what the linker may have put a wrapper before",
         {"a.c": "int get(int); int f(int i) { return get(i); }", "b.c": "int get(int i) { return i; }",
          "w.c": "int get(int); int __wrap_get(int i) { return get(i) + 100; }"},
         {"a.c": "int get(int); int f(int i) { return get(i + 1); }", "b.c": "int get(int i) { return i; }",
          "w.c": "int get(int); int __wrap_get(int i) { return get(i) + 100; }"},
         REFUSED, "f uses get, which the program has a wrapper of, __wrap_get", suffix="c"),
    Case("inline virtual function that is inline no longer, called through another base", SECOND_BASE % ("{ return c; }", ""),
         SECOND_BASE % (";", "int V::w() { return c + 1; }"), REFUSED,
         "V::w() has changed, and has no non-virtual thunk to V::w() beside it any more"),
    Case("virtual function that is inline now, called through another base",
         SECOND_BASE % (";", "int V::w() { return c + 1; }"),
         SECOND_BASE % ("{ return c; }", ""), DONE, "2 functions to be redefined"),
    # One name, two definitions, of which the program has the first.
    Case("weak function that lost", *two_weak(1, 2, 3), REFUSED,
         "f has changed, and the program has another object's definition of it", suffix="c"),
    Case("weak function that won", *two_weak(1, 2, 3, is_first=True), DONE, "changed function f", suffix="c"),
    Case("inline function that lost", *two_inline(("1", "2"), ("1", "3")), REFUSED,
         "f(int) has changed, and the program has another object's definition of it"),
    Case("inline function that won", *two_inline(("1", "2"), ("3", "2")), DONE, "1 function to be redefined"),
    Case("inline function that lost and one that won", *two_inline(("1", "2"), ("3", "4")), DONE, "1 function to be redefined"),
    Case("inline function of two objects", *two_inline(("1", "1"), ("3", "3")), DONE, "1 function to be redefined"),
]

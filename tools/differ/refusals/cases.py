# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""What instar-diff says of small changes of every kind."""

from case import DONE, FAILED, NOTHING, REFUSED, Case

# A class of which the program finds all objects, as heap/updatable.h has it, and what INSTAR_CONVERT defines.
UPDATABLE = """
namespace instar {
template <typename T> struct Updatable { virtual ~Updatable() {} };
struct AppendedMember {};
}
template <auto kMember, typename Value> __attribute__((used)) void instar_generated_convert(instar::AppendedMember*) {}
"""
GROWN = (UPDATABLE + "struct P : instar::Updatable<P> { int a = 1; }; int f(P* p) { return p->a; } P* m() { return new P; } ",
         UPDATABLE + "struct P : instar::Updatable<P> { int a = 1; int b = 2; double c = 0; }; "
         "int f(P* p) { return p->a + p->b; } P* m() { return new P; } ")
CONVERTED = "struct V{}; template void instar_generated_convert<&P::%s, V>(instar::AppendedMember*); "

POINTERS = ("static int one(void) { return 1; } struct ops { int (*f)(void); int n; }; static %sstruct ops o = {one, 5}; "
            "const struct ops* get(void) { return &o; } int f(void) { %sreturn o.f() + o.n; }")
STRINGS = ", ".join(f'"s{i}"' for i in range(60))
CASES = [
    Case("nothing", "int f() { return 1; }  // a comment", "int f() { return 1; }  // another", NOTHING,
         "0 functions to be redefined"),
    Case("changed", "int f() { return 1; }", "int f() { return 2; }", DONE, "changed function f()"),
    Case("grown variable", "struct S { int a, b; } s; int f() { return s.b; }",
         "struct S { int a, b, c; } s; int f() { return s.b + s.c; }", REFUSED, "variable s: 8 -> 12 bytes"),
    Case("layout", "struct S { int a; int b; }; int f(S* s) { return s->b; }",
         "struct S { int b; int a; }; int f(S* s) { return s->b; }", REFUSED, "--allow-type 'S'"),
    Case("allowed layout", "struct S { int a; int b; }; int f(S* s) { return s->b; }",
         "struct S { int b; int a; }; int f(S* s) { return s->b; }", DONE, "it is allowed",
         options=["--allow-type", "S"]),
    Case("members that go into a structure of their own",
         "struct S { int a; char b[8]; int c; } s; int f() { return s.a + s.b[1] + s.c; }",
         "struct B { char b[8]; int c; }; struct S { int a; B in; } s; int f() { return s.a - s.in.b[1] - s.in.c; }", DONE,
         "all is where it was, in other structures"),
    Case("members that go into a structure of their own, and change places",
         "struct S { int a; int b; int c; } s; int f() { return s.a + s.b + s.c; }",
         "struct B { int c; int b; }; struct S { int a; B in; } s; int f() { return s.a - s.in.b - s.in.c; }", REFUSED,
         "--allow-type 'S'"),
    Case("type on stacks", "struct S { int a; int b; }; int f(int x) { S s = {x, 2}; return s.b + s.a; }",
         "struct S { long b; int a; }; int f(int x) { S s = {2, x}; return s.b - s.a; }", DONE,
         "its objects live on stacks"),
    Case("updatable class without values for its new members", *GROWN, REFUSED,
         "say INSTAR_CONVERT(P, b, value) and INSTAR_CONVERT(P, c, value)"),
    Case("updatable class with a value for one of its new members", GROWN[0], GROWN[1] + CONVERTED % "c", REFUSED,
         "say INSTAR_CONVERT(P, b, value)."),
    Case("updatable class with values for its new members", GROWN[0],
         GROWN[1] + (CONVERTED % "c") + (CONVERTED % "b").replace("struct V{}; ", ""), DONE,
         "its objects are converted"),
    Case("variables of an updatable class", GROWN[0] + "P p; ",
         GROWN[1] + (CONVERTED % "c") + (CONVERTED % "b").replace("struct V{}; ", "") + "P p; ", REFUSED,
         "variables of it cannot grow"),
    Case("loop that knows an updatable class", GROWN[0] + "void loop() { P* p = new P; for (;;) f(p); }",
         GROWN[1] + (CONVERTED % "c") + (CONVERTED % "b").replace("struct V{}; ", "") +
         "void loop() { P* p = new P; for (;;) f(p); }", REFUSED,
         "loop() is never left, and was compiled for P as it was", options=["--at-next-call", "loop"]),
    Case("streams", "#include <string>\nint f() { return std::stoi(std::string(40, '1')); }",
         "#include <iostream>\nint f() { std::cout << 2; return 1; }", DONE, "changed function f()"),
    Case("virtual table",
         "struct B { virtual int f(); virtual ~B(); }; int B::f() { return 1; } B::~B() {} B* m() { return new B; }",
         "struct B { virtual int f(); virtual int g(); virtual ~B(); }; int B::f() { return 1; } "
         "int B::g() { return 2; } B::~B() {} B* m() { return new B; }", REFUSED, "vtable for B has changed"),
    Case("two kinds of thread-local variables", "static thread_local int a = 1; int f() { return a++; }",
         "static thread_local int a = 1; static thread_local int b = 2; int f() { return a++ + b++; }", REFUSED,
         "uses thread_local variables of the program (a) and new ones by one call"),
    Case("thread-local variable of a shared object", "thread_local int a = 1; int f() { return a++; }",
         "thread_local int a = 1; int f() { return a += 2; }", REFUSED,
         "f() uses a, a thread_local variable of a shared object", shared=True),
    Case("static thread-local variable of a shared object", "static thread_local int a = 1; int f() { return a++; }",
         "static thread_local int a = 1; int f() { return a += 2; }", REFUSED,
         "f() uses a, a thread_local variable of a shared object", shared=True),
    Case("thread-local variable of libc, in a shared object", "#include <cerrno>\nint f() { return errno; }",
         "#include <cerrno>\nint f() { return errno + 1; }", DONE, "changed function f()", shared=True),
    Case("what the program gives a shared object", "int host(); int f() { return host(); }",
         "int host(); int f() { return host() + 1; }", DONE, "changed function f()", shared=True),
    Case("what nobody gives a shared object", "int f() { return 1; }", "int host(); int f() { return host() + 1; }",
         REFUSED, "uses host(), which neither the program has", shared=True),
    Case("indirect function",
         'extern "C" { static int one() { return 1; } static int (*pick())() { return one; } '
         'static int chosen() __attribute__((ifunc("pick"))); } int f() { return chosen(); }',
         'extern "C" { static int one() { return 1; } static int (*pick())() { return one; } '
         'static int chosen() __attribute__((ifunc("pick"))); } int f() { return chosen() + 1; }', REFUSED,
         "which is chosen when the program starts"),
    Case("new variable with an initializer", "#include <string>\nint f() { return 1; }",
         "#include <string>\nstd::string added(40, 0); int f() { return (int)added.size(); }", REFUSED,
         "is new and has an initializer that runs"),
    Case("inline variable with an initializer that one more file knows",
         {"a.cc": "int g(); int f() { return g() + 1; }",
          "b.cc": "#include <string>\ninline std::string text(\"old\"); int g() { return (int)text.size(); }"},
         {"a.cc": "#include <string>\ninline std::string text(\"old\"); int g(); int f() { return g() + (int)text.size(); }",
          "b.cc": "#include <string>\ninline std::string text(\"old\"); int g() { return (int)text.size(); }"}, DONE,
         "changed function f()", never="initializer"),
    Case("inline variable with an initializer that no file knew",
         {"a.cc": "int g(); int f() { return g() + 1; }", "b.cc": "int g() { return 1; }"},
         {"a.cc": "#include <string>\ninline std::string text(\"new\"); int g(); int f() { return g() + (int)text.size(); }",
          "b.cc": "int g() { return 1; }"}, REFUSED, "variable text[abi:cxx11] is new and has an initializer that runs"),
    Case("function to wait for", {"a.cc": "namespace n { int f(int i) { return i; } }", "b.cc": "int g() { return 1; }"},
         {"a.cc": "namespace n { int f(int i) { return i; } }", "b.cc": "int g() { return 2; }"}, DONE,
         "note: the update waits until n::f is on no stack", options=["--wait-for", "n::f"]),
    Case("function to wait for that is inlined in one that is never left",
         "volatile int kept; static inline int f(int i) { return i * 7; } int g() { return 1; } void loop(int n) { for (;;) kept = n = f(n); }",
         "volatile int kept; static inline int f(int i) { return i * 7; } int g() { return 2; } void loop(int n) { for (;;) kept = n = f(n); }",
         REFUSED, "loop(int) is never left, and f is inlined there", options=["--wait-for", "f"]),
    Case("function to wait for that is not there", "int f() { return 1; }", "int f() { return 2; }", FAILED,
         "no function h in the objects of the old build", options=["--wait-for", "h"]),
    Case("callee of a loop that throws only now",
         "struct E {}; volatile int kept; __attribute__((noinline)) void may() { if (kept == 3) throw E(); } "
         "__attribute__((noinline)) void step() noexcept { kept = kept + 1; } "
         "void loop() { for (;;) try { may(); step(); } catch (const E&) { kept = 0; } }",
         "struct E {}; volatile int kept; __attribute__((noinline)) void may() { if (kept == 3) throw E(); } "
         "__attribute__((noinline)) void step() { if (kept == 5) throw E(); kept = kept + 1; } "
         "void loop() { for (;;) try { may(); step(); } catch (const E&) { kept = 0; } }", REFUSED,
         "loop() is never left, and was compiled for a step() that throws nothing"),
    Case("loop with a byte that is no return",
         "int next(void); volatile int kept; void loop(void) { for (;;) { int i = next(); kept = i; kept = next() + i; } } int f(void) { return 1; } "
         "__attribute__((noinline)) int next(void) { return kept; }",
         "int next(void); volatile int kept; void loop(void) { for (;;) { int i = next(); kept = i; kept = next() - i; } } int f(void) { return 1; } "
         "__attribute__((noinline)) int next(void) { return kept; }", DONE, "loop is never left", suffix="c"),
    Case("another initializer", '#include <string>\nstd::string text("old"); int f() { return (int)text.size(); }',
         '#include <string>\nstd::string text("brand-new"); int f() { return (int)text.size() + 1; }', DONE,
         "static initializers have changed"),
    Case("constant that others know", "extern const int limits[]; const int limits[] = {1, 2}; "
         "int f(int i) { return limits[i]; }", "extern const int limits[]; const int limits[] = {1, 3}; "
         "int f(int i) { return limits[i]; }", DONE, "changed function f(int)  (constant limits"),
    Case("object of another build", "int f(int i) { return i + 1; }", "int f(int i) { return i + 2; }", REFUSED,
         "was not linked from t.o (it has other code for f(int))", link="new"),
    Case("numbered statics", "int f() { static int n; n++; return n; } int g() { static int n = 5; return n++; }",
         "int e() { static int n = 9; return n++; } int f() { static int n; n += 2; return n; } "
         "int g() { static int n = 5; return n += 3; }", DONE, "new variable n.", suffix="c"),
    Case("one more static of a name in a function", "int f(int i) { int r = 0; { static int n = 1; r += n++; } return r + i; }",
         "int f(int i) { int r = 0; { static int n = 100; r += n++; } { static int n = 1; r += n++; } return r + i; }",
         REFUSED, "which is which cannot be told"),
    Case("one more static of a name in a function of C",
         "int f(int i) { int r = 0; { static int n = 1; r += n++; } return r + i; }",
         "int f(int i) { int r = 0; { static int n = 100; r += n++; } { static int n = 1; r += n++; } return r + i; }",
         REFUSED, "cannot be told apart", suffix="c"),
    Case("missing function", "int g(); int f() { return g(); } __attribute__((weak)) int g() { return 1; }",
         "int g(); int missing(); int f() { return g() + missing(); } __attribute__((weak)) int g() { return 1; }",
         REFUSED, "uses missing(), which neither the program has"),
    Case("lambdas that moved",
         "#include <functional>\nstd::function<int()> f(int i) { return [i] { return i + 1; }; }",
         "#include <functional>\nstd::function<int()> f(int i) { std::function<int()> g = [i] { return i + 5; }; "
         "return [i, g] { return g() + i + 1; }; }", DONE, "which of several lambdas it was before cannot be told"),
    Case("lambda that captures other things",
         "#include <functional>\nstd::function<int()> f(int i) { return [i] { return i + 1; }; }",
         "#include <functional>\nstd::function<int()> f(int i) { int j = i * 9; return [j] { return j + 1; }; }", DONE,
         "f(int)::{lambda()#1}: it captures other things than before"),
    Case("lambda that captures other things, in a variable",
         "int f(int i) { static auto g = [i] { return i + 1; }; return g(); }",
         "int f(int i) { int j = i * 9; static auto g = [j] { return j + 1; }; return g(); }", REFUSED,
         "--allow-type 'f(int)::{lambda()#1}'"),
    Case("lambda that captures other things, behind a pointer",
         "template <class T> struct P { static inline T* p; };\n"
         "template <class T> int keep(T t) { if (!P<T>::p) P<T>::p = new T(t); return (*P<T>::p)(); }\n"
         "int f(int i) { return keep([i] { return i + 1; }); }",
         "template <class T> struct P { static inline T* p; };\n"
         "template <class T> int keep(T t) { if (!P<T>::p) P<T>::p = new T(t); return (*P<T>::p)(); }\n"
         "int f(int i) { int j = i * 9; return keep([j] { return j + 1; }); }", REFUSED,
         "--allow-type 'f(int)::{lambda()#1}'"),
    Case("lambda that captures other things, and another one that calls it",
         "typedef int (*Run)(void*); Run run; void* data;\n"
         "void f(int i) { auto l = [i]() __attribute__((noinline)) { return i + 1; }; data = new decltype(l)(l); "
         "run = [](void* p) { auto* c = static_cast<decltype(l)*>(p); return (*c)(); }; }",
         "typedef int (*Run)(void*); Run run; void* data;\n"
         "void f(int i) { int j = i * 9; auto l = [j]() __attribute__((noinline)) { return j + 1; }; data = new decltype(l)(l); "
         "run = [](void* p) { auto* c = static_cast<decltype(l)*>(p); return (*c)(); }; }", REFUSED,
         "--allow-type 'f(int)::{lambda()#1}'"),
    Case("new variable that nothing uses", "int f(int i) { return i; }", "int added; int f(int i) { return i + 1; }", DONE,
         "variable added is new, and nothing uses it"),
    Case("other flags", "int f(int i) { return i + 1; }", "int f(int i) { return i + 2; }", REFUSED,
         "-fstack-protector-all", flags=[[], ["-fstack-protector-all"]]),
    Case("no debug information", "int f(int i) { return i + 1; }", "int f(int i) { return i + 2; }", REFUSED,
         "compile both builds with -g", flags=[["-g0"], ["-g0"]]),
    Case("debug information without types", "int f(int i) { return i + 1; }", "int f(int i) { return i + 2; }", REFUSED,
         "was compiled with -g1", flags=[["-g1"], ["-g1"]]),
    Case("debug information without types of headers",
         "int f(int i) { return i + 1; }", "int f(int i) { return i + 2; }", REFUSED,
         "-femit-struct-debug-..., which leaves some out",
         flags=[["-femit-struct-debug-baseonly"], ["-femit-struct-debug-baseonly"]]),
    Case("link-time optimization", "int f(int i) { return i + 1; }", "int f(int i) { return i + 2; }", FAILED,
         "compile both builds with -fno-lto", flags=[["-flto"], ["-flto"]]),
    Case("functions in one section", "int f(int i) { return i + 1; } int g() { return 1; }",
         "int f(int i) { return i + 2; } int g() { return 1; }", REFUSED, "-ffunction-sections",
         flags=[["-fno-function-sections"], ["-fno-function-sections"]]),
    Case("signature", "int g(int i) { return i + 1; } int f(int i) { return g(i) * 2; }",
         "int g(int i, int j) { return i + j; } int f(int i) { return g(i, 1) * 2; }", DONE,
         "signature: int g(int) -> int g(int, int)", suffix="c"),
    Case("signature of what a loop calls",
         "int g(int i) { return i + 1; } void f(void) { for (;;) g(1); }",
         "int g(int i, int j) { return i + j; } void f(void) { for (;;) g(1, 2); }", REFUSED,
         "f is never left, and would call int g(int, int)", suffix="c", flags=[["-fno-inline"], ["-fno-inline"]]),
    Case("loop", "volatile int x; void f() { for (;;) x = 1; }", "volatile int x; void f() { for (;;) x = 2; }", DONE,
         "f() is never left: its new version takes effect at its next call"),
    Case("initial value", "int x = 1; int f() { return x; }", "int x = 2; int f() { return x + 1; }", DONE,
         "variable x keeps its value: only its initial value has changed"),
    Case("contents of a table",
         'struct e { char* name; int size; }; static struct e t[] = {{"a=", 2}, {"b=", 2}}; int f(int i) { return t[i].size; }',
         'struct e { char* name; int size; }; static struct e t[] = {{"a", 1}, {"b", 1}}; int f(int i) { return t[i].size + 1; }', REFUSED,
         "variable t has other contents", suffix="c"),
    Case("initial value of a pointer", 'char* x = "a"; char* f() { return x; }', 'char* x = "b"; char* f() { return x + 1; }', DONE,
         "variable x keeps its value: only its initial value has changed", suffix="c"),
    # With pointers it is written by the dynamic linker, and by nobody after that.
    Case("a constant with pointers is written", POINTERS % ("const ", ""), POINTERS % ("", "o.n++; "), REFUSED,
         "variable o is written now, and the program has it where nothing can be written", suffix="c"),
    Case("a constant of a template, with pointers, is written",
         "template <class T> struct H { static const char* const all[2]; }; template <class T> const char* const H<T>::all[2] = "
         '{"a", "b"}; const char* f(int i) { return H<int>::all[i]; }',
         "template <class T> struct H { static const char* all[2]; }; template <class T> const char* H<T>::all[2] = "
         '{"a", "b"}; const char* f(int i) { H<int>::all[i] = "c"; return H<int>::all[i]; }', REFUSED,
         "is written now, and the program has it where nothing can be written"),
    Case("a constant is written", "const int x[] = {1, 2}; int f(int i) { return x[i]; } void g(int i) { (void)i; }",
         "int x[] = {1, 2}; int f(int i) { return x[i]; } void g(int i) { x[i]++; }", REFUSED,
         "variable x is written now, and the program has it where nothing can be written", suffix="c"),
    Case("alignment", "static char x[16]; char* f() { return x; }",
         "static __attribute__((aligned(64))) char x[16]; char* f() { return x + 1; }", REFUSED,
         "variable x is to be aligned to 64 bytes in place of 16", suffix="c"),
    Case("alias that becomes a function", 'int a() { return 1; } int b() __attribute__((alias("a"))); int f() { return b(); }',
         "int a() { return 1; } int b() { return 2; } int f() { return b(); } int g() { return 3; }", REFUSED,
         "b and a were one, and are two now", suffix="c"),
    Case("alias of another function",
         'int a(int x) { return x + 1; } int b(int x) { return x * 9; } int c(int x) __attribute__((alias("a")));',
         'int a(int x) { return x + 1; } int b(int x) { return x * 9; } int c(int x) __attribute__((alias("b")));', REFUSED,
         "c and b are one now, and were two", suffix="c"),
    Case("function of a library", "int strverscmp(const char*, const char*); int f(char* a) { return strverscmp(a, a); } int g() { return 1; }",
         "int strverscmp(const char* a, const char* b) { return a == b ? 0 : 42; } "
         "int f(char* a) { return strverscmp(a, a); } int g() { return 2; }",
         REFUSED, "strverscmp, which t.o uses, is defined in the program now, and was not", suffix="c"),
    Case("function that a library has, too",
         "int strverscmp(const char* a, const char* b) { return a == b ? 0 : 42; } int f(char* a) { return strverscmp(a, a); }",
         "int strverscmp(const char*, const char*); int f(char* a) { return strverscmp(a, a); } int g() { return 1; }",
         REFUSED, "strverscmp, which t.o uses, is not defined in the program any more", suffix="c"),
    Case("initial value alone", "int x = 1; int f() { return x; }", "int x = 2; int f() { return x; }", NOTHING,
         "there is nothing to apply"),
    # A variable that a build never writes is a variable all the same: the program's has a value of its own.
    Case("no longer written", "static int x = 1; int f() { return x; } void g() { x++; }",
         "static int x = 1; int f() { return x; } void g() { }", DONE,
         "1 function the same; 1 function to be redefined"),
    Case("static of a function that is inlined in one build",
         "static int f() { static int n; return ++n; } int g() { return f(); } int h() { return f() + 1; }",
         "static __attribute__((noinline)) int f() { static int n; return ++n; } int g() { return f(); } int h() { return f() + 1; }",
         DONE, "changed function g()"),
    Case("constructor", "int x; int f() { return x; }",
         "int x; int f() { return x + 1; } __attribute__((constructor)) static void up() { x = 5; }", DONE,
         "up() runs when a program starts, which has been"),
    Case("array of the linker", 'struct E { int i; }; __attribute__((section("entries"), used)) static E a = {1}; '
         "int f() { return a.i; }", 'struct E { int i; }; __attribute__((section("entries"), used)) static E a = {1}; '
         '__attribute__((section("entries"), used)) static E b = {2}; int f() { return a.i + b.i; }', REFUSED,
         "section entries: 4 -> 8 bytes"),
    # Changes that no byte of a function's own code shows.
    Case("string", 'const char* f() { return "one"; }', 'const char* f() { return "two"; }', DONE,
         'string "one" -> "two"'),
    Case("table of a switch", "int f(int x) { switch (x) { case 0: return 31; case 1: return 17; case 2: return 99; "
         "case 3: return 5; case 4: return 1; } return 0; }", "int f(int x) { switch (x) { case 0: return 31; "
         "case 1: return 17; case 2: return 98; case 3: return 5; case 4: return 1; } return 0; }", DONE,
         "changed function f(int)"),
    Case("what is caught", "struct A {}; struct B {}; void g(); int f() { try { g(); } catch (A&) { return 1; } return 0; } "
         "void g() { throw B(); }", "struct A {}; struct B {}; void g(); int f() { try { g(); } catch (B&) { return 1; } "
         "return 0; } void g() { throw B(); }", DONE, "changed function f()"),
    Case("number that a line has, too", "\n\n\n\nint f(int* x) { *x = 5; return 0; }",
         "\n\n\n\n\nint f(int* x) { *x = 6; return 0; }", DONE, "changed function f(int*)"),
    Case("constant of sixteen bytes", "typedef int V __attribute__((vector_size(16))); V f(V v) { return v + V{1, 2, 3, 4}; }",
         "typedef int V __attribute__((vector_size(16))); V f(V v) { return v + V{1, 2, 3, 5}; }", DONE,
         "changed function"),
    Case("object behind an option", "int f() { return 1; }", "int f() { return 2; }", FAILED, "missing.o",
         options=["--allow-type", "S", "missing.o"]),
    # A value of 60 pointers, without a name, in a section that can be written.
    Case("first value of an array", f"void g(const char** p) {{ (void)p; }} int f(int i) {{ const char* all[] = {{{STRINGS}}}; "
         "g(all); return i + 1; }",
         f"void g(const char** p) {{ (void)p; }} int f(int i) {{ const char* all[] = {{{STRINGS}}}; g(all); return i + 2; }}", DONE,
         "1 function to be redefined", suffix="c"),
    Case("pointer table", "static int a() { return 1; } static int b() { return 2; } "
         "int (*const t[])() = {a, b}; int f(int i) { return t[i](); }",
         "static int a() { return 1; } static int b() { return 2; } "
         "int (*const t[])() = {b, a}; int f(int i) { return t[i](); }", DONE, "changed function f(int)"),
]

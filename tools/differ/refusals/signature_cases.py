# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Functions of one name that are called in another way than before, and old code that calls them."""

from case import DONE, REFUSED, Case

# What is called, and who calls it.
REPORT = {"r.c": "int n; void report(int i) { n = i; }"}
REPORT_OF_TWO = {"r.c": "int n; void report(int j, int i) { n = i + j; }"}
CALLBACK = "%s; static void %s(void) { %s; } void (*set(void))(void) { return %s; }"
KEPT = ("void report(int); void (*kept)(int); int m; static __attribute__((noinline)) void help(int i) { report(1); m = i; } "
        "int f(int i) { %s help(i); help(i + 1); return i; }")
STEPS = {"a.c": "int step(int i) { return i + 1; } int other(int i) { return i + 2; } int keep(int i) { return step(i) * 2; }"}
LOOP = "int step(int), other(int); int n; void loop(void) { for (;;) n += %s; }"
COROUTINE = """#include <coroutine>
struct Task { struct promise_type { Task get_return_object() { return
    {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; } std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {} void unhandled_exception() {} }; std::coroutine_handle<promise_type> handle; };
const char* volatile shown;
__attribute__((noinline)) %s { return 0; }
Task co() { for (int i = 0; i < 3; i++) { shown = %s; co_await std::suspend_always(); } }
"""
CLOSURE = """#include <functional>
const char* volatile shown;
__attribute__((noinline)) %s { return 0; }
std::function<void()> make(int i, int j) { return [%s] { shown = (const char*)(long)%s; }; }
"""
CONVERTED = """namespace instar { template <typename T> struct Updatable { virtual ~Updatable() {} };
struct AppendedMember {}; }
template <auto kMember, typename Value> __attribute__((used)) void instar_generated_convert(instar::AppendedMember*) {}
struct P : instar::Updatable<P> { int a = 1, pad = 0; %s }; %s
P* last; static void %s() { last = new P; } void (*callback)();
int f(int i) { if (!callback) callback = %s; callback(); return i; }
"""

CASES = [
    Case("signature of a function that takes its own address",
         "void* kept; static __attribute__((noinline)) int g(int i) { kept = (void*)g; return i + 1; } "
         "int h() { return g(2); }",
         "void* kept; static __attribute__((noinline)) int g(int i, int j) { kept = (void*)g; return i + j; } "
         "int h() { return g(2, 3); }", REFUSED, "g keeps the address of int g(int)", suffix="c"),
    Case("static member function that gets an object",
         {"s.h": "struct S { int port = 7; static int step(int); }; extern S s;",
          "a.cc": '#include "s.h"\nint S::step(int x) { return x + 1; }',
          "b.cc": '#include "s.h"\nS s; void loop() { for (;;) s.step(10); }'},
         {"s.h": "struct S { int port = 7; int step(int); }; extern S s;",
          "a.cc": '#include "s.h"\nint S::step(int x) { return x + port; }',
          "b.cc": '#include "s.h"\nS s; void loop() { for (;;) s.step(10); }'},
         REFUSED, "loop() is never left, and would call int S::step(int) as if it were static int S::step(int)"),
    Case("member function that becomes static, and whose address is kept",
         "struct S { int port = 7; int step(int); }; int S::step(int x) { return x + port; } "
         "int (S::*kept)(int); void f() { kept = &S::step; }",
         "struct S { int port = 7; static int step(int); }; int S::step(int x) { return x + 1; } "
         "int (*now)(int); void f() { now = &S::step; }", REFUSED, "f() keeps the address of int S::step(int)"),
    Case("signature of a function that goes to another file",
         {"a.c": "int pay(int* who, int a) { return *who + a; }", "b.c": "int more(int i) { return i; }",
          "c.c": "int pay(int* who, int a); int n; void loop(void) { for (;;) pay(&n, 1); }"},
         {"a.c": "int other(int i) { return i; }", "b.c": "int pay(int a, int* who) { return *who + a; } int more(int i) { "
         "return i; }",
          "c.c": "int pay(int a, int* who); int n; void loop(void) { for (;;) pay(1, &n); }"},
         REFUSED, "loop is never left, and would call int pay(int, int*)"),
    Case("signature of a function with an alias",
         {"a.c": 'int pay(int* who, int a) { return *who + a; } extern __typeof(pay) aaa __attribute__((alias("pay")));',
          "c.c": "int pay(int* who, int a); int n; void loop(void) { for (;;) pay(&n, 1); }"},
         {"a.c": 'int pay(int a, int* who) { return *who + a + 1; } extern __typeof(pay) aaa __attribute__((alias("pay")));',
          "c.c": "int pay(int a, int* who); int n; void loop(void) { for (;;) pay(1, &n); }"},
         REFUSED, "loop is never left, and would call int pay(int, int*)"),
    Case("function that returns now, and did not",
         {"a.c": "#include <stdlib.h>\n_Noreturn void fail(void); void fail(void) { exit(1); }",
          "c.c": "_Noreturn void fail(void); int n; void loop(void) { for (;;) if (++n == 9) fail(); }"},
         {"a.c": "#include <stdlib.h>\nint m; void fail(void); void fail(void) { if (++m > 3) exit(1); }",
          "c.c": "void fail(void); int n; void loop(void) { for (;;) if (++n == 9) fail(); }"},
         REFUSED, "loop is never left, and would call void fail() as if it were [[noreturn]] void fail()"),
    Case("function that does not return any more",
         {"a.c": "void fail(void); int n; void fail(void) { n = 1; }", "c.c": "void fail(void); void loop(void) { for (;;) "
         "fail(); }"},
         {"a.c": "#include <stdlib.h>\n_Noreturn void fail(void); int n; void fail(void) { exit(1); }",
          "c.c": "_Noreturn void fail(void); void loop(void) { for (;;) fail(); }"}, DONE, "changed function fail"),
    Case("const behind a pointer of a parameter",
         {"a.c": "int g(char* s) { return s[0]; }", "c.c": "int g(char* s); char* n; void loop(void) { for (;;) g(n); }"},
         {"a.c": "int g(const char* s) { return s[1]; }", "c.c": "int g(const char* s); char* n; void loop(void) { for (;;) "
         "g(n); }"},
         DONE, "changed function g", never="signature:"),
    Case("result of a function that had none",
         {"a.c": "int n; void g(int i) { n = i; }", "c.c": "void g(int i); void loop(void) { for (;;) g(1); }"},
         {"a.c": "int n; int g(int i) { n = i; return i > 0; }",
          "c.c": "int g(int i); void loop(void) { for (;;) if (g(1)) g(2); }"},
         DONE, "changed function g", never="signature:"),
    Case("result of a function that has none any more",
         {"a.c": "int n; int g(int i) { n = i; return i > 0; }",
          "c.c": "int g(int i); void loop(void) { for (;;) if (g(1)) g(2); }"},
         {"a.c": "int n; void g(int i) { n = i; }", "c.c": "void g(int i); void loop(void) { for (;;) g(1); }"},
         REFUSED, "loop is never left, and would call void g(int)"),
    Case("result in memory of a function that had none",
         {"a.c": "int n; void g(int i) { n = i; }", "c.c": "void g(int i); void loop(void) { for (;;) g(1); }"},
         {"a.c": "struct R { long a[9]; }; int n; struct R g(int i) { struct R r = {{i}}; n = i; return r; }",
          "c.c": "struct R { long a[9]; }; struct R g(int i); void loop(void) { for (;;) g(1); }"},
         REFUSED, "loop is never left, and would call R g(int)"),
    Case("result in the stack of the floating-point unit, of a function that had none",
         {"a.c": "int n; void g(int i) { n = i; }", "c.c": "void g(int i); void loop(void) { for (;;) g(1); }"},
         {"a.c": "int n; long double g(int i) { n = i; return i; }",
          "c.c": "long double g(int i); void loop(void) { for (;;) g(1); }"},
         REFUSED, "loop is never left, and would call long double g(int)"),
    # Old code that goes on.
    Case("signature of what a callback calls that is gone",
         {**REPORT, "u.c": CALLBACK % ("void report(int)", "on_timer", "report(1)", "on_timer")},
         {**REPORT_OF_TWO, "u.c": CALLBACK % ("void report(int, int)", "on_tick", "report(1, 2)", "on_tick")}, REFUSED,
         "on_timer has no new version, and pointers to it may have been kept, and would call void report(int, int)"),
    Case("signature of what a function calls that a gone callback calls",
         {**REPORT, "u.c": CALLBACK % ("void report(int); static __attribute__((noinline)) void help(int i) "
                                      "{ if (i) report(i); report(2); }", "on_timer", "help(1); help(2)", "on_timer")},
         {**REPORT_OF_TWO, "u.c": CALLBACK % ("void report(int, int)", "on_tick", "report(1, 2)", "on_tick")}, REFUSED,
         "help has no new version, and may be called by on_timer, which goes on, and would call void report(int, int)"),
    Case("signature of what runs when the program ends calls, and is gone",
         {**REPORT, "u.c": "void report(int); __attribute__((destructor)) static void end(void) { report(1); } "
                          "int f(void) { return 1; }"},
         {**REPORT_OF_TWO, "u.c": "int f(void) { return 2; }"}, REFUSED,
         "end has no new version, and pointers to it may have been kept, and would call void report(int, int)"),
    Case("signature of what has run when the program started calls, and is gone",
         {**REPORT, "u.c": "void report(int); __attribute__((constructor)) static void start(void) { report(1); } "
                          "int f(void) { return 1; }"},
         {**REPORT_OF_TWO, "u.c": "int f(void) { return 2; }"}, DONE, "signature: void report(int)"),
    Case("signature of what a function calls that only a loop calls, and that is gone",
         {**REPORT, "u.c": "void report(int); __attribute__((noinline)) static void help(int i) { report(i); report(i + 1); } "
                          "int m; void loop(void) { for (;;) { if (m++) help(m); else help(2); } }"},
         {**REPORT_OF_TWO, "u.c": "void report(int, int); int m; void loop(void) { for (;;) report(1, m++); }"}, REFUSED,
         "help has no new version, and may be called by loop, which goes on, and would call void report(int, int)"),
    Case("signature of what a function calls that is gone, and whose address nobody has",
         {**REPORT, "u.c": "void report(int); __attribute__((noinline)) static void help(int i) { report(i); report(i + 1); } "
                          "void f(int i) { help(i); help(i + 2); }"},
         {**REPORT_OF_TWO, "u.c": "void report(int, int); void f(int i) { report(1, i); }"}, DONE,
         "signature: void report(int)"),
    Case("signature of what a coroutine calls that is suspended", COROUTINE % ("const char* name(int i)", "name(i)"),
         COROUTINE % ("char name(int i)", "(const char*)(long)name(i)"), REFUSED,
         "has no new version, and pointers to it may have been kept, and would call char name(int)"),
    Case("signature of what a closure calls that exists", CLOSURE % ("const char* name(int i)", "i", "name(i)"),
         CLOSURE % ("char name(int i)", "i, j", "name(i + j)"), REFUSED,
         "has no new version, and pointers to it may have been kept"),
    Case("members for objects that a gone callback makes", CONVERTED % ("", "", "on_timer", "on_timer"),
         CONVERTED % ("double b = 2;", "struct V {}; template void instar_generated_convert<&P::b, V>"
                      "(instar::AppendedMember*);", "on_tick", "on_tick"), REFUSED,
         "on_timer() has no new version, and pointers to it may have been kept. It was compiled for P"),
    # An update that goes on from another one.
    Case("signature of what only the loop calls that has been running since before the last update",
         {**STEPS, "m.c": LOOP % "step(1)"},
         {"a.c": STEPS["a.c"].replace("step(int i)", "step(int j, int i)").replace("step(i)", "step(1, i)"),
         "m.c": LOOP % "other(2)"},
         REFUSED, "code that was there before an earlier update may call int step(int, int) as if it were int step(int)",
         between={**STEPS, "m.c": LOOP % "other(2)"}),
    Case("signature of what a callback calls that is gone since the last update",
         {**REPORT, "u.c": CALLBACK % ("void report(int)", "on_timer", "report(1)", "on_timer")},
         {**REPORT_OF_TWO, "u.c": CALLBACK % ("void report(int, int)", "on_tick", "report(1, 2)", "on_tick")}, REFUSED,
         "code that was there before an earlier update may call void report(int, int)",
         between={**REPORT, "u.c": CALLBACK % ("void report(int)", "on_tick", "report(1)", "on_tick")}),
    Case("signature of what a function calls whose address was taken before the last update",
         {**REPORT, "u.c": KEPT % "kept = help;"}, {**REPORT_OF_TWO, "u.c": "void (*kept)(int); int m; int f(int i) { return "
         "i + 2; }"}, REFUSED,
         "help has no new version, and code that was there before an earlier update may call it, and would call void "
         "report(int, int)",
         between={**REPORT, "u.c": KEPT % ""}),
    Case("signature after an update that has left no old caller",
         {**STEPS, "m.c": "int other(int); int f(int i) { return other(i); }"},
         {"a.c": STEPS["a.c"].replace("step(int i)", "step(int j, int i)").replace("step(i)", "step(1, i)"),
          "m.c": "int other(int); int f(int i) { return other(i + 1); }"}, DONE, "signature: int step(int)",
         between={**STEPS, "m.c": "int other(int); int f(int i) { return other(i + 1); }"}),
]

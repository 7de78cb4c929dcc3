# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""A random program of two files, edits of it, and the sources of its versions."""

import os

import random_types

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

    def __init__(self, rng, with_types):
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
        self.types = random_types.Types(rng, FILES, self.in_cc) if with_types else None
        for file in FILES:
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
        if self.types:
            kinds += 5 * ["type"]
        kind = rng.choice(kinds)
        number = rng.randint(1, 40)
        if kind == "type":
            return self.types.statement(file) or ("arithmetic", number, 7)
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
        if self.types and rng.random() < 0.2:
            self.types.edit()
            for f in self.functions.values():
                f["body"] = [s for s in f["body"] if self.types.has(s)] or [("arithmetic", 5, 6)]
            return
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
    return names("type", statement)


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

        if program.types:
            lines += program.types.declarations(file)

        def names(what, name, statement=None):
            if what == "type":
                return program.types.code(name)
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
        if old.types:
            lines += random_types.shared_declarations(old.types, new.types, file)
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

                def names(what, of, statement=None, number=number, version=version):
                    if what == "type":
                        return version.types.shared_code(of)
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

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Structures, enumerations and classes of a random program.

In a version of the program a structure's members lie where the compiler puts them, enumerators have the values that it gives
them, and methods are called by a table. In the source that has both versions each member is a variable of its own, each
enumerator the number of its name, and each method a function: so a version that finds another's members, enumerators or
methods in the wrong places puts out something else.
"""

import zlib

SCALARS = ("unsigned char", "unsigned short", "unsigned", "unsigned", "unsigned long", "int")


class Structure:
    def __init__(self, name, file, rng):
        self.name, self.file, self.key = name, file, name  # the key stays when it is renamed
        self.members = {f"m{i}": rng.choice(SCALARS) for i in range(rng.randint(2, 4))}
        # How the program comes to the one object of it.
        self.access = rng.choice(("variable", "variable", "pointer", "void", "local"))
        self.is_nameless = False


class Enumeration:
    def __init__(self, name, file, rng):
        self.name, self.file = name, file
        self.enumerators = [f"{name}_{i}" for i in range(rng.randint(2, 4))]
        self.first = self.enumerators[0]
        self.kept_in = rng.choice(("int", "unsigned", name))
        self.is_nameless = self.kept_in != name and rng.random() < 0.5


class Class:
    def __init__(self, name, file, rng):
        self.name, self.file = name, file
        self.methods = {f"{name}_m{i}": (rng.randint(1, 40), rng.randint(1, 40)) for i in range(rng.randint(2, 4))}


class Types:
    def __init__(self, rng, files, in_cc):
        self.rng = rng
        self.serial = 0
        self.structures, self.enumerations, self.classes = [], [], []
        for file in files:
            for _ in range(rng.randint(1, 2)):
                self.structures.append(Structure(self.name("s"), file, rng))
            self.enumerations.append(Enumeration(self.name("e"), file, rng))
            if in_cc[file]:
                self.classes.append(Class(self.name("c"), file, rng))

    def name(self, letter):
        self.serial += 1
        return f"{letter}{self.serial}"

    # A statement is ("member", structure's key, member, number), ("enum", enumeration, one, other, number),
    # ("method", class, method) or ("copy", structure's key, member, number).
    def statement(self, file):
        rng = self.rng
        here = [t for t in self.structures + self.enumerations + self.classes if t.file == file]
        if not here:
            return None
        of = rng.choice(here)
        if isinstance(of, Structure):
            kind = "copy" if of.access == "variable" and rng.random() < 0.1 else "member"
            return (kind, of.key, rng.choice(list(of.members)), rng.randint(1, 40))
        if isinstance(of, Enumeration):
            return ("enum", of.name, rng.choice(of.enumerators), rng.choice(of.enumerators), rng.randint(1, 40))
        return ("method", of.name, rng.choice(list(of.methods)))

    def has(self, statement):
        """Whether all that the statement names is there."""
        if statement[0] in ("member", "copy"):
            return any(s.key == statement[1] and statement[2] in s.members for s in self.structures)
        if statement[0] == "enum":
            return any(e.name == statement[1] and {statement[2], statement[3]} <= set(e.enumerators) for e in self.enumerations)
        if statement[0] == "method":
            return any(c.name == statement[1] and statement[2] in c.methods for c in self.classes)
        return True

    def edit(self):
        rng = self.rng
        of = rng.choice(self.structures + self.enumerations + self.classes)
        if isinstance(of, Structure):
            self.edit_structure(of)
        elif isinstance(of, Enumeration):
            new = f"{of.name}_{self.name('x')}"
            if rng.random() < 0.5:
                of.enumerators.append(new)
            elif rng.random() < 0.3 and len(of.enumerators) > 2:
                of.enumerators.remove(rng.choice([e for e in of.enumerators if e != of.first]))
            else:
                of.enumerators.insert(rng.randrange(len(of.enumerators)), new)
        elif rng.random() < 0.8:
            of.methods[rng.choice(list(of.methods))] = (rng.randint(1, 40), rng.randint(1, 40))
        else:
            items = list(of.methods.items())
            if rng.random() < 0.5:
                rng.shuffle(items)
            else:
                items.append((f"{of.name}_{self.name('m')}", (3, 4)))
            of.methods = dict(items)

    def edit_structure(self, of):
        rng = self.rng
        items = list(of.members.items())
        what = rng.choice(("insert", "append", "remove", "shuffle", "type", "rename"))
        if what == "insert":
            items.insert(rng.randrange(len(items)), (self.name("m"), rng.choice(SCALARS)))
        elif what == "append":
            items.append((self.name("m"), rng.choice(SCALARS)))
        elif what == "remove" and len(items) > 1:
            items.pop(rng.randrange(len(items)))
        elif what == "shuffle":
            rng.shuffle(items)
        elif what == "type":
            at = rng.randrange(len(items))
            items[at] = (items[at][0], rng.choice(SCALARS))
        elif what == "rename":
            of.name = self.name("s")
            if rng.random() < 0.5:
                rng.shuffle(items)
        of.members = dict(items)

    def structure(self, key):
        return next(s for s in self.structures if s.key == key)

    def declarations(self, file):
        """Of one version."""
        lines = []
        for s in self.structures:
            if s.file != file:
                continue
            members = " ".join(f"{kind} {name};" for name, kind in s.members.items())
            lines.append(f"struct {s.name} {{ {members} }};")
            if s.access in ("variable", "pointer"):
                lines.append(f"static struct {s.name} o_{s.key};")
            elif s.access == "void":
                lines.append(f"static void* o_{s.key};")
        for e in self.enumerations:
            if e.file == file:
                lines.append(f"enum {'' if e.is_nameless else e.name} {{ {', '.join(e.enumerators)} }};")
                kept_in = "enum " + e.name if e.kept_in == e.name else e.kept_in
                lines.append(f"static {kept_in} k_{e.name} = {e.first};")
        for c in self.classes:
            if c.file == file:
                lines.append(f"struct {c.name} {{ " + " ".join(f"virtual unsigned {m}(unsigned x);" for m in c.methods) + " };")
                lines += [f"unsigned {c.name}::{m}(unsigned x) {{ return x * {one}u + {other}u; }}"
                          for m, (one, other) in c.methods.items()]
                lines.append(f"static {c.name}* o_{c.name}; static {c.name}* g_{c.name}() "
                             f"{{ if (!o_{c.name}) o_{c.name} = new {c.name}; return o_{c.name}; }}")
        return lines

    def code(self, statement):
        """The statement in one version."""
        if statement[0] == "method":
            return f"r += g_{statement[1]}()->{statement[2]}(x);"
        if statement[0] == "enum":
            _, name, one, other, number = statement
            return f"if (k_{name} == {one}) {{ r += {number}u; k_{name} = {other}; }} else {{ r ^= {number}u; k_{name} = {one}; }}"
        kind, key, member, number = statement
        s = self.structure(key)
        if kind == "copy":
            return f"{{ struct {s.name} t = o_{key}; t.{member} = t.{member} * 3 + (x & 63u); o_{key} = t; r ^= (unsigned)t.{member}; }}"
        if s.access == "local":
            return (f"{{ struct {s.name} t; t.{member} = (x & 63u) + {number}u; const volatile unsigned i = (unsigned)t.{member}; "
                    "r = r * 3u + i; }")
        change = f"{{0}}{member} = {{0}}{member} * 3 + (x & 63u) + {number}u; r ^= (unsigned){{0}}{member};"
        if s.access == "variable":
            return change.format(f"o_{key}.")
        if s.access == "pointer":
            return f"{{ struct {s.name}* p = &o_{key}; {change.format('p->')} }}"
        return (f"{{ if (!o_{key}) o_{key} = __builtin_calloc(1, sizeof(struct {s.name})); "
                f"struct {s.name}* p = (struct {s.name}*)o_{key}; {change.format('p->')} }}")

    def shared_code(self, statement):
        """The same where both versions are in one source."""
        if statement[0] == "method":
            one, other = next(c for c in self.classes if c.name == statement[1]).methods[statement[2]]
            return f"r += x * {one}u + {other}u;"
        if statement[0] == "enum":
            _, name, one, other, number = statement
            return (f"if (k_{name} == {number_of(one)}u) {{ r += {number}u; k_{name} = {number_of(other)}u; }} "
                    f"else {{ r ^= {number}u; k_{name} = {number_of(one)}u; }}")
        kind, key, member, number = statement
        s = self.structure(key)
        variable = f"o_{key}_{member}"
        if s.access == "local":
            return f"{{ {s.members[member]} t = (x & 63u) + {number}u; r = r * 3u + (unsigned)t; }}"
        more = "" if kind == "copy" else f" + {number}u"
        return f"{variable} = {variable} * 3 + (x & 63u){more}; r ^= (unsigned){variable};"


def number_of(enumerator):
    return zlib.crc32(enumerator.encode())


def shared_declarations(old, new, file):
    """Of the source that has both versions."""
    lines = []
    for s in old.structures:
        if s.file == file and s.access != "local":
            for member, kind in {**new.structure(s.key).members, **s.members}.items():
                lines.append(f"static {kind} o_{s.key}_{member};")
    for e in old.enumerations:
        if e.file == file:
            lines.append(f"static unsigned k_{e.name} = {number_of(e.first)}u;")
    return lines

#!/usr/bin/env python3
"""Writes a C++ file of the examples in the comments of headers.

    extract.py --output examples.cc --prelude heap/internal/header_examples.h heap/updatable.h ...

What is indented by three blanks in a comment is code:

    // Greets everybody.
    //
    //   Greeting greeting("hello");
    //   if (!greeting.Send()) ...           // nobody is there

but for a paragraph whose first line is one of a list (`- `, `* `, `1. `, `(1) `), of a table (two blanks between words,
or a `|`) or of a shell (`$ `). Other languages are indented by more. In code, `...` stands for what a reader need not
know: as a statement, as a condition (`while (...)`), and as a line of prose (`... stop the threads ...`).

Each block of code becomes a function; its definitions (of classes, functions, templates) stand before it, where later
examples of the header see them, too. All is in a namespace of the header, instar::header_examples::NAME_h for NAME.h,
in which the prelude can declare what the examples leave out. But `template <>` is outside of all namespaces, and names
things in full.
"""

import argparse
import os
import re
import sys

_COMMENT = re.compile(r"^\s*//(.*)$")
_LIST = re.compile(r"^([-*] |\d+\. |\(\d+\) |\$ )")
_TABLE = re.compile(r"\S( {2,}|\s*\| |-\+-)\S")
_PLACEHOLDER_LINE = re.compile(r"^\s*\.\.\.(\s*(//.*)?|\s.*\S\s\.\.\.)$")
# Of a definition: what a chunk begins with, or up to its first brace.
_DEFINITION = re.compile(r"(class|struct|enum|union|namespace|template|using)\b|INSTAR_\w*MODULE\(")
_FUNCTION = re.compile(r"^(\[\[.*?\]\] )?([\w:<>,&*~ ]+ )?[\w:~]+ ?\(.*\)( const| noexcept| override)*$")
_CONTROL = re.compile(r"(if|while|for|do|switch|try|else|return)\b")


class Malformed(Exception):
    pass


def blocks(lines):
    """The indented blocks of the comments: lists of (number, text)."""
    block = []
    for number, line in enumerate(lines, 1):
        comment = _COMMENT.match(line)
        text = comment.group(1).rstrip() if comment else None
        if text and text.startswith("   "):
            block.append((number, text[3:]))
        elif text == "" and block:
            block.append((number, ""))
        else:
            if block:
                yield block
            block = []
    if block:
        yield block


def without_comment(text):
    """The line without the comment at its end, and without what strings say."""
    text = re.sub(r'"(\\.|[^"\\])*"', '""', text)
    text = re.sub(r"(?<!\w)'(\\.|[^'\\])'", "' '", text)
    return text.split("//")[0].rstrip()


def level(bare):
    return sum(bare.count(c) for c in "([{") - sum(bare.count(c) for c in ")]}")


def is_code(first_line):
    return not (
        first_line.startswith(" ") or _LIST.match(first_line) or _TABLE.search(without_comment(first_line))
    )


def filled_in(text):
    """The line with something that compiles in the place of each `...`."""
    if _PLACEHOLDER_LINE.match(text):
        return ""
    code, comment = re.match(r'^((?:"(?:\\.|[^"\\])*"|[^"])*?)(//.*)?$', text).groups()
    code = re.sub(r"\b(if|while) \(\.\.\.\)", r"\1 (Anything())", code)
    code = re.sub(r"(?<!catch )\((\.\.\.)\)", "(Anything())", code)
    code = re.sub(r"\{ \.\.\. \}", "{ }", code)
    code = re.sub(r"\.\.\.(\s*)$", r"{}\1", code)
    return code + (comment or "")


def chunks(block, where):
    """Splits a block of code into statements and definitions of its outermost level."""
    chunk = []
    depth = 0
    for number, text in block:
        text = filled_in(text)
        bare = without_comment(text)
        if not chunk and not bare:
            continue
        chunk.append((number, text))
        depth += level(bare)
        if depth < 0:
            raise Malformed(f"{where}:{number}: a bracket that nothing opens")
        if depth == 0 and bare.endswith((";", "}")):
            yield chunk
            chunk = []
    if chunk:
        raise Malformed(f"{where}:{chunk[0][0]}: this does not end: if it is no code, see tools/header_examples/extract.py")


def is_definition(chunk):
    text = " ".join(without_comment(text) for _, text in chunk).strip()
    if _DEFINITION.match(text):
        return True
    if not text.endswith("}") or _CONTROL.match(text) or text.startswith("{"):
        return False
    head = text.split("{")[0].strip()
    return "=" not in head and bool(_FUNCTION.match(re.sub(r"\s+", " ", head)))


def code_of(block):
    """The block without its lists and tables."""
    code = []
    taken = True
    begins = True
    depth = 0
    for number, text in block:
        if not text:
            begins = depth == 0
        else:
            if begins:
                taken = is_code(text)
                begins = False
            if taken:
                bare = without_comment(text)
                depth += level(bare)
                code.append((number, text))
                continue
        code.append((number, ""))
    return code if any(text for _, text in code) else []


def emitted(chunk, path):
    return [f'#line {chunk[0][0]} "{path}"'] + [text for _, text in chunk]


def examples_of(path, name):
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    specializations = []
    out = []
    scopes = 0
    for block in blocks(lines):
        code = code_of(block)
        if not code:
            continue
        found = list(chunks(code, path))
        line = next(number for number, text in code if text)
        if not scopes:
            out.append(f"namespace instar::header_examples::{name} {{")
            scopes = 1
        # Within that of the example before, whose definitions it sees.
        out.append(f"namespace line_{line} {{")
        scopes += 1
        for chunk in found:
            if chunk[0][1].startswith("template <>"):
                specializations += emitted(chunk, path)
            elif is_definition(chunk):
                out += emitted(chunk, path)
        statements = [chunk for chunk in found if not is_definition(chunk)]
        if statements:
            out.append("Anything Example() {")
            for chunk in statements:
                out += emitted(chunk, path)
            out.append("return Anything();")
            out.append("}")
    return specializations + out + ["}"] * scopes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", required=True)
    parser.add_argument("--prelude")
    parser.add_argument("headers", nargs="+")
    arguments = parser.parse_args()
    out = [f'#include "{header}"' for header in arguments.headers]
    out.append('#include "tools/header_examples/anything.h"')
    if arguments.prelude:
        out.append(f'#include "{arguments.prelude}"')
    failed = False
    for header in arguments.headers:
        name = os.path.splitext(os.path.basename(header))[0] + "_h"
        try:
            out += examples_of(header, name)
        except Malformed as malformed:
            print(malformed, file=sys.stderr)
            failed = True
    if failed:
        return 1
    with open(arguments.output, "w", encoding="utf-8") as file:
        file.write("\n".join(out) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Run by tools/paper_platform, with pypy3: what PyMoult's mechanisms rest on.

The mechanisms are written as PyMoult (HotSWUP'13) describes them in sections 2.1
to 2.3, with nothing around them; PyMoult itself is not measured. Prints JSON:
nanoseconds for one of each, a list of repetitions by name.
"""

import json
import platform
import sys
import time
import weakref

from _continuation import continulet

OBJECTS = 100000
SWITCHES = 100000
WARM_UP = 10  # repetitions that are left out: the JIT compiles in them

update_is_wanted = False


def trace(frame, event, argument):
    """The trace function of an active thread: called after each line."""
    if update_is_wanted:
        raise AssertionError("no update is wanted here")
    return trace


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


# Switches.


def forever(self):
    while True:
        self.switch()


def switch(paused):
    for _ in range(SWITCHES):
        paused.switch()


def time_switches(traced):
    def run():
        paused = continulet(forever)
        paused.switch()
        return seconds(switch, paused) / SWITCHES

    if not traced:
        return run()
    sys.settrace(trace)
    try:
        return run()
    finally:
        sys.settrace(None)


# Objects: found through weak references in a global pool.

pool = []


class Product(object):

    def __init__(self, name):
        self.name = name
        self.stock = 1
        pool.append(weakref.ref(self))


class ProductV2(object):

    def __convert__(self):
        self.mark = 0.0


class LazyProduct(object):

    def __init__(self, name):
        self.name = name
        self.stock = 1


class LazyProductV2(object):

    def __convert__(self):
        self.mark = 0.0


def convert_first(self, name):
    """The attribute access hook, of classes whose objects are to be converted."""
    object.__setattr__(self, "__class__", LazyProductV2)
    self.__convert__()
    return getattr(self, name)


def make():
    return [Product("chair") for _ in range(OBJECTS)]


def time_making():
    del pool[:]
    return seconds(make) / OBJECTS


def convert_all():
    for reference in pool:
        item = reference()
        if item is not None and item.__class__ is Product:
            item.__class__ = ProductV2
            item.__convert__()


def time_eager():
    del pool[:]
    items = make()
    time_each = seconds(convert_all) / OBJECTS
    assert all(item.mark == 0.0 for item in items)
    return time_each


def access(items):
    total = 0
    for item in items:
        total += item.stock
    return total


def time_first_access():
    items = [LazyProduct("chair") for _ in range(OBJECTS)]
    LazyProduct.__getattribute__ = convert_first
    try:
        time_each = seconds(access, items) / OBJECTS
    finally:
        del LazyProduct.__getattribute__
    assert all(item.__class__ is LazyProductV2 for item in items)
    return time_each


# Programs, by the names of those of Instar's benchmark. They are in Python
# throughout: what is in C is not traced.


def fibonacci(n):
    if n < 2:
        return n
    return fibonacci(n - 1) + fibonacci(n - 2)


def recursion():
    return fibonacci(22)


def quick_sort(values, low, high):
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        quick_sort(values, low, j)
        low = i


def sort():
    values = []
    value = 1
    for _ in range(10000):
        value = value * 1103515245 + 12345 & 0x7fffffff
        values.append(value)
    quick_sort(values, 0, len(values) - 1)
    return values[0]


DOCUMENT = "[" + ",".join('{"name": "product %d", "stock": %d, "marks": [1, 25, 3], "site": {"x": 1}}' % (i, i * 7 % 100)
                          for i in range(200)) + "]"


class JsonParser(object):

    def __init__(self, text):
        self.text = text
        self.at = 0

    def skip_space(self):
        while self.text[self.at] == " ":
            self.at += 1

    def value(self):
        self.skip_space()
        first = self.text[self.at]
        if first == "{":
            return self.members()
        if first == "[":
            return self.items()
        return self.string() if first == '"' else self.number()

    def number(self):
        number = 0
        while self.text[self.at].isdigit():
            number = 10 * number + ord(self.text[self.at]) - ord("0")
            self.at += 1
        return number

    def string(self):
        begin = self.at + 1
        self.at = self.text.index('"', begin) + 1
        return self.text[begin:self.at - 1]

    def items(self):
        items = []
        self.at += 1
        while self.text[self.at] != "]":
            items.append(self.value())
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1
        return items

    def members(self):
        members = {}
        self.at += 1
        while self.text[self.at] != "}":
            self.skip_space()
            name = self.string()
            self.at += 1
            members[name] = self.value()
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1
        return members


def json_document():
    return JsonParser(DOCUMENT).value()


def hash_map():
    counts = {}
    value = 1
    for _ in range(20000):
        value = value * 1103515245 + 12345 & 0x7fffffff
        key = value % 5000
        counts[key] = counts.get(key, 0) + 1
    return counts


def matrix():
    size = 30
    left = [[i + j for j in range(size)] for i in range(size)]
    right = [[i - j for j in range(size)] for i in range(size)]
    product = []
    for i in range(size):
        line = []
        for j in range(size):
            total = 0
            for k in range(size):
                total += left[i][k] * right[k][j]
            line.append(total)
        product.append(line)
    return product


PROGRAMS = {"recursion": recursion, "sort": sort, "json": json_document, "hash_map": hash_map, "matrix": matrix}


def time_traced(program):
    sys.settrace(trace)
    try:
        return seconds(program)
    finally:
        sys.settrace(None)


def main(repetitions):
    measures = {
        "switch": lambda: time_switches(False),
        "switch_traced": lambda: time_switches(True),
        "registered": time_making,
        "eager": time_eager,
        "first_access": time_first_access,
    }
    for name, program in PROGRAMS.items():
        measures["plain_" + name] = lambda program=program: seconds(program)
        measures["traced_" + name] = lambda program=program: time_traced(program)
    times = {name: [] for name in measures}
    for repetition in range(WARM_UP + repetitions):
        for name, measure in measures.items():
            time_each = measure()
            if repetition >= WARM_UP:
                times[name].append(1e9 * time_each)
    version = "PyPy %d.%d.%d, Python %s" % (sys.pypy_version_info[:3] + (platform.python_version(),))
    print(json.dumps({"version": version, "times": times}))


if __name__ == "__main__":
    main(int(sys.argv[1]))

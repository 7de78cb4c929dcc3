#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""plot_latencies.py --output=FILE.svg CSV...: a panel for each of the runs that latency_main.cc measured.

Each request is a mark: when it was due, and how long it took. Marks that would lie on each other are drawn once, so
that every request is seen and the file stays small. Vertical lines: the update was asked for, was applied, and all
entries were converted. Also prints, for each run, how long requests took before, during and after, of those drawn.
"""

import argparse
import collections
import csv
import math
import os
import sys

_WIDTH, _HEIGHT = 760, 150  # of a panel, without its labels
_LEFT, _TOP, _GAP = 70, 60, 62
_CELL = 1.5  # the size of a mark
_FROM, _TO = 10.0, 1e6  # microseconds, of the vertical axis
_REQUESTS = ("get", "set")

Run = collections.namedtuple("Run", "name requests applied converted")  # requests: (since, took); all in microseconds


def read(path):
    requests, marks = [], {}
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        if next(rows, None) != ["what", "since_us", "took_us"]:
            raise ValueError("%s: the first line is not what,since_us,took_us: no file of latency_main.cc" % path)
        for row in rows:
            try:
                what, since, took = row[0], float(row[1]), float(row[2])
            except (IndexError, ValueError):
                raise ValueError("%s:%d: not a word and two numbers" % (path, rows.line_num)) from None
            if what in _REQUESTS:
                requests.append((since, took))
            else:
                marks[what] = took
    if not requests or "update" not in marks:
        raise ValueError("%s: no requests, or no update: the run has not ended well" % path)
    name = os.path.splitext(os.path.basename(path))[0]
    return Run(name, requests, marks["update"], marks.get("converted"))


def quantile(requests, share):
    """How long that share of the requests took at most; microseconds. There are some."""
    took = sorted(took for _, took in requests)
    return took[min(len(took) - 1, int(share * len(took)))]


def summary(run):
    """Phases: their name, and the requests that were due in them."""
    end = run.applied + 1e5
    return [
        ("before", [r for r in run.requests if r[0] < 0 and r[0] + r[1] < 0]),
        ("while it is applied", [r for r in run.requests if r[0] + r[1] >= 0 and r[0] <= run.applied]),
        ("in the 100 ms after", [r for r in run.requests if run.applied < r[0] <= end]),
        ("later", [r for r in run.requests if r[0] > end]),
    ]


class Axes:
    """Where microseconds lie in a panel."""

    def __init__(self, first, last):
        self.first, self.last = first, last

    def x(self, since):
        return (since - self.first) / (self.last - self.first) * _WIDTH

    @staticmethod
    def y(took):
        took = min(max(took, _FROM), _TO)
        return _HEIGHT * (1 - math.log(took / _FROM) / math.log(_TO / _FROM))


def marks_of(run, axes):
    """The path of all marks: "M x y h length", one for each stretch of neighbours."""
    rows = collections.defaultdict(set)
    for since, took in run.requests:
        rows[int(axes.y(took) / _CELL)].add(int(axes.x(since) / _CELL))
    path = []
    for row in sorted(rows):
        columns = sorted(rows[row])
        start = columns[0]
        for column, following in zip(columns, columns[1:] + [None]):
            if following != column + 1:
                path.append("M%g %gh%g" % (start * _CELL, (row + 0.5) * _CELL, (column + 1 - start) * _CELL))
                start = following
    return "".join(path)


def line(at, color, text, y):
    anchor, offset = ("end", -4) if at > 0.7 * _WIDTH else ("start", 4)
    return ("<line x1='{0:.1f}' x2='{0:.1f}' y2='{1}' stroke='{2}'/>\n"
            "<text x='{3:.1f}' y='{4}' fill='{2}' text-anchor='{5}'>{6}</text>\n").format(
                at, _HEIGHT, color, at + offset, y, anchor, text)


def panel(run, axes):
    parts = ["<text x='0' y='-8' font-size='14'>entries are converted %s</text>\n" % run.name]
    for power in range(round(math.log10(_FROM)), round(math.log10(_TO)) + 1):
        y = axes.y(10**power)
        label = "%d us" % 10**power if power < 3 else "%d ms" % 10**(power - 3) if power < 6 else "1 s"
        parts.append("<line x2='%d' y1='%g' y2='%g' stroke='#ddd'/>\n" % (_WIDTH, y, y))
        parts.append("<text x='-6' y='%g' text-anchor='end'>%s</text>\n" % (y + 4, label))
    tick = 10**math.floor(math.log10((axes.last - axes.first) / 2))
    unit, name = (1e6, "s") if tick >= 1e6 else (1e3, "ms")
    for i in range(math.ceil(axes.first / tick), math.floor(axes.last / tick) + 1):
        parts.append("<text x='%.1f' y='%d' text-anchor='middle'>%g %s</text>\n" %
                     (axes.x(i * tick), _HEIGHT + 16, i * tick / unit, name))
        parts.append("<line x1='{0:.1f}' x2='{0:.1f}' y1='{1}' y2='{2}' stroke='#888'/>\n".format(
            axes.x(i * tick), _HEIGHT, _HEIGHT + 4))
    parts.append("<path stroke='#1f5fa8' stroke-width='%g' d='%s'/>\n" % (_CELL, marks_of(run, axes)))
    parts.append(line(axes.x(0), "#c00", "asked for", _HEIGHT - 8))
    parts.append(line(axes.x(run.applied), "#c00", "applied after %.3g ms" % (run.applied / 1000), 12))
    if run.converted is not None and run.converted <= axes.last:
        parts.append(line(axes.x(run.converted), "#080", "all converted after %.3g ms" % (run.converted / 1000), 26))
    parts.append("<rect width='%d' height='%d' fill='none' stroke='#888'/>\n" % (_WIDTH, _HEIGHT))
    return "".join(parts)


def part(runs, first, last):
    """Of the runs, what was due from then to then; microseconds; None: all of it."""
    dues = [since for run in runs for since, _ in run.requests]
    axes = Axes(min(dues) if first is None else first, max(dues) if last is None else last)
    if axes.first >= axes.last:
        raise ValueError("nothing lies between %g s and %g s" % (axes.first / 1e6, axes.last / 1e6))
    return axes, [run._replace(requests=[r for r in run.requests if axes.first <= r[0] <= axes.last]) for run in runs]


def plot(runs, axes):
    height = _TOP + len(runs) * (_HEIGHT + _GAP)
    parts = [
        "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' font-family='sans-serif' font-size='12'>\n" %
        (_LEFT + _WIDTH + 30, height),
        "<rect width='100%' height='100%' fill='white'/>\n",
        "<text x='%d' y='24' font-size='15'>How long each request took, over when it was due</text>\n" % _LEFT,
    ]
    for i, run in enumerate(runs):
        parts.append("<g transform='translate(%d %d)'>\n%s</g>\n" %
                     (_LEFT, _TOP + i * (_HEIGHT + _GAP), panel(run, axes)))
    return "".join(parts) + "</svg>\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--output", required=True)
    parser.add_argument("--from", dest="first", type=float, metavar="SECONDS", help="default: the first request")
    parser.add_argument("--to", dest="last", type=float, metavar="SECONDS", help="default: the last request")
    parser.add_argument("csv", nargs="+")
    arguments = parser.parse_args()
    try:
        axes, runs = part([read(path) for path in arguments.csv],
                          *(None if at is None else at * 1e6 for at in (arguments.first, arguments.last)))
        with open(arguments.output, "w", encoding="utf-8") as file:
            file.write(plot(runs, axes))
    except (OSError, ValueError) as error:
        sys.exit("plot_latencies.py: %s" % error)
    for run in runs:
        print("%s: applied after %.1f ms%s" %
              (run.name, run.applied / 1000, "" if run.converted is None else
               ", all converted after %.1f ms" % (run.converted / 1000)))
        for phase, requests in summary(run):
            if not requests:
                continue
            print("  %-20s %6d requests; median %.3f ms, 99 %%: %.3f ms, longest %.3f ms" %
                  (phase, len(requests), *(quantile(requests, share) / 1000 for share in (0.5, 0.99, 1))))


if __name__ == "__main__":
    main()

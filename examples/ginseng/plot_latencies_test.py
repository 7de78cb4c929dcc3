#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""plot_latencies_test.py LATENCY PLOT: a small run, and the plot of it."""

import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

_LATENCY, _PLOT = sys.argv[1:]
del sys.argv[1:]
_HEADER = "what,since_us,took_us\n"


class PlotLatenciesTest(unittest.TestCase):

    def setUp(self):
        # pylint: disable=consider-using-with
        self._directory = tempfile.TemporaryDirectory()
        self.addCleanup(self._directory.cleanup)

    def _path(self, name):
        return os.path.join(self._directory.name, name)

    def _write(self, name, text):
        with open(self._path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self._path(name)

    def _plot(self, *arguments):
        return subprocess.run([sys.executable, _PLOT, "--output=" + self._path("plot.svg"), *arguments], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _svg(self):
        return xml.etree.ElementTree.parse(self._path("plot.svg")).getroot()

    def test_a_run_is_drawn(self):
        subprocess.run([_LATENCY, "--directory=" + self._directory.name, "--entries=1000", "--clients=2", "--before=50",
                        "--after=50", "--interval=0"], check=True)
        ways = ["eagerly", "lazily", "progressively"]
        for way in ways:
            with open(self._path(way + ".csv"), encoding="utf-8") as file:
                lines = file.read().splitlines()
            self.assertEqual(lines[0] + "\n", _HEADER)
            what = [line.split(",")[0] for line in lines[1:]]
            self.assertGreaterEqual(what.count("get") + what.count("set"), 200)
            self.assertEqual(what.count("update"), 1)
            self.assertEqual(what.count("converted"), 0 if way == "lazily" else 1)
        plotted = self._plot(*[self._path(way + ".csv") for way in ways])
        self.assertEqual((plotted.returncode, plotted.stderr), (0, ""))
        for way in ways:
            self.assertIn(way + ": applied after ", plotted.stdout)
        texts = "".join(self._svg().itertext())
        for way in ways:
            self.assertIn("entries are converted " + way, texts)
        self.assertEqual(texts.count("all converted after"), 2)

    def test_every_request_is_seen(self):
        # 10 us, 1 ms and 100 ms lie at 1, 3/5 and 1/5 of the height.
        path = self._write("run.csv", _HEADER + "get,0,10\nset,500000,990\nget,500001,990\nget,1000000,98000\n"
                           "update,0,5\n")
        plotted = self._plot(path)
        self.assertEqual(plotted.stderr, "")
        marks = [e.get("d") for e in self._svg().iter() if e.tag.endswith("path")]
        self.assertEqual(marks, ["M759 30.75h1.5M379.5 90.75h1.5M0 150.75h1.5"])
        self.assertIn("while it is applied       1 requests; median 0.010 ms", plotted.stdout)

    def test_a_part_is_drawn(self):
        path = self._write("run.csv", _HEADER + "get,-300000,100\nget,100,980\nget,200000,100\nupdate,0,5\n")
        plotted = self._plot("--from=-0.2", "--to=0.1", path)
        self.assertEqual(plotted.stderr, "")
        marks = [e.get("d") for e in self._svg().iter() if e.tag.endswith("path")]
        self.assertEqual(marks, ["M505.5 90.75h1.5"])
        self.assertNotIn("before", plotted.stdout)
        self.assertIn("nothing lies between", self._plot("--from=1", path).stderr)

    def test_what_is_no_run_is_refused(self):
        for text, why in [("", "the first line is not what,since_us,took_us"), (_HEADER, "the run has not ended well"),
                          (_HEADER + "get,1,2\n", "the run has not ended well"),
                          (_HEADER + "get,1\n", ":2: not a word and two numbers"),
                          (_HEADER + "get,1,x\n", ":2: not a word and two numbers")]:
            plotted = self._plot(self._write("run.csv", text))
            self.assertEqual(plotted.returncode, 1)
            self.assertIn(why, plotted.stderr)
        self.assertIn("No such file", self._plot(self._path("none.csv")).stderr)


if __name__ == "__main__":
    unittest.main()

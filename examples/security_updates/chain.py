# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Several patches of a server, one update on top of the other, in one process that serves meanwhile."""

import os
import re
import shutil
import statistics
import time

import compare
from checker import Watch, latency
from loading import Load, RunningServer
from sources import Failure, git, run

PAUSE_S = 2.5
BIN_S = 0.05


class ChainSeries:
    """A tree with patches of another one's choice: those that were refused are left out."""

    def __init__(self, series, patches):
        self.folder = os.path.join(series.folder, "chain")
        self.tree = os.path.join(self.folder, "tree")
        self.patches = []
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        run(["git", "clone", "--quiet", "--no-checkout", series.tree, self.tree])
        git(self.tree, "checkout", "--quiet", "-B", "chain", series.tag(series.before(patches[0])))
        git(self.tree, "tag", self.tag("base"))
        for patch in patches:
            try:
                git(self.tree, "cherry-pick", "--allow-empty", "-X", "theirs", series.tag(patch))
            except Failure:
                # It builds on one that was left out.
                git(self.tree, "cherry-pick", "--abort")
                continue
            git(self.tree, "tag", "--force", self.tag(patch))
            self.patches.append(patch)

    @staticmethod
    def tag(name):
        return "chain/" + re.sub(r"[^A-Za-z0-9._-]", "_", name)

    def before(self, patch):
        index = self.patches.index(patch)
        return self.patches[index - 1] if index > 0 else "base"

    def check_out(self, patch):
        git(self.tree, "checkout", "--quiet", "--force", self.tag(patch))


def make_modules(server, series, arguments, count, say):
    """Modules of the first `count` patches that can be had. Returns (patch, module, what was recorded)."""
    builder = compare.Builder(server, series, arguments.instar)
    modules = []
    start = os.path.join(series.folder, "start")
    last = None
    for number, patch in enumerate(series.patches):
        if len(modules) == count:
            break
        folder = os.path.join(series.folder, f"{number:02}")
        if last is None:
            builder.build(series.before(patch))
            compare.mirror(series.tree, builder.old)
            builder.keep(start)
            last = os.path.join(series.folder, "last")
            compare.mirror(series.tree, last)
        builder.build(patch)
        os.makedirs(folder, exist_ok=True)
        result = compare.run_differ(server, arguments.differ, patch, folder, program=os.path.join(start, server.program), old=last,
                                    new=series.tree, built_in=series.tree,
                                    options=[option for module in modules for option in ("--after", module[1])])
        say(f"{patch}: {result['outcome']}, {result.get('redirected', 0)} functions")
        if result["outcome"] == "generated":
            modules.append((patch, os.path.join(folder, "fix.so"), result))
        elif result["outcome"] != "nothing":
            raise Failure(f"{patch}, on top of others, is {result['outcome']}: {result}")
        compare.mirror(series.tree, last)
    return start, modules


def bins(requests, began):
    """[seconds, median, longest] of what ended in each twentieth of a second, in microseconds."""
    found = {}
    for at, took in requests:
        found.setdefault(int((at + took - began) / BIN_S), []).append(took)
    return [[round(index * BIN_S, 2), round(statistics.median(took) * 1e6), round(max(took) * 1e6)]
            for index, took in sorted(found.items())]


def load(server, arguments, tree, start, modules, work):
    """All modules, one after the other; all undone; all again. Returns what is to be recorded."""
    running = RunningServer(server, arguments.instar, start, work)
    updates = []
    client = watch = None
    try:
        client = Load(server, server.load(tree, running.work, running.port), os.path.join(work, "client"))
        began = time.monotonic()
        watch = Watch(server.checker(running.port), os.path.join(work, "latencies"))
        time.sleep(2 * PAUSE_S)
        for phase, steps in [("applied", modules), ("undone", modules[::-1]), ("applied again", modules)]:
            for patch, module, _ in steps:
                update = running.update(*(["undo"] if phase == "undone" else ["load", module]))
                updates.append(dict(update, phase=phase, patch=patch))
                if not update["ok"] or running.process.poll() is not None:
                    break
                time.sleep(PAUSE_S)
            if not updates[-1]["ok"]:
                break
    finally:
        said = client.end() if client else ""
        if watch:
            seen, requests = watch.end()
        crash = running.stop()
    result = dict(seen, updates=updates, patches=[patch for patch, _, _ in modules], latency=latency(requests),
                  bins=bins(requests, began))
    if said:
        result["load"] = said
    if crash:
        result["ended"] = crash
    for update in updates:
        update["at_s"] = round(update.pop("at") - began, 3)
        del update["until"]
    result["ok"] = (len(updates) == 3 * len(modules) and all(update["ok"] for update in updates) and not crash and not said and
                    seen["wrong"] == 0 and seen["lost"] == 0)
    return result

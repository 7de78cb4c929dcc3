#!/usr/bin/env python3
# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of docs/security_updates.md from the results, between its markers, and the plot of redis.

    examples/security_updates/report.py            prints the tables
    examples/security_updates/report.py --write    puts them into the page, and draws the plot
    examples/security_updates/report.py --check    fails if that would change them
"""

import argparse
import collections
import json
import os
import re
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.join(HERE, "..", "..")
PAGE = os.path.join(ROOT, "docs", "security_updates.md")
PLOT = os.path.join(ROOT, "docs", "security_updates_redis.svg")
sys.path.insert(0, HERE)

# pylint: disable=wrong-import-position
import servers
from plot import plot

# What counts as little code by an author: the goal is 97 % of the fixes with at most that.
FEW_LINES = 50
# No thread is to be stopped for longer than this and a bare stop of the same threads, at 99 % of all loads and undos.
GOAL_MS = 5


def results():
    """By server, in the order of servers.NAMES."""
    found = {}
    for name in servers.NAMES:
        path = os.path.join(HERE, "results", name + ".json")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                found[name] = json.load(file)
    return found


def compared(result):
    """The patches that change code that is built, with what was seen of each."""
    return {patch: entry for patch, entry in result["patches"].items() if "comparison" in entry}


def verdict(entry):
    """Of a patch: "-" changes nothing in the program, "yes", "with code", "refused", "failed", "not well"."""
    outcome = made(entry)["outcome"]
    if outcome == "nothing":
        return "-"
    if outcome != "generated":
        return outcome
    if "loading" in entry and not entry["loading"]["ok"]:
        return "not well"
    return "with code" if "code" in entry else "yes"


def made(entry):
    """The comparison that the module is of: with an author's code, if that helps."""
    return entry["code"] if entry.get("code", {}).get("outcome") == "generated" else entry["comparison"]


def is_little(entry):
    """Whether it is applied with at most FEW_LINES."""
    return verdict(entry) == "yes" or (verdict(entry) == "with code" and entry["code"]["lines"] <= FEW_LINES)


def fixes(result):
    """By fix: those of its patches that change something."""
    found = collections.defaultdict(list)
    for entry in compared(result).values():
        if verdict(entry) != "-":
            found[entry["fix"]].append(entry)
    return found


def share(part, whole):
    return f"{part} of {whole}" + (f" ({100 * part / whole:.1f} %)" if whole else "")


def sums(found):
    lines = ["| server | language | patches that change its code | no code written | with code or an option by an author | refused | failed "
             f"| fixes: no code written | with at most {FEW_LINES} lines | loaded while it served | answers checked | wrong or lost |",
             "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    total = collections.Counter()
    for name, result in list(found.items()):
        entries = [entry for entry in compared(result).values() if verdict(entry) != "-"]
        verdicts = collections.Counter(verdict(entry) for entry in entries)
        loaded = [entry["loading"] for entry in entries if entry.get("loading", {}).get("ok")]
        by_fix = fixes(result)
        row = {
            "patches": len(entries), "accepted": verdicts["yes"], "with code": verdicts["with code"],
            "refused": verdicts["refused"], "failed": verdicts["failed"] + verdicts["not well"], "fixes": len(by_fix),
            "whole": sum(all(verdict(entry) == "yes" for entry in some) for some in by_fix.values()),
            "little": sum(all(is_little(entry) for entry in some) for some in by_fix.values()),
            "loaded": len(loaded), "requests": sum(entry.get("loading", {}).get("requests", 0) for entry in entries),
            "wrong": sum(entry["loading"]["wrong"] + entry["loading"]["lost"] for entry in entries if "loading" in entry),
        }
        total.update(row)
        lines.append(row_of(f"{name} {result['version']}", result["language"], row))
    lines.append(row_of("**sum**", "", total))
    left = {name: sum("comparison" not in entry and "skipped" not in entry for entry in result["patches"].values())
            for name, result in found.items()}
    if any(left.values()):
        lines += ["", "Not compared, and not in these sums: " + ", ".join(f"{count} patches of {name}" for name, count in left.items() if count) +
                  " ([why](#not-done))."]
    commits = [f"{name}: {', '.join(some)}" for name, result in found.items()
               if (some := sorted({part["instar"] for entry in compared(result).values()
                                   for part in (made(entry), entry.get("loading", {})) if part.get("instar")}))]
    return lines + (["", "Instar's commit, where it was recorded: " + "; ".join(commits) + "."] if commits else [])


def row_of(name, language, row):
    return (f"| {name} | {language} | {row['patches']} | {share(row['accepted'], row['patches'])} "
            f"| {row['with code']} | {row['refused']} | {row['failed']} | {share(row['whole'], row['fixes'])} "
            f"| {share(row['little'], row['fixes'])} | {row['loaded']} | {row['requests']:,} | {row['wrong']} |".replace(",", " "))


def milliseconds(latency):
    if not latency:
        return "-"
    return f"{latency['median_us'] / 1e3:.2f}, {latency['p99_us'] / 1e3:.1f}"


def short(patch):
    found = re.findall(r"CVE-\d+-\d+(?:[-.]\d(?:of\d)?|/\d+)?", patch)
    return found[0] if found else re.sub(r"\.(patch|diff)$", "", patch)[:40]


def rows(result):
    lines = ["| patch | fix | functions | result | lines by an author | compared in | applied in, at most | longest stop | fault seen "
             "| latency before: median, 99 % | during an update | after |", "|---|---|---:|---|---:|---:|---:|---:|---|---:|---:|---:|"]
    for patch, entry in result["patches"].items():
        name = f"`{short(patch)}`"
        if "skipped" in entry:
            lines.append(f"| {name} | | | {entry['skipped']} | | | | | | | | |")
            continue
        if "comparison" not in entry:
            lines.append(f"| {name} | | | not compared | | | | | | | | |")
            continue
        comparison, loading = made(entry), entry.get("loading")
        code = "with code" if comparison.get("lines") else "with an option"
        said = {"yes": "applied" if loading else "accepted", "with code": f"{'applied' if loading else 'accepted'} {code}",
                "-": "nothing changes in the program"}.get(verdict(entry), verdict(entry))
        plain = entry["comparison"]
        if plain.get("refusals") or plain.get("said"):
            said += ("; without, refused: " if comparison is not plain else ": ") + (
                plain.get("refusals") or [plain["said"].splitlines()[-1]])[0].replace("|", "\\|")[:220]
        if verdict(entry) == "not well":
            said += ": " + "; ".join(update["said"].replace("|", "\\|")[:220] for update in loading["updates"] if not update["ok"])
        if comparison.get("options"):
            said += "; `" + " ".join(comparison["options"]) + "`"
        cells = [name, entry["fix"].replace("CVE-", ""), str(comparison.get("redirected", "")), said, str(comparison.get("lines", "")),
                 f"{comparison['compare_s']} s"]
        updates = [update for update in (loading or {}).get("updates", []) if update["ok"]]
        if updates:
            effect = loading.get("effect")
            cells += [f"{max(update['took_ms'] for update in updates):.1f} ms",
                      f"{max(update['longest_stop_ms'] for update in updates):.2f} ms",
                      "" if not effect else "gone, back, gone" if loading["ok"] else "NOT as it should be",
                      *(milliseconds(loading["latency"].get(phase)) for phase in ("before", "during", "after"))]
        else:
            cells += [""] * 6
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def all_updates(found):
    """By server: the loads and undos that were done."""
    return {name: [update for entry in compared(result).values() for part in ("updates", "repeated")
                   for update in entry.get("loading", {}).get(part, []) if update["ok"]] for name, result in found.items()}


def in_short(times):
    return f"{times[len(times) // 2]:.2f} ms in the median, {times[len(times) * 99 // 100]:.2f} ms at 99 %, {times[-1]:.2f} ms at most"


def stops(found):
    """How long threads were stopped, of all updates; apart, those on a machine that did other things at the same priority."""
    quiet = {name: result for name, result in found.items() if not result.get("is_machine_busy")}
    lines = []
    longest = sorted(update["longest_stop_ms"] for updates in all_updates(quiet).values() for update in updates)
    if longest:
        lines += [f"{len(longest)} loads and undos: the longest stop of a thread was {in_short(longest)}; "
                  f"{share(sum(one <= 5 for one in longest), len(longest))} within 5 ms."]
    measured = {name: [update for update in updates if "bare_stop_ms" in update] for name, updates in all_updates(quiet).items()}
    measured = {name: updates for name, updates in measured.items() if updates}
    together = [update for updates in measured.values() for update in updates]
    if together:
        over = sorted(update["over_bare_stop_ms"] for update in together)
        lines += ["", f"Of {len(together)} of them ({', '.join(f'{name}: {len(updates)}' for name, updates in measured.items())}) it is "
                  f"known how long a bare stop of the same threads took: {in_short(sorted(one['bare_stop_ms'] for one in together))}. "
                  f"The longest stop was longer than that by {in_short(over)}; "
                  f"{share(sum(one <= GOAL_MS for one in over), len(over))} within {GOAL_MS} ms."]
    busy = {name: result for name, result in found.items() if name not in quiet}
    longest = sorted(update["longest_stop_ms"] for updates in all_updates(busy).values() for update in updates)
    if longest:
        lines += ["", f"Not in these figures: {len(longest)} loads and undos of {', '.join(busy)}, on the same machine while programs were "
                  f"compiled at no lower priority. The longest stop of a thread was {in_short(longest)}."]
    return lines


def tables():
    found = results()
    parts = {"sums": sums(found), "stops": stops(found)}
    for name, result in found.items():
        parts[name] = rows(result)
    return parts


def filled(page):
    """The page with the tables between its markers."""
    for name, lines in tables().items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        if begin not in page or end not in page:
            sys.exit(f"report.py: {PAGE} has no place for {name}: {begin.strip()} ... {end.strip()}")
        before, rest = page.split(begin, 1)
        page = before + begin + "\n".join(lines) + "\n" + end + rest.split(end, 1)[1]
    return page


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not arguments.write and not arguments.check:
        print("\n\n".join("\n".join([f"## {name}", *lines]) for name, lines in tables().items()))
        return 0
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    wanted = {PAGE: filled(page)}
    chain = os.path.join(HERE, "results", "redis_chain.json")
    if os.path.exists(chain):
        with open(chain, encoding="utf-8") as file:
            wanted[PLOT] = plot(json.load(file))
    code = 0
    for path, text in wanted.items():
        if arguments.write:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        elif not os.path.exists(path) or open(path, encoding="utf-8").read() != text:
            print(f"{os.path.normpath(path)} is not that of the results: examples/security_updates/report.py --write")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())

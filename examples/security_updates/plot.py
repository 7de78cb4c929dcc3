# Copyright The Instar Authors
# SPDX-License-Identifier: Apache-2.0
"""The latency of a server while updates come and go, as SVG."""

import math

WIDTH, HEIGHT, LEFT, TOP = 900, 260, 70, 90
COLOURS = {"applied": "#c00", "undone": "#080", "applied again": "#c00"}


def plot(chain):
    """`chain`: what chain.load() has recorded."""
    last = chain["bins"][-1][0]
    lowest = 10 ** math.floor(math.log10(max(1, min(low for _, low, _ in chain["bins"]))))
    highest = 10 ** math.ceil(math.log10(max(high for _, _, high in chain["bins"])))

    def x(seconds):
        return LEFT + WIDTH * seconds / last

    def y(microseconds):
        return TOP + HEIGHT * (1 - math.log(max(microseconds, lowest) / lowest) / math.log(highest / lowest))

    parts = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{LEFT + WIDTH + 30}' height='{TOP + HEIGHT + 60}' "
             "font-family='sans-serif' font-size='12'>",
             "<rect width='100%' height='100%' fill='white'/>",
             f"<text x='{LEFT}' y='24' font-size='15'>redis under load: how long a request takes, while "
             f"{len(chain['patches'])} security patches are applied, undone, and applied again</text>",
             f"<text x='{LEFT}' y='44'>each twentieth of a second: median (line) and longest (mark); "
             f"{chain['requests']} answers, {chain['wrong']} wrong, {chain['lost']} lost</text>"]
    for power in range(round(math.log10(lowest)), round(math.log10(highest)) + 1):
        label = f"{10 ** power} us" if power < 3 else f"{10 ** (power - 3)} ms" if power < 6 else f"{10 ** (power - 6)} s"
        parts.append(f"<line x1='{LEFT}' x2='{LEFT + WIDTH}' y1='{y(10 ** power):.1f}' y2='{y(10 ** power):.1f}' stroke='#ddd'/>")
        parts.append(f"<text x='{LEFT - 6}' y='{y(10 ** power) + 4:.1f}' text-anchor='end'>{label}</text>")
    for second in range(0, int(last) + 1, 10):
        parts.append(f"<text x='{x(second):.1f}' y='{TOP + HEIGHT + 18}' text-anchor='middle'>{second} s</text>")
    previous = None
    for number, update in enumerate(chain["updates"]):
        at = x(update["at_s"])
        parts.append(f"<line x1='{at:.1f}' x2='{at:.1f}' y1='{TOP}' y2='{TOP + HEIGHT}' stroke='{COLOURS[update['phase']]}' "
                     "stroke-width='0.7'/>")
        if update["phase"] != previous:
            parts.append(f"<text x='{at:.1f}' y='{TOP - 22}' fill='{COLOURS[update['phase']]}'>{update['phase']}</text>")
            previous = update["phase"]
        index = number % len(chain["patches"])
        label = len(chain["patches"]) - index if update["phase"] == "undone" else index + 1
        parts.append(f"<text x='{at:.1f}' y='{TOP - 6}' text-anchor='middle' fill='{COLOURS[update['phase']]}'>{label}</text>")
    parts.append("<path fill='none' stroke='#1f5fa8' stroke-width='1' d='M" +
                 "L".join(f"{x(at):.1f} {y(median):.1f}" for at, median, _ in chain["bins"]) + "'/>")
    parts.append("<path stroke='#e08a2c' stroke-width='2' d='" +
                 "".join(f"M{x(at):.1f} {y(longest):.1f}h1.5" for at, _, longest in chain["bins"]) + "'/>")
    parts.append(f"<rect x='{LEFT}' y='{TOP}' width='{WIDTH}' height='{HEIGHT}' fill='none' stroke='#888'/>")
    return "\n".join(parts) + "\n</svg>\n"

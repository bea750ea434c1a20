"""Draws docs/cost.svg from target/bench.json and target/peers.json: time against the number of leaves, log axes."""

import json
import math
import pathlib

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 46, 50
COLOURS = {"kart": "#c2410c", "luigi": "#15803d", "gokart": "#1d4ed8", "ninja": "#6d28d9"}


def series():
    """The points of each line by tool: seconds by leaves, cold and with the sum missing."""
    lines = {}
    bench = json.loads(pathlib.Path("target/bench.json").read_text())
    for figure in bench["figures"]:
        if figure["section"] == "fan-in" and figure["unit"] == "us/leaf" and figure["case"] in ("cold", "warm"):
            seconds = figure["value"] * figure["count"] / 1e6
            lines.setdefault(("kart", figure["case"]), []).append((figure["count"], seconds))
    for figure in json.loads(pathlib.Path("target/peers.json").read_text()):
        for case in ("cold", "warm"):
            lines.setdefault((figure["tool"], case), []).append((figure["count"], figure[case]))
    return {name: sorted(points) for name, points in lines.items()}


def power(value):
    names = {-3: "1 ms", -2: "10 ms", -1: "0.1 s", 0: "1 s", 1: "10 s", 2: "100 s", 3: "1,000 s"}
    return names.get(value, f"1e{value} s")


def draw(lines):
    points = [point for line in lines.values() for point in line]
    x0, x1 = (f(math.log10(x) for x, _ in points) for f in (min, max))
    y0, y1 = math.floor(min(math.log10(y) for _, y in points)), math.ceil(max(math.log10(y) for _, y in points))

    def x(count):
        return LEFT + (math.log10(count) - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def y(seconds):
        return HEIGHT - BOTTOM - (math.log10(seconds) - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">N leaves of 100 bytes and their sum, on local disk</text>',
    ]
    for exponent in range(y0, y1 + 1):
        at = y(10.0**exponent)
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{power(exponent)}</text>')
    for exponent in range(math.ceil(x0), math.floor(x1) + 1):
        at = x(10**exponent)
        out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        out.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{10**exponent:,}</text>')
    ends = []
    for (tool, case), line in sorted(lines.items()):
        path = " ".join(f"{x(count):.1f},{y(seconds):.1f}" for count, seconds in line)
        dash = ' stroke-dasharray="5 4"' if case == "warm" else ""
        out.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[tool]}" stroke-width="2"{dash}/>')
        count, seconds = line[-1]
        ends.append([y(seconds), x(count), f"{tool}, {'cold' if case == 'cold' else 'sum missing'}", COLOURS[tool]])
    ends.sort()
    for before, after in zip(ends, ends[1:]):
        if abs(after[1] - before[1]) < 120:
            after[0] = max(after[0], before[0] + 15)
    for at, right, text, colour in ends:
        out.append(f'<text x="{right + 6:.1f}" y="{at + 4:.1f}" fill="{colour}">{text}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">leaves</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


pathlib.Path("docs/cost.svg").write_text(draw(series()))

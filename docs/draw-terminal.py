"""Draws what a terminal shows as a picture: draw-terminal.py COLUMNS <TEXT >PICTURE.svg (`tests/terminal` writes such texts)."""

import sys
import unicodedata
from xml.sax.saxutils import escape

CHAR, LINE, MARGIN = 8.4, 19, 14
COLOURS = {"failed": "#ff8a80", "warning": "#ffd180", "retrying": "#ffd180", "done": "#b9f6ca"}


def cells(text):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def main():
    columns = int(sys.argv[1])
    lines = sys.stdin.read().rstrip("\n").split("\n")
    width, height = columns * CHAR + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" font-family="ui-monospace,DejaVu Sans Mono,monospace" font-size="14">')
    print(f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#1c1f24"/>')
    for at, line in enumerate(lines):
        colour = COLOURS.get(line.split(" ")[0], "#e6e6e6")
        # Each character at its own place: not all have one width in every font.
        places, column = [], 0
        for c in line:
            places.append(f"{MARGIN + column * CHAR:.1f}")
            column += cells(c)
        if line.strip():
            print(f'<text x="{" ".join(places)}" y="{MARGIN + 14 + at * LINE}" fill="{colour}" xml:space="preserve">{escape(line)}</text>')
    print("</svg>")


main()

#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["pyte==0.8.2"]
# ///
"""Record a command in a real terminal, as a moving picture that a browser plays: docs/demo.svg is `make demo`.

    pipx run scripts/record_demo.py make demo > docs/demo.svg

The command runs on a pseudo-terminal; what it writes goes through a terminal emulator, and each picture of the screen
is shown at the time at which it was there. Long stillness is cut to MOST_STILL_S.
"""

from __future__ import annotations

import fcntl
import html
import os
import pty
import select
import shlex
import struct
import sys
import termios
import time
from itertools import groupby, pairwise

import pyte

COLUMNS, ROWS = 104, 34
PICTURE_S = 0.2  # pictures are at least so far apart
MOST_STILL_S = 1.5
END_S = 8.0  # the last picture stays
WIDTH, HEIGHT, MARGIN, BAR = 8.43, 18.0, 14.0, 30.0  # of a character of 14 px, of a line, around, above
COLOURS = {
    "default": "#d8dee4", "black": "#484f58", "red": "#ff7b72", "green": "#3fb950", "brown": "#d29922",
    "blue": "#58a6ff", "magenta": "#bc8cff", "cyan": "#39c5cf", "white": "#b1bac4",
}  # fmt: skip
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def record(command: list[str]) -> tuple[list[tuple[float, list[str]]], int]:
    """Run a command; the pictures of its screen with their times in seconds, and its exit code."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    stream.feed(f"$ {shlex.join(command)}\r\n".encode())
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS))
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    began = time.monotonic()
    pictures = [(0.0, _lines(screen))]
    open_ = True
    while open_:
        if select.select([terminal], [], [], PICTURE_S)[0]:
            try:
                text = os.read(terminal, 65_536)
            except OSError:  # Linux's way to say that the other side has closed
                text = b""
            open_ = bool(text)
            stream.feed(text)
        now = time.monotonic() - began
        if (not open_ or now - pictures[-1][0] >= PICTURE_S) and (lines := _lines(screen)) != pictures[-1][1]:
            pictures.append((now, lines))
    return pictures, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _lines(screen: pyte.Screen) -> list[str]:
    """The screen as SVG text, a line each."""
    return [_line([screen.buffer[row][column] for column in range(COLUMNS)]) for row in range(ROWS)]


def _line(cells: list[pyte.screens.Char]) -> str:
    text = ""
    column = 0
    for (colour, bold), run in groupby(cells, key=lambda cell: (cell.fg, cell.bold)):
        shown = "".join(cell.data for cell in run)
        if shown.strip():
            fill = COLOURS.get(colour.removeprefix("bright"), f"#{colour}")
            weight = ' font-weight="bold"' if bold else ""
            # The length is said, so that another font than ours keeps the columns.
            text += (
                f'<tspan x="{MARGIN + column * WIDTH:.1f}" fill="{fill}"{weight} textLength="{len(shown) * WIDTH:.1f}" '
                f'xml:space="preserve">{html.escape(shown)}</tspan>'
            )
        column += len(shown)
    return text


def drawn(pictures: list[tuple[float, list[str]]], title: str) -> str:
    """All pictures, one above the other, each visible at its time."""
    starts = [0.0]
    for (before, _), (after, _) in pairwise(pictures):
        starts.append(starts[-1] + min(after - before, MOST_STILL_S))
    whole = starts[-1] + END_S
    width, height = COLUMNS * WIDTH + 2 * MARGIN, ROWS * HEIGHT + BAR + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'role="img" aria-label="{html.escape(title)}, recorded in a terminal">'
    )
    parts = [
        head,
        "<style>",
        f".t{{font:14px {FONT}}} .p{{visibility:hidden;animation:{whole:.2f}s steps(1,end) infinite}}",
        # Who wants no motion sees the end.
        "@media (prefers-reduced-motion:reduce){.p{animation:none!important}.p:last-of-type{visibility:visible}}",
    ]
    frames = []
    for number, (start, (_, lines)) in enumerate(zip(starts, pictures, strict=True)):
        last = number + 1 == len(starts)
        begin = 100 * start / whole
        end = 100.0 if last else 100 * starts[number + 1] / whole
        rest = "" if last else f"{end:.3f}%{{visibility:hidden}}"
        parts.append(f"@keyframes k{number}{{0%{{visibility:hidden}}{begin:.3f}%{{visibility:visible}}{rest}}}")
        rows = "".join(
            f'<text y="{BAR + (row + 0.8) * HEIGHT:.1f}">{line}</text>' for row, line in enumerate(lines) if line
        )
        frames.append(f'<g class="p t" style="animation-name:k{number}">{rows}</g>')
    parts.append("</style>")
    parts.append(f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#0d1117"/>')
    parts += [
        f'<circle cx="{MARGIN + 6 + 18 * n}" cy="{BAR / 2}" r="5" fill="{colour}"/>'
        for n, colour in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    ]
    return "\n".join([*parts, *frames, "</svg>", ""])


def main() -> int:
    """Write the picture to standard output."""
    command = sys.argv[1:]
    if not command or command[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    pictures, code = record(command)
    sys.stdout.write(drawn(pictures, shlex.join(command)))
    return code


if __name__ == "__main__":
    sys.exit(main())

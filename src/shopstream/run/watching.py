"""Showing how a run goes: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from shopstream.topology import Topology

    Counts = dict[str, dict[str, Counter[str]]]

_WINDOW = 2.0  # seconds over which a rate is taken
_LINE_EVERY = 2.0  # seconds between plain lines


class _Meter:
    """Rates and lags from what the services report."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._history: list[tuple[float, Counts]] = []

    def add(self, counts: Counts) -> None:
        now = time.monotonic()
        self._history.append((now, counts))
        while len(self._history) > 2 and self._history[1][0] < now - _WINDOW:
            self._history.pop(0)

    def rows(self) -> list[tuple[str, int, float, int]]:
        """For each service: its name, events written, events a second, and how many records wait for it."""
        if not self._history:
            return []
        (then, before), (now, latest) = self._history[0], self._history[-1]
        span = now - then
        produced: Counter[str] = Counter()
        for counts in latest.values():
            produced.update(counts["written"])
        rows = []
        for service in self._topology.services.values():
            counts = latest.get(service.name, {"read": Counter(), "written": Counter()})
            written = counts["written"].total()
            earlier = before.get(service.name, {"written": Counter()})["written"].total()
            lag = sum(max(0, produced[topic] - counts["read"][topic]) for topic in service.consumes)
            rows.append((service.name, written, max(0.0, (written - earlier) / span) if span else 0.0, lag))
        return rows


class LiveWatcher:
    """Shows a run on a terminal. A context manager.

    Args:
        console: Where to.
        topology: The shop.
        orders: How many orders are expected.
    """

    def __init__(self, console: Console, topology: Topology, orders: int) -> None:
        self._console = console
        self._meter = _Meter(topology)
        self._orders = orders
        self._source = topology.source.name
        self._phase = ""
        self._live = Live(console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Take the table away; the report takes its place."""
        self._live.stop()

    def phase(self, text: str) -> None:
        """A new part begins."""
        self._phase = text
        self._draw()

    def event(self, text: str) -> None:
        """Something unexpected happened: it stays on the screen."""
        self._console.print(Text(text, style="yellow"))

    def counts(self, counts: Counts) -> None:
        """How far the services have come."""
        self._meter.add(counts)
        self._draw()

    def audited(self, done: int, total: int) -> None:
        """How much of the topics has been read."""
        self._phase = f"reading the topics: {done:,} of {total:,} offsets"
        self._draw()

    def _draw(self) -> None:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading, justify in (("service", "left"), ("events", "right"), ("a second", "right"), ("lag", "right")):
            table.add_column(heading, justify=justify)  # type: ignore[arg-type]
        placed = 0
        for name, written, rate, lag in self._meter.rows():
            table.add_row(name, f"{written:,}", f"{rate:,.0f}", "" if name == self._source else f"{lag:,}")
            placed = written if name == self._source else placed
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            ProgressBar(total=max(1, self._orders), completed=placed, width=40),
            f"{placed:,} of {self._orders:,} placed",
        )
        self._live.update(Group(Text(self._phase, style="bold"), bar, table))


class PlainWatcher:
    """Writes a line now and then, for logs and pipes.

    Args:
        stream: Where to.
        topology: The shop.
    """

    def __init__(self, stream: TextIO, topology: Topology) -> None:
        self._stream = stream
        self._meter = _Meter(topology)
        self._next = time.monotonic() + _LINE_EVERY

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to clear away."""

    def phase(self, text: str) -> None:
        """A new part begins."""
        self._say(text)

    def event(self, text: str) -> None:
        """Something unexpected happened."""
        self._say(text)

    def counts(self, counts: Counts) -> None:
        """How far the services have come."""
        self._meter.add(counts)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_EVERY
            parts = [
                f"{name} {written:,} ({rate:,.0f}/s{f', lag {lag:,}' if lag else ''})"
                for name, written, rate, lag in self._meter.rows()
            ]
            self._say("; ".join(parts))

    def audited(self, done: int, total: int) -> None:
        """Reading is quick: no line for it."""

    def _say(self, text: str) -> None:
        with suppress(BrokenPipeError):  # whoever read this has gone; the run goes on
            print(text, file=self._stream, flush=True)

"""What a dashboard is made of, in the few words that ours need; no Grafana in it."""

from __future__ import annotations

from dataclasses import dataclass, field

WIDTH = 24
"""Columns of Grafana's grid."""


@dataclass(frozen=True)
class Query:
    """A PromQL expression and the legend of the series that it returns."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One figure or chart.

    Attributes:
        title: What it shows.
        about: What the reader should make of it.
        unit: Grafana's id of the unit.
        queries: Where the figures come from; each must return data on a healthy cluster.
        thresholds: (from, colour) from the lowest on; the first `from` is None.
        width: Columns.
        kind: A `stat` is one big figure, a `chart` shows it over time.
        stacked: Whether a chart's series add up to something.
        maximum: The scale's upper end where it has one.
        decimals: How many to show; None leaves it to Grafana.
    """

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    thresholds: tuple[tuple[float | None, str], ...] = ()
    width: int = 8
    kind: str = "chart"
    stacked: bool = False
    maximum: float | None = None
    decimals: int | None = None


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Choice:
    """What the reader may narrow the dashboard to."""

    name: str
    label: str
    values: str
    """PromQL's label_values(...)."""


@dataclass(frozen=True)
class Board:
    """A whole dashboard; `uid` is its address and its file's name."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    choices: tuple[Choice, ...] = field(default=())


GOOD, WARNING, BAD, PLAIN = "green", "orange", "red", "blue"
ZERO_IS_GOOD: tuple[tuple[float | None, str], ...] = ((None, GOOD), (1, BAD))
ONE_IS_GOOD: tuple[tuple[float | None, str], ...] = ((None, BAD), (1, GOOD), (2, BAD))


def stat(
    title: str,
    about: str,
    expr: str,
    *,
    unit: str = "short",
    thresholds: tuple[tuple[float | None, str], ...] = ((None, PLAIN),),
    legend: str = "",
    width: int = 3,
    decimals: int | None = None,
) -> Panel:
    """One big figure."""
    return Panel(title, about, unit, (Query(expr, legend),), thresholds, width, "stat", decimals=decimals)


def chart(
    title: str,
    about: str,
    unit: str,
    *queries: tuple[str, str],
    thresholds: tuple[tuple[float | None, str], ...] = (),
    width: int = 8,
    stacked: bool = False,
    maximum: float | None = None,
) -> Panel:
    """Series over time; each query is (expression, legend)."""
    made = tuple(Query(expr, legend) for expr, legend in queries)
    return Panel(title, about, unit, made, thresholds, width, "chart", stacked, maximum)


def jvm(job: str) -> Row:
    """The JVMs of a job: what kills a host of 1 GiB first."""
    own = f'job="{job}", instance=~"$instance"'
    return Row(
        "JVM",
        (
            chart(
                "Heap in use",
                "A collection should bring it well under the dashed maximum; else the heap is too small.",
                "bytes",
                (f'sum by (instance) (jvm_memory_used_bytes{{{own}, area="heap"}})', "{{instance}}"),
                (f'max(jvm_memory_max_bytes{{{own}, area="heap"}})', "maximum"),
            ),
            chart(
                "Time in garbage collection",
                "The share of time. Long pauses cost a broker its place in the in-sync replicas.",
                "percentunit",
                (f"sum by (instance) (rate(jvm_gc_collection_seconds_sum{{{own}}}[$__rate_interval]))", "{{instance}}"),
                thresholds=((None, GOOD), (0.05, WARNING), (0.1, BAD)),
            ),
            chart(
                "Memory of the process",
                "Heap and all that lies beside it, as the kernel counts it: this is what has to fit into the host.",
                "bytes",
                (f"process_resident_memory_bytes{{{own}}}", "{{instance}}"),
            ),
        ),
    )

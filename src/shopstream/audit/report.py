"""A verdict for people: short when all is well, exact when it is not. For a terminal of any width, or for a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from shopstream.audit.checks import ANOMALIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console, RenderableType

    from shopstream.audit.latency import Quantiles
    from shopstream.audit.verdict import Anomaly, Judgement, Sample, Verdict

_SAMPLES_SHOWN = 3


def render_report(verdict: Verdict, console: Console) -> None:
    """Print a verdict.

    Args:
        verdict: What to print.
        console: Where to. Colours and bars are left out where it is no terminal.
    """
    console.print(_headline(verdict))
    if verdict.orders:
        console.print()
        console.print(_funnel(verdict))
        console.print()
    console.print(_facts(verdict))
    if len(verdict.runs) > 1:
        console.print()
        console.print(_runs(verdict))
    for name, anomaly in verdict.anomalies.items():
        console.print()
        console.print(Text.assemble((f"{anomaly.count:,} {name}", "bold red"), f": {ANOMALIES[name]}"))
        console.print(Padding(_samples(anomaly), (0, 0, 0, 2)))


def _headline(verdict: Verdict) -> Text:
    if not verdict.ok:
        count = sum(anomaly.count for anomaly in verdict.anomalies.values())
        plural = "y" if count == 1 else "ies"
        return Text.assemble(("BROKEN", "bold red"), f"  {count:,} anomal{plural} in {_orders(verdict.orders)}")
    if not verdict.orders:
        return Text.assemble(("OK", "bold green"), "  no orders yet")
    if verdict.pending:
        return Text.assemble(
            ("OK", "bold yellow"), f"  so far: {verdict.pending:,} of {_orders(verdict.orders)} still on their way"
        )
    judged = f"{_orders(verdict.orders)}, each with exactly one outcome"
    return Text.assemble(("OK", "bold green"), f"  {judged}")


def _orders(count: int) -> str:
    return "1 order" if count == 1 else f"{count:,} orders"


def _funnel(verdict: Verdict) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for name, count in verdict.funnel.items():
        share = count / verdict.orders
        bar = ProgressBar(total=1, completed=min(share, 1), width=20, complete_style="cyan", finished_style="cyan")
        table.add_row(name, f"{count:,}", f"{share:.1%}", bar)
    return table


def _facts(verdict: Verdict) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _fact_rows(verdict):
        table.add_row(name, text)
    return table


def _fact_rows(verdict: Verdict) -> Iterator[tuple[str, RenderableType]]:
    if any(verdict.outcomes.values()):
        yield "outcomes", ", ".join(f"{count:,} {outcome}" for outcome, count in verdict.outcomes.items())
    for name, rate in verdict.rates.items():
        yield "rate", f"{name} {rate.observed:.2%}, expected {rate.expected:.2%}"
    for currency, money in verdict.money.items():
        flight = f" - {money.in_flight:,} in flight" if money.in_flight else ""
        sign = "=" if not money.difference else "is not"
        text = f"{money.approved:,} approved - {money.refunded:,} refunded{flight} {sign} {money.shipped:,} shipped"
        yield "money", f"{text} (minor units of {currency})"
    if verdict.throughput is not None:
        yield "throughput", f"{verdict.throughput:,.0f} orders/s"
    if verdict.latency_ms:
        yield "latency", f"order to notification: {_quantiles(verdict.latency_ms)}"
    yield "promise", verdict.guarantee or ("that of each run" if verdict.runs else "none given")
    if verdict.pending:
        yield "pending", f"{_orders(verdict.pending)} still on their way"
    if verdict.duplicates:
        yield "duplicates", f"{verdict.duplicates:,} byte-identical copies of events, which at-least-once allows"
    if verdict.unknown_orders:
        yield "by hand", f"{_orders(verdict.unknown_orders)} of runs that no progress record tells of"
    if verdict.cut_off:
        yield "cut off", f"{_orders(verdict.cut_off)} not judged: retention may have deleted their first events"
    if verdict.bad_records:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in verdict.bad_records.items())
        yield "unusable", f"{sum(verdict.bad_records.values()):,} records: {reasons}"
    letters = verdict.dead_letters
    if letters.expected or letters.found or letters.cut_off:
        more = "".join(
            f", {count:,} {what}"
            for count, what in (
                (letters.pending, "pending"),
                (letters.duplicates, "duplicates"),
                (letters.cut_off, "whose record is gone"),
            )
            if count
        )
        yield "dead letters", f"{letters.found:,} of {letters.expected:,}{more}"


def _quantiles(quantiles: Quantiles) -> str:
    named = (("p50", quantiles.p50), ("p95", quantiles.p95), ("p99", quantiles.p99), ("max", quantiles.max))
    return ", ".join(f"{name} {_duration(ms)}" for name, ms in named)


def _duration(ms: float) -> str:
    return f"{ms:,.0f} ms" if ms < 10_000 else f"{ms / 1000:,.1f} s"


def _runs(verdict: Verdict) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("run", overflow="fold")
    for heading in ("orders", "pending", "anomalies", "orders/s", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run_id, run in verdict.runs.items():
        table.add_row(Text(run_id or "(no run)"), *_run_cells(run))
    return table


def _run_cells(run: Judgement) -> tuple[RenderableType, ...]:
    count = sum(anomaly.count for anomaly in run.anomalies.values())
    return (
        f"{run.orders:,}",
        f"{run.pending:,}",
        Text(f"{count:,}", style="bold red" if count else "green"),
        f"{run.throughput:,.0f}" if run.throughput is not None else "-",
        _duration(run.latency_ms.p99) if run.latency_ms else "-",
    )


def _samples(anomaly: Anomaly) -> Text:
    lines = [_sample(sample) for sample in anomaly.samples[:_SAMPLES_SHOWN]]
    if anomaly.count > len(lines):
        lines.append(Text(f"and {anomaly.count - len(lines):,} more (--json shows more samples)", style="dim"))
    return Text("\n").join(lines)


def _sample(sample: Sample) -> Text:
    where = ""
    if sample.topic:
        where = sample.topic
        where += "" if sample.partition is None else f", partition {sample.partition}"
        where += "" if sample.offset is None else f", offset {sample.offset}"
    return Text.assemble(
        (sample.order_id or "", "bold"), "  " if sample.order_id else "", (where, "cyan"), "  " if where else "",
        sample.detail,
    )  # fmt: skip

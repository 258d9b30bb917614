"""From what is known of the orders to the verdict. Reads, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from shopstream.audit.checks import ANOMALIES, faults, gaps
from shopstream.audit.latency import Histogram
from shopstream.audit.ledger import (
    APPROVED,
    CANCELLED,
    OUTCOMES,
    PLACED,
    REFUNDED,
    REJECTED,
    RESERVED,
    SHIPPED,
    TYPE_NAMES,
)
from shopstream.audit.rates import TAIL_BOUND, rival_of, tail
from shopstream.audit.runbook import STAGES, Notes, RunBook
from shopstream.audit.verdict import DeadLetters, Judgement, Money, Rate, Verdict
from shopstream.events import order_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from shopstream.audit.ledger import Order
    from shopstream.audit.letters import DeadLetterBook
    from shopstream.audit.stream import Stream
    from shopstream.runs import Guarantee


@dataclass(frozen=True)
class Evidence:
    """All that the auditor has gathered.

    Attributes:
        topics: The topic of each event number.
        partitions_cut: For each partition number from which retention has deleted events, the time (ms) from which
            on nothing is missing there; infinite if nothing is left.
        streams: How far each topic's partitions have been read.
        orders: The orders that are not finished, or not right.
        books: The runs.
        letters: Unusable records and dead letters.
        rates: Expected rates by event type.
        guarantee: The promise to hold every run to, if not its own.
        max_samples: How many samples to keep of each anomaly.
    """

    topics: Sequence[str]
    partitions_cut: Mapping[int, float]
    streams: dict[tuple[str, int], Stream]
    orders: Collection[Order]
    books: Sequence[RunBook]
    letters: DeadLetterBook
    rates: Mapping[str, float]
    guarantee: Guarantee | None
    max_samples: int


@dataclass
class _Tally:
    """The sums behind a judgement: of one run, or of several."""

    notes: Notes
    guarantees: set[str] = field(default_factory=set)
    pending: int = 0
    duplicates: int = 0
    letters: DeadLetters = field(default_factory=DeadLetters)
    bad_records: dict[str, int] = field(default_factory=dict)
    cut_off: int = 0
    unknown_orders: int = 0
    funnel: list[int] = field(default_factory=lambda: [0] * len(TYPE_NAMES))
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    money: dict[str, list[int]] = field(default_factory=dict)  # by currency: approved, refunded, shipped, in flight
    finished: int = 0
    busy_ms: int = 0
    stages: tuple[Histogram, ...] = field(default_factory=lambda: tuple(Histogram() for _ in STAGES))
    placed_open: list[Order] = field(default_factory=list)
    excused: set[int] = field(default_factory=set)  # numbers of orders that are pending or cut off

    def add(self, other: _Tally) -> None:
        """Take over all that another run has."""
        self.notes.merge(other.notes)
        self.guarantees |= other.guarantees
        self.pending += other.pending
        self.duplicates += other.duplicates
        self.letters = DeadLetters(
            *(getattr(self.letters, name) + getattr(other.letters, name) for name in DeadLetters.__struct_fields__)
        )
        self.cut_off += other.cut_off
        self.unknown_orders += other.unknown_orders
        self.funnel = [ours + theirs for ours, theirs in zip(self.funnel, other.funnel, strict=True)]
        _add(self.bad_records, other.bad_records)
        _add(self.outcomes, other.outcomes)
        for currency, sums in other.money.items():
            ours = self.money.get(currency, [0, 0, 0, 0])
            self.money[currency] = [a + b for a, b in zip(ours, sums, strict=True)]
        self.finished += other.finished
        self.busy_ms += other.busy_ms
        for histogram, theirs in zip(self.stages, other.stages, strict=True):
            histogram.merge(theirs)


def _add(sums: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        sums[name] = sums.get(name, 0) + count


def judge(evidence: Evidence, now_ms: int, patience_ms: int) -> Verdict:
    """The verdict on all that is known. See `Auditor.verdict`."""
    due_ms = now_ms - patience_ms
    weakest = "at-least-once" if any(b.guarantee == "at-least-once" for b in evidence.books) else "exactly-once"
    tallies = {book: _Tally(Notes(evidence.max_samples)) for book in evidence.books}
    _judge_orders(evidence, tallies, due_ms, patience_ms)
    letters = evidence.letters.judge(evidence.streams, due_ms, {book: tally.notes for book, tally in tallies.items()})
    for book, tally in tallies.items():
        guarantee = evidence.guarantee or book.guarantee or weakest
        tally.letters = letters.get(book, DeadLetters())
        _judge_acknowledged(evidence, book, tally, due_ms, patience_ms)
        _judge_run(book, tally, guarantee)
        _judge_sums(tally, evidence.rates)
    total = _Tally(Notes(evidence.max_samples))
    for tally in tallies.values():
        total.add(tally)
    if len(tallies) > 1:
        _judge_sums(total, evidence.rates)
    runs = {book.run_id: _judgement(tally, evidence.rates) for book, tally in tallies.items()}
    return Verdict(**asdict(_judgement(total, evidence.rates)), runs=dict(sorted(runs.items())))


def _judge_orders(evidence: Evidence, tallies: Mapping[RunBook, _Tally], due_ms: int, patience_ms: int) -> None:
    for order in evidence.orders:
        tally = tallies[order.book]
        facts = order.facts
        if facts[PLACED]:
            tally.placed_open.append(order)
        if not order.restored and (facts[SHIPPED] or facts[CANCELLED]):
            tally.outcomes[_outcome(order)] += 1
        found = faults(order)
        missing = gaps(order)
        if missing:
            if order.newest_ms > due_ms:
                tally.pending += 1
                tally.excused.add(order.number)
                _note_in_flight(order, tally)
            elif order.oldest_ms <= evidence.partitions_cut.get(order.partition, float("-inf")) + patience_ms:
                tally.cut_off += 1
                tally.excused.add(order.number)
                _note_in_flight(order, tally)
            elif facts[PLACED] or order.number >= (order.book.committed or 0):
                found += missing
            # else: not placed, but acknowledged: it is counted as lost
        for anomaly, event, detail in found:
            fact = facts[event]
            partition, offset = order.partition, fact.offset if fact else None
            if anomaly == "partition_mismatch" and order.stray:
                _, partition, offset = order.stray
            tally.notes.add(anomaly, order.order_id, evidence.topics[event], partition, offset, detail)


def _outcome(order: Order) -> str:
    """How an order that is not finished, or not right, ended, as far as that can be told."""
    facts = order.facts
    if facts[SHIPPED]:
        return "shipped"
    return "out_of_stock" if facts[REJECTED] and not facts[RESERVED] else "payment_declined"


def _note_in_flight(order: Order, tally: _Tally) -> None:
    """The money of an order that need not add up yet."""
    for event, sign in ((APPROVED, 1), (REFUNDED, -1), (SHIPPED, -1)):
        if (fact := order.facts[event]) and fact.currency is not None:
            tally.money.setdefault(fact.currency, [0, 0, 0, 0])[3] += sign * (fact.amount or 0)


def _judge_acknowledged(evidence: Evidence, book: RunBook, tally: _Tally, due_ms: int, patience_ms: int) -> None:
    """Every acknowledged order is on the order topic, and no other of its run."""
    if book.committed is None:
        tally.unknown_orders = book.funnel[PLACED]
        return
    placed_open = {order.number: order for order in tally.placed_open}
    top = max(book.top, 1 + max(placed_open, default=-1))
    topic = evidence.topics[PLACED]
    gapless = book.finished.count + len(placed_open) == top
    if not gapless or top < book.committed:
        cut_ms = max(evidence.partitions_cut.values(), default=float("-inf")) + patience_ms
        for number in book.finished.absent(0, book.committed):
            if number in placed_open or number in tally.excused:
                continue
            if book.acknowledged_ms > due_ms:
                tally.pending += 1
            elif book.oldest_ms is None or book.oldest_ms > cut_ms:
                detail = f"the run has {book.committed} acknowledged orders"
                tally.notes.add("lost_order", order_id(book.run_id, number), topic, None, None, detail)
            else:
                tally.cut_off += 1
    placed_ms = [fact.timestamp_ms for order in placed_open.values() if (fact := order.facts[PLACED])]
    if top > book.committed and max(placed_ms, default=0) <= due_ms and book.newest_placed_ms <= due_ms:
        beyond: list[tuple[int, int, int | None]] = [(*known, None) for known in book.finished.present(book.committed)]
        for number, order in placed_open.items():
            if number >= book.committed and (fact := order.facts[PLACED]):
                beyond.append((number, order.partition, fact.offset))
        for number, partition, offset in sorted(beyond, key=itemgetter(0)):
            detail = f"the run has {book.committed} acknowledged orders"
            name = order_id(book.run_id, number)
            tally.notes.add("unacknowledged_order", name, topic, partition, offset, detail)


def _judge_run(book: RunBook, tally: _Tally, guarantee: str) -> None:
    """What was counted when it was read."""
    tally.guarantees = {guarantee}
    tally.notes.merge(book.conflicts)
    if guarantee == "exactly-once":
        tally.notes.merge(book.copies)
        tally.notes.merge(book.letter_copies)
    else:
        tally.duplicates = book.copies.total
        counts = tally.letters
        tally.letters = DeadLetters(
            counts.expected, counts.found, counts.pending, book.letter_copies.total, counts.cut_off
        )
    tally.bad_records = dict(book.bad_records)
    tally.funnel = list(book.funnel)
    _add(tally.outcomes, book.outcomes)
    for currency, sums in book.money.items():
        in_flight = tally.money.get(currency, [0, 0, 0, 0])[3]
        tally.money[currency] = [*sums, in_flight]
    tally.finished = sum(book.outcomes.values())
    if book.first_ms is not None:
        tally.busy_ms = book.last_ms - book.first_ms
    tally.stages = book.stages


def _judge_sums(tally: _Tally, expected: Mapping[str, float]) -> None:
    """Money and rates, over many orders. What a run has been blamed for is not counted again for all of them."""
    if "money_imbalance" not in tally.notes.anomalies:
        for currency, money in _money(tally).items():
            if money.difference:
                detail = (
                    f"{currency}: approved {money.approved} - refunded {money.refunded} - in flight {money.in_flight} "
                    f"is {money.shipped + money.difference}, shipped {money.shipped}"
                )
                tally.notes.add("money_imbalance", None, None, None, None, detail)
    if "rate_deviation" not in tally.notes.anomalies:
        for name, rate in _rates(tally, expected).items():
            if rate.tail < TAIL_BOUND:
                detail = f"{name}: {rate.observed:.4f} of {rate.decisions}, expected {rate.expected}"
                tally.notes.add("rate_deviation", None, None, None, None, detail)


def _money(tally: _Tally) -> dict[str, Money]:
    return {currency: Money(*sums) for currency, sums in sorted(tally.money.items())}


def _rates(tally: _Tally, expected: Mapping[str, float]) -> dict[str, Rate]:
    counts = dict(zip(TYPE_NAMES, tally.funnel, strict=True))
    rates = {}
    for name, rate in expected.items():
        hits, decisions = counts[name], counts[name] + counts[rival_of(name)]
        if decisions:
            rates[name] = Rate(hits / decisions, rate, decisions, tail(hits, decisions, rate))
    return rates


def _judgement(tally: _Tally, expected: Mapping[str, float]) -> Judgement:
    anomalies = tally.notes.anomalies
    return Judgement(
        ok=not anomalies,
        orders=tally.funnel[PLACED],
        pending=tally.pending,
        guarantee=next(iter(tally.guarantees)) if len(tally.guarantees) == 1 else None,
        anomalies={name: anomalies[name] for name in ANOMALIES if name in anomalies},
        duplicates=tally.duplicates,
        dead_letters=tally.letters,
        bad_records=dict(sorted(tally.bad_records.items())),
        cut_off=tally.cut_off,
        unknown_orders=tally.unknown_orders,
        funnel=dict(zip(TYPE_NAMES, tally.funnel, strict=True)),
        outcomes=tally.outcomes,
        rates=_rates(tally, expected),
        money=_money(tally),
        throughput=round(tally.finished * 1000 / tally.busy_ms, 1) if tally.busy_ms > 0 else None,
        latency_ms=tally.stages[-1].quantiles(),
        stages_ms={
            name: quantiles
            for name, histogram in zip(STAGES, tally.stages, strict=True)
            if (quantiles := histogram.quantiles())
        },
    )

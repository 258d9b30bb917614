"""What the auditor knows of one run: what was promised, what was counted, and which orders are finished."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shopstream.audit.latency import Histogram
from shopstream.audit.ledger import (
    APPROVED,
    CANCELLED,
    DECLINED,
    NOTIFIED,
    OUTCOMES,
    PLACED,
    REFUNDED,
    REJECTED,
    RESERVED,
    SHIPPED,
    TYPE_NAMES,
    FinishedOrders,
    Order,
    outcome_of,
)
from shopstream.audit.verdict import Anomaly, Sample

if TYPE_CHECKING:
    from shopstream.runs import Guarantee

MONEY = {APPROVED: 0, REFUNDED: 1, SHIPPED: 2}
"""The events that move money, and the place of each in a sum."""

STAGES = ("payment", "inventory", "outcome", "notification")


class Notes:
    """Anomalies as they are found: all are counted, a few are kept as samples."""

    __slots__ = ("_limit", "anomalies")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.anomalies: dict[str, Anomaly] = {}

    def add(
        self, name: str, order_id: str | None, topic: str | None, partition: int | None, offset: int | None, detail: str
    ) -> None:
        """Count an anomaly."""
        anomaly = self.anomalies.setdefault(name, Anomaly())
        anomaly.count += 1
        if len(anomaly.samples) < self._limit:
            anomaly.samples.append(Sample(order_id, topic, partition, offset, detail))

    def count(self, name: str, more: int) -> None:
        """Count anomalies that get no sample of their own."""
        if more:
            self.anomalies.setdefault(name, Anomaly()).count += more

    def merge(self, other: Notes) -> None:
        """Count everything that the other has."""
        for name, theirs in other.anomalies.items():
            ours = self.anomalies.setdefault(name, Anomaly())
            ours.count += theirs.count
            ours.samples.extend(theirs.samples[: self._limit - len(ours.samples)])

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(anomaly.count for anomaly in self.anomalies.values())


class RunBook:
    """One run. Orders whose id names no run have a book of their own, and get numbers as they come.

    Attributes:
        run_id: The run; empty for orders of none.
        committed: Orders with numbers below this are acknowledged; None if nothing tells of the run.
        acknowledged_ms: The timestamp of the record that says so; 0 if it is no record.
        guarantee: What its progress record promises; None without one.
        finished: Its complete and consistent orders.
        top: One more than the highest number of a finished order.
        oldest_ms: The oldest record of its orders.
        newest_placed_ms: The youngest order_placed of its finished orders.
        funnel: How many events of each type, copies not counted.
        money: By currency: approved, refunded, shipped, in minor units.
        outcomes: How its finished orders ended.
        copies: Events that came again with the same bytes, by what that is called where it is not allowed.
        letter_copies: The same of dead letters.
        conflicts: What was wrong for good at the moment when it was read.
        bad_records: Unusable records by reason.
        stages: Latencies of finished orders.
        first_ms: The oldest order_placed of its finished orders.
        last_ms: Their youngest notification.
    """

    __slots__ = (
        "_numbers", "acknowledged_ms", "bad_records", "committed", "conflicts", "copies", "finished", "first_ms",
        "funnel", "guarantee", "last_ms", "letter_copies", "money", "newest_placed_ms", "oldest_ms", "outcomes",
        "run_id", "stages", "top",
    )  # fmt: skip

    def __init__(self, run_id: str, max_samples: int) -> None:
        self.run_id = run_id
        self.committed: int | None = None
        self.acknowledged_ms = 0
        self.guarantee: Guarantee | None = None
        self.finished = FinishedOrders()
        self.top = 0
        self.oldest_ms: int | None = None
        self.newest_placed_ms = 0
        self.funnel = [0] * len(TYPE_NAMES)
        self.money: dict[str, list[int]] = {}
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.copies = Notes(max_samples)
        self.letter_copies = Notes(max_samples)
        self.conflicts = Notes(max_samples)
        self.bad_records: dict[str, int] = {}
        self.stages = tuple(Histogram() for _ in STAGES)
        self.first_ms: int | None = None
        self.last_ms = 0
        self._numbers: dict[str, int] = {}

    def number_of(self, order_id: str) -> int:
        """A number for an order whose id has none."""
        return self._numbers.setdefault(order_id, len(self._numbers))

    def acknowledge(self, committed: int, timestamp_ms: int = 0, guarantee: Guarantee | None = None) -> None:
        """Take note that at least this many orders are committed, and when that was said."""
        if self.committed is None or committed > self.committed:
            self.committed = committed
            self.acknowledged_ms = timestamp_ms
        self.guarantee = guarantee or self.guarantee

    def move_money(self, event: int, amount: int, currency: str) -> None:
        """Add an event's amount to the sums."""
        sums = self.money.get(currency)
        if sums is None:
            sums = self.money[currency] = [0, 0, 0]
        sums[MONEY[event]] += amount

    def finish(self, order: Order, ending: int) -> None:
        """Retire a complete and consistent order."""
        self.finished.put(order, ending)
        if order.restored:  # it was counted when it was finished for the first time
            return
        if order.number >= self.top:
            self.top = order.number + 1
        self.outcomes[outcome_of(ending)] += 1
        facts = order.facts
        placed, notified = facts[PLACED], facts[NOTIFIED]
        paid, stocked = facts[APPROVED] or facts[DECLINED], facts[RESERVED] or facts[REJECTED]
        ended = facts[SHIPPED] or facts[CANCELLED]
        if not (placed and paid and stocked and ended and notified):
            raise AssertionError(f"{order.order_id} is not complete")
        start = placed.timestamp_ms
        if self.first_ms is None or start < self.first_ms:
            self.first_ms = start
        self.newest_placed_ms = max(self.newest_placed_ms, start)
        self.last_ms = max(self.last_ms, notified.timestamp_ms)
        for histogram, fact in zip(self.stages, (paid, stocked, ended, notified), strict=True):
            histogram.add(fact.timestamp_ms - start)

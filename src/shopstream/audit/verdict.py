"""What an audit says, as data. `to_data` of a verdict is the JSON of `shopstream audit --json`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from shopstream.audit.latency import Quantiles  # noqa: TC001 - msgspec reads the annotation at run time


class Sample(Struct, frozen=True):
    """Where an anomaly shows.

    Attributes:
        order_id: The order, or the key of an unusable record; None if there is none.
        topic: The topic of the record that shows it; None if it shows in no single record.
        partition: Its partition.
        offset: Its offset; None also when it is no longer known (the order was finished long ago).
        detail: What was found, for people.
    """

    order_id: str | None
    topic: str | None
    partition: int | None
    offset: int | None
    detail: str


class Anomaly(Struct):
    """How often something is wrong, and some of the places."""

    count: int = 0
    samples: list[Sample] = field(default_factory=list)


class Rate(Struct, frozen=True):
    """An observed rate. `tail` is how likely chance alone is to be at least as far off, on the same side."""

    observed: float
    expected: float
    decisions: int
    tail: float


class Money(Struct, frozen=True):
    """The sums in one currency, in minor units. `in_flight` was paid for orders that are still on their way."""

    approved: int
    refunded: int
    shipped: int
    in_flight: int

    @property
    def difference(self) -> int:
        """What should be 0."""
        return self.approved - self.refunded - self.shipped - self.in_flight


class DeadLetters(Struct, frozen=True):
    """Unusable records on topics that services consume, and what became of them, counted once for each such service.

    Attributes:
        expected: How many dead letters there should be.
        found: How many of them there are.
        pending: How many are not there yet, and still have time.
        duplicates: How many stand there twice where that is allowed.
        cut_off: How many tell of a record that retention has deleted, or may have.
    """

    expected: int = 0
    found: int = 0
    pending: int = 0
    duplicates: int = 0
    cut_off: int = 0


class Judgement(Struct, frozen=True, kw_only=True):
    """The judgement of one run, or of everything.

    Attributes:
        ok: Whether there is no anomaly. Pending orders are none.
        orders: How many were placed.
        pending: How many are still on their way.
        guarantee: The promise that it was held to; None if runs differ.
        anomalies: What is wrong, by its name in `checks.ANOMALIES`.
        duplicates: Byte-identical copies of events, where the promise is at-least-once.
        dead_letters: What became of unusable records.
        bad_records: Unusable records, by reason.
        cut_off: Orders that cannot be judged, since retention may have deleted their first events.
        unknown_orders: Orders of runs that no progress record tells of. They are judged like any other.
        funnel: Events by type, each counted once.
        outcomes: How the orders ended.
        rates: Observed and expected rates, by the event type that they are the share of.
        money: By currency.
        throughput: Finished orders a second, from the first order to the last notification; None without.
        latency_ms: From an order's record to that of its notification, of finished orders.
        stages_ms: From an order's record to each later step.
    """

    ok: bool
    orders: int
    pending: int
    guarantee: str | None
    anomalies: dict[str, Anomaly]
    duplicates: int
    dead_letters: DeadLetters
    bad_records: dict[str, int]
    cut_off: int
    unknown_orders: int
    funnel: dict[str, int]
    outcomes: dict[str, int]
    rates: dict[str, Rate]
    money: dict[str, Money]
    throughput: float | None
    latency_ms: Quantiles | None
    stages_ms: dict[str, Quantiles]

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way: another look later would say the same."""
        return not self.pending and not self.dead_letters.pending


class Verdict(Judgement, frozen=True, kw_only=True):
    """The judgement of everything, and of each run alone. Orders of no run stand under an empty name."""

    runs: dict[str, Judgement]

    def to_data(self) -> dict[str, Any]:
        """The verdict as plain dicts and lists, ready for JSON."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data

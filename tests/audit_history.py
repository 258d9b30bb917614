"""Invented histories of a shop in which everything went right, and the means to make something go wrong in them.

Written from the events' contract and the topology alone, as the auditor is: no code of a service has a part in it.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from zlib import crc32

import msgspec

from shopstream import deadletter
from shopstream.errors import BadRecord
from shopstream.events import (
    SCHEMA_VERSION,
    Address,
    Customer,
    CustomerNotified,
    Event,
    Line,
    OrderCancelled,
    OrderPlaced,
    OrderShipped,
    PaymentApproved,
    PaymentDeclined,
    PaymentRefunded,
    StockRejected,
    StockReleased,
    StockReserved,
    derive,
    encode,
    event_id,
    order_id,
    total_of,
)
from shopstream.records import Record
from shopstream.runs import Run, encode_run
from shopstream.topology import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shopstream.records import Headers
    from shopstream.runs import Guarantee

TOPOLOGY = load()
PARTITIONS = TOPOLOGY.topics[TOPOLOGY.topic_of["order_placed"]].partitions
PROGRESS = cast("str", TOPOLOGY.source.progress)
RATES = {"payment_approved": 0.9, "stock_reserved": 0.8}
START_MS = 1_750_000_000_000
STEP_MS = 10  # between an event and what follows from it

_CUSTOMER = Customer("C-1", "Erika Muster", "erika@example.org")
_HOME = Address("Hauptstraße 1", "12345", "Musterstadt", "DE")
_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def partition_of(order: str) -> int:
    """Any function of the key will do, as long as all topics use the same."""
    return crc32(order.encode()) % PARTITIONS


def chain(order: str, *, approved: bool, reserved: bool, seed: int = 0) -> list[tuple[int, Event]]:
    """All events of an order as they should be, with the milliseconds since it was placed."""
    rng = random.Random(f"{seed} {order}")
    lines = tuple(
        Line(f"A-{rng.randrange(200):03}", "An article", rng.randint(1, 3), rng.randint(100, 20_000))
        for _ in range(rng.randint(1, 4))
    )
    total = total_of(lines)
    placed = OrderPlaced(
        event_id=event_id(order, "order_placed"),
        schema_version=SCHEMA_VERSION,
        order_id=order,
        occurred_at=_DAY,
        customer=_CUSTOMER,
        ship_to=_HOME,
        lines=lines,
        total=total,
        currency="EUR",
    )
    money: dict[str, Any] = {"amount": total, "currency": "EUR"}
    parcel: dict[str, Any] = {"customer": _CUSTOMER, "ship_to": _HOME, "lines": lines}
    mail: dict[str, Any] = {"customer": _CUSTOMER, "channel": "email", "text": "Dear customer"}
    events: list[tuple[int, Event]] = [(0, placed)]
    if approved:
        events.append((STEP_MS, derive(PaymentApproved, placed, **money, **parcel, authorization="123456")))
    else:
        declined = derive(PaymentDeclined, placed, **money, reason="limit_exceeded", customer=_CUSTOMER)
        events.append((STEP_MS, declined))
    if reserved:
        events.append((STEP_MS, derive(StockReserved, placed, lines=lines, customer=_CUSTOMER)))
    else:
        missing = (lines[0].article_id,)
        events.append((STEP_MS, derive(StockRejected, placed, missing=missing, customer=_CUSTOMER)))
        events.append((2 * STEP_MS, derive(CustomerNotified, placed, kind="out_of_stock", **mail)))
    if approved and reserved:
        shipped = derive(OrderShipped, placed, **money, **parcel, carrier="DHL", tracking_number="1")
        events.append((2 * STEP_MS, shipped))
        events.append((3 * STEP_MS, derive(CustomerNotified, placed, kind="shipped", **mail)))
        return events
    reasons = [
        reason for reason, given in (("payment_declined", not approved), ("out_of_stock", not reserved)) if given
    ]
    cancelled = derive(
        OrderCancelled,
        placed,
        reason=cast("Any", "_and_".join(reasons)),
        customer=_CUSTOMER,
        refund=total if approved else 0,
        currency="EUR",
        release=lines if reserved else (),
    )
    events.append((2 * STEP_MS, cancelled))
    if approved:
        events.append((3 * STEP_MS, derive(PaymentRefunded, placed, **money)))
    if reserved:
        events.append((3 * STEP_MS, derive(StockReleased, placed, lines=lines)))
        events.append((3 * STEP_MS, derive(CustomerNotified, placed, kind="payment_declined", **mail)))
    return events


@dataclass
class Entry:
    """A record that has no offset yet."""

    topic: str
    partition: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    event: Event | None = None
    headers: Headers | None = None


class History:
    """What stands on the topics, to be changed at will and then read as records."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.end_ms = START_MS

    def add_run(
        self,
        run_id: str = "r",
        orders: int = 40,
        *,
        seed: int = 0,
        start_ms: int = START_MS,
        gap_ms: int = 5,
        guarantee: Guarantee = "exactly-once",
        known: bool = True,
    ) -> History:
        """A whole run in which every order came to its right end."""
        rng = random.Random(seed)
        for number in range(orders):
            # The first four show all four outcomes, the others as chance will have it.
            forced = divmod(number, 2) if number < 4 else None
            approved = bool(forced[0]) if forced else rng.random() < RATES["payment_approved"]
            reserved = bool(forced[1]) if forced else rng.random() < RATES["stock_reserved"]
            for delay_ms, event in chain(order_id(run_id, number), approved=approved, reserved=reserved, seed=seed):
                self.add(event, start_ms + number * gap_ms + delay_ms)
        if known:
            self.add_progress(run_id, orders, guarantee=guarantee, timestamp_ms=start_ms)
        return self

    def add_progress(
        self,
        run_id: str,
        committed: int,
        *,
        guarantee: Guarantee = "exactly-once",
        timestamp_ms: int = START_MS,
    ) -> None:
        """A progress record."""
        run = Run(
            run_id=run_id,
            orders=committed,
            committed=committed,
            seed=0,
            start=_DAY,
            shop_rate=10.0,
            guarantee=guarantee,
        )
        self.entries.append(Entry(PROGRESS, 0, timestamp_ms, run_id.encode(), encode_run(run)))

    def add(self, event: Event, timestamp_ms: int | None = None, *, partition: int | None = None) -> Entry:
        """A record of an event; without a time, behind everything."""
        timestamp_ms = self.end_ms + STEP_MS if timestamp_ms is None else timestamp_ms
        self.end_ms = max(self.end_ms, timestamp_ms)
        order = event.order_id
        where = partition_of(order) if partition is None else partition
        entry = Entry(TOPOLOGY.topic_of[event.event_type], where, timestamp_ms, order.encode(), encode(event), event)
        self.entries.append(entry)
        return entry

    def add_bad(self, topic: str, value: bytes | None, *, key: bytes | None = b"key", partition: int = 0) -> Entry:
        """A record that nobody can use."""
        self.end_ms += STEP_MS
        entry = Entry(topic, partition, self.end_ms, key, value)
        self.entries.append(entry)
        return entry

    def add_letter(self, bad: Entry, service: str, *, offset: int | None = None) -> Entry:
        """A dead letter about an entry. Its offset must be known: see `offset_of`."""
        self.end_ms += STEP_MS
        headers = deadletter.headers_for(
            BadRecord("not_json", "invented"),
            service=service,
            topic=bad.topic,
            partition=bad.partition,
            offset=self.offset_of(bad) if offset is None else offset,
            timestamp_ms=bad.timestamp_ms,
            original=bad.headers,
        )
        entry = Entry(TOPOLOGY.dead_letters, 0, self.end_ms, bad.key, bad.value, headers=headers)
        self.entries.append(entry)
        return entry

    def add_letters(self, bad: Entry) -> None:
        """A dead letter from each service that consumes the topic."""
        for service in consumers(bad.topic):
            self.add_letter(bad, service)

    def find(self, order: str, event_type: str) -> Entry:
        """The first entry of an order's event."""
        return next(e for e in self.entries if e.event and e.event.event_id == event_id(order, event_type))

    def drop(self, order: str, *event_types: str) -> None:
        """Take events of an order away."""
        for event_type in event_types:
            self.entries.remove(self.find(order, event_type))

    def change(self, order: str, event_type: str, **fields: Any) -> Entry:
        """Give an event other content."""
        entry = self.find(order, event_type)
        assert entry.event
        entry.event = msgspec.structs.replace(entry.event, **fields)
        entry.value = encode(entry.event)
        return entry

    def repeat(self, order: str, event_type: str, **fields: Any) -> Entry:
        """Let an event stand there again, with other content if fields are given."""
        event = self.find(order, event_type).event
        assert event
        return self.add(msgspec.structs.replace(event, **fields))

    def orders(self, *event_types: str) -> list[str]:
        """The orders that have all these events."""
        found: dict[str, set[str]] = {}
        for entry in self.entries:
            if entry.event:
                found.setdefault(entry.event.order_id, set()).add(entry.event.event_type)
        return sorted(order for order, types in found.items() if types >= set(event_types))

    def offset_of(self, entry: Entry) -> int:
        """Where an entry will stand, if nothing older comes to its partition."""
        mine = sorted(
            (e for e in self.entries if (e.topic, e.partition) == (entry.topic, entry.partition)),
            key=lambda e: e.timestamp_ms,
        )
        return next(offset for offset, e in enumerate(mine) if e is entry)

    def partitions(self) -> dict[tuple[str, int], list[Record]]:
        """The records by topic and partition, in the order of their timestamps, with offsets from 0."""
        partitions: dict[tuple[str, int], list[Record]] = {}
        for e in sorted(self.entries, key=lambda e: e.timestamp_ms):
            records = partitions.setdefault((e.topic, e.partition), [])
            records.append(Record(e.topic, e.partition, len(records), e.timestamp_ms, e.key, e.value, e.headers))
        return partitions

    def records(self) -> list[Record]:
        """All records in the order of their timestamps."""
        merged: Iterable[Record] = heapq.merge(*self.partitions().values(), key=lambda record: record.timestamp_ms)
        return list(merged)


def interleave(partitions: dict[tuple[str, int], list[Record]], rng: random.Random) -> Iterator[Record]:
    """The records in any order that keeps each partition's own."""
    turns = [place for place, records in partitions.items() for _ in records]
    rng.shuffle(turns)
    waiting = {place: iter(records) for place, records in partitions.items()}
    return (next(waiting[place]) for place in turns)


def consumers(topic: str) -> list[str]:
    """The services that consume a topic."""
    return [service.name for service in TOPOLOGY.processors if topic in service.consumes]

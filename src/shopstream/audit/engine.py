"""The auditor: fed with records, it says whether every order had exactly one outcome. Pure: no clock, no Kafka.

It knows the events and the topology, and nothing of the services: what they should have done follows from the records
alone. Feed it the records of all topics; within a partition in the order of their offsets, across partitions and
topics in any order. The closer that order is to time, the fewer orders are under way at once, and the less memory it
takes: 29 bytes for a finished order, about 1 kB for one that is under way or broken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from shopstream.audit.checks import faults
from shopstream.audit.judging import Evidence, judge
from shopstream.audit.ledger import ENDING_OF, FACT_OF, TYPE_NAMES, Fact, Order
from shopstream.audit.letters import DeadLetterBook
from shopstream.audit.rates import rival_of
from shopstream.audit.runbook import MONEY, RunBook
from shopstream.audit.stream import Stream
from shopstream.errors import BadRecord
from shopstream.events import EventReader, split_order_id
from shopstream.runs import decode_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shopstream.audit.verdict import Verdict
    from shopstream.records import Record
    from shopstream.runs import Guarantee
    from shopstream.topology import Topology

# What it is called when an event comes twice: money and mail have names of their own.
_TWICE = {"payment_refunded": "double_refund", "customer_notified": "double_notification"}

NO_RUN = ""


class Auditor:
    """Reads what happened and judges it.

    Args:
        topology: Which events stand on which topic, and who consumes it.
        expected_rates: For example `{"payment_approved": 0.9}`: the share that a decision should have in its pair.
        run_id: Judge only this run. Unusable records and dead letters then count only if their key names the run.
        guarantee: Hold every run to this promise, not to that of its progress record. Without either, a run is held
            to the weakest promise that any run has given (a worker that may repeat itself does so for every order),
            and to exactly-once if there is none.
        max_samples: How many samples to keep of each anomaly.

    Attributes:
        known_runs: Every run that a progress record or an order has told of, judged or not.

    Raises:
        ValueError: `expected_rates` names something that is no decision.
    """

    def __init__(
        self,
        topology: Topology,
        *,
        expected_rates: Mapping[str, float],
        run_id: str | None = None,
        guarantee: Guarantee | None = None,
        max_samples: int = 10,
    ) -> None:
        for event_type in expected_rates:
            rival_of(event_type)
        self._rates = dict(expected_rates)
        self._run_id = run_id
        self._guarantee: Guarantee | None = guarantee
        self._max_samples = max_samples
        self._topology = topology
        self._progress = topology.source.progress
        self._topics = [topology.topic_of[name] for name in TYPE_NAMES]
        self._readers = {t.name: EventReader(t.events).read for t in topology.topics.values() if t.events}
        self._streams: dict[tuple[str, int], Stream] = {}
        self._orders: dict[str, Order] = {}
        self._books: dict[str, RunBook] = {}
        self._letters = DeadLetterBook(topology)
        self.known_runs: set[str] = set()
        if run_id is not None:
            self._book(run_id)

    @property
    def open_orders(self) -> int:
        """How many orders are under way, or have something wrong with them: those that take memory."""
        return len(self._orders)

    def begins_at(self, topic: str, partition: int, offset: int) -> None:
        """Take note of the first offset of a partition that could be read: what lies before was deleted unread."""
        stream = self._stream(topic, partition)
        stream.begin = offset
        if offset > stream.next_offset:  # the first record that is left is yet to come
            stream.first_ms = None

    @property
    def read_up_to(self) -> dict[tuple[str, int], int]:
        """For each topic and partition of which records were fed: the offset behind the last one."""
        return {place: stream.next_offset for place, stream in self._streams.items() if stream.next_offset}

    def acknowledge(self, run_id: str, committed: int) -> None:
        """Take note that the orders of a run with numbers below `committed` were acknowledged, whoever knows that.

        Unlike one that a progress record acknowledges, such an order is lost at once if it is not there.
        """
        if self._run_id in {None, run_id}:
            self._book(run_id).acknowledge(committed)

    def feed(self, record: Record) -> None:
        """Take note of one record."""
        self.feed_many((record,))

    def feed_many(self, records: Iterable[Record]) -> None:
        """Take note of records."""
        streams, orders = self._streams, self._orders
        for record in records:
            partition = record.partition
            stream = streams.get((record.topic, partition)) or self._stream(record.topic, partition)
            offset = record.offset
            timestamp_ms = record.timestamp_ms
            stream.next_offset = offset + 1
            if stream.first_ms is None:
                stream.first_ms = timestamp_ms
            if stream.read is None:
                self._feed_other(record)
                continue
            value = record.value
            try:
                event = stream.read(record.key, value)
            except BadRecord as bad:
                if book := self._book_of_key(record.key):
                    self._letters.note_bad(record, book, bad.reason)
                continue
            number, fact_of = FACT_OF[type(event)]
            fact = fact_of(event, offset, crc32(value), timestamp_ms)  # type: ignore[arg-type] # an event has a value
            order = orders.get(event.order_id)
            if order is None:
                order = self._open(event.order_id, partition, timestamp_ms)
                if order is None:
                    continue
            if timestamp_ms < order.oldest_ms:
                order.oldest_ms = timestamp_ms
            if timestamp_ms > order.newest_ms:
                order.newest_ms = timestamp_ms
            if partition != order.partition and order.stray is None:
                order.stray = (number, partition, offset)
            known = order.facts[number]
            if known is None:
                order.facts[number] = fact
                order.mask |= 1 << number
                order.book.funnel[number] += 1
                if number in MONEY:
                    order.book.move_money(number, fact.amount or 0, fact.currency or "")
            else:
                self._feed_again(order, number, known, fact, partition)
            ending = ENDING_OF.get(order.mask)
            if ending is not None and not faults(order):
                order.book.finish(order, ending)
                del orders[event.order_id]

    def verdict(self, now_ms: int, patience_ms: int = 60_000) -> Verdict:
        """Judge what has been fed so far. Changes nothing: feed more, and ask again.

        What contradicts itself is wrong at once; what is missing is pending until its time is up: an event of an order,
        the dead letter of an unusable record, or an order that has been acknowledged.

        Args:
            now_ms: The time, in milliseconds since 1970, by the clock of the records' timestamps.
            patience_ms: What an order lacks is pending as long as its youngest record is younger than this.
        """
        evidence = Evidence(
            topics=self._topics,
            partitions_cut=self._horizons(),
            streams=self._streams,
            orders=self._orders.values(),
            books=list(self._books.values()),
            letters=self._letters,
            rates=self._rates,
            guarantee=self._guarantee,
            max_samples=self._max_samples,
        )
        return judge(evidence, now_ms, patience_ms)

    def _stream(self, topic: str, partition: int) -> Stream:
        return self._streams.setdefault((topic, partition), Stream(self._readers.get(topic)))

    def _horizons(self) -> dict[int, float]:
        """For each partition number from which retention has deleted events: when what is left begins."""
        horizons: dict[int, float] = {}
        for (topic, partition), stream in self._streams.items():
            if stream.begin > 0 and topic in self._readers:
                first_ms = float("inf") if stream.first_ms is None else stream.first_ms
                horizons[partition] = max(horizons.get(partition, first_ms), first_ms)
        return horizons

    def _book(self, run_id: str) -> RunBook:
        book = self._books.get(run_id)
        if book is None:
            book = self._books[run_id] = RunBook(run_id, self._max_samples)
        return book

    def _open(self, order_id: str, partition: int, timestamp_ms: int) -> Order | None:
        """Begin, or take up again, an order; None if it is not to be judged."""
        parts = split_order_id(order_id)
        run_id = parts[0] if parts else NO_RUN
        if parts and run_id not in self.known_runs:
            self.known_runs.add(run_id)
        if self._run_id not in {None, run_id}:
            return None
        book = self._book(run_id)
        number = parts[1] if parts else book.number_of(order_id)
        order = book.finished.take(order_id, book, number, timestamp_ms)
        if order is None:
            order = Order(order_id, book, number, partition, timestamp_ms)
        if book.oldest_ms is None or timestamp_ms < book.oldest_ms:
            book.oldest_ms = timestamp_ms
        self._orders[order_id] = order
        return order

    def _feed_again(self, order: Order, number: int, known: Fact, fact: Fact, partition: int) -> None:
        """An event that has been there before: a copy, or another one under the same name."""
        name, topic, book = TYPE_NAMES[number], self._topics[number], order.book
        first = "the first is no longer known" if known.offset is None else f"the first is at offset {known.offset}"
        if fact.crc == known.crc:
            detail = f"{name}, byte-identical; {first}"
            book.copies.add(_TWICE.get(name, "duplicate_event"), order.order_id, topic, partition, fact.offset, detail)
            return
        if number in MONEY:
            book.move_money(number, fact.amount or 0, fact.currency or "")
        detail = f"{name}, with different content; {first}"
        anomaly = _TWICE.get(name, "conflicting_duplicate")
        book.conflicts.add(anomaly, order.order_id, topic, partition, fact.offset, detail)

    def _feed_other(self, record: Record) -> None:
        """A record that is no event: progress, a dead letter, or a service's own state."""
        if record.topic == self._progress:
            if not record.value:  # a tombstone
                return
            try:
                run = decode_run(record.value)
            except BadRecord as bad:
                if book := self._book_of_key(record.key):
                    self._letters.note_bad(record, book, bad.reason)
                return
            self.known_runs.add(run.run_id)
            if self._run_id in {None, run.run_id}:
                self._book(run.run_id).acknowledge(run.committed, record.timestamp_ms, run.guarantee)
        elif record.topic == self._topology.dead_letters and (book := self._book_of_key(record.key)):
            self._letters.note_letter(record, book)

    def _book_of_key(self, key: bytes | None) -> RunBook | None:
        """The run that an unusable record's key names, if there is one of that name; None if it is not to be judged."""
        parts = split_order_id(key.decode(errors="replace")) if key and len(key) < 100 else None
        if parts and parts[0] in self._books:
            return self._books[parts[0]]
        return None if self._run_id is not None else self._book(NO_RUN)

"""Unusable records and their dead letters: each must have one for each service that consumes its topic.

The two are read from different topics, in any order; they meet by the record's topic, partition and offset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from shopstream.audit.verdict import DeadLetters
from shopstream.deadletter import origin_of
from shopstream.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shopstream.audit.runbook import Notes, RunBook
    from shopstream.audit.stream import Stream
    from shopstream.records import Record
    from shopstream.topology import Topology


class Case(Struct, gc=False):
    """A record that is unusable, or that a dead letter says is.

    Attributes:
        book: The run that its key names, as far as that is known.
        key: Its key, for people.
        reason: What is wrong with it; None if the record was not read, or not found unusable.
        timestamp_ms: Its Kafka timestamp; that of the dead letter as long as only that is known.
        seen: The services that have dead-lettered it, as bits.
        letter: Partition and offset of its first dead letter.
    """

    book: RunBook
    key: str | None
    reason: str | None
    timestamp_ms: int
    seen: int = 0
    letter: tuple[int, int] | None = None


class DeadLetterBook:
    """Brings unusable records and dead letters together."""

    def __init__(self, topology: Topology) -> None:
        self._topic = topology.dead_letters
        self._services = [service.name for service in topology.processors if service.dead_letters]
        self._consumers = {
            topic: sum(1 << self._services.index(s.name) for s in topology.processors if topic in s.consumes)
            for topic in topology.topics
        }
        self._cases: dict[tuple[str, int], dict[int, Case]] = {}

    def note_bad(self, record: Record, book: RunBook, reason: str) -> None:
        """Take note of an unusable record on an event topic."""
        book.bad_records[reason] = book.bad_records.get(reason, 0) + 1
        if not self._consumers[record.topic]:
            return
        cases = self._cases.setdefault((record.topic, record.partition), {})
        case = cases.get(record.offset)
        if case is None:
            cases[record.offset] = Case(book, key_text(record.key), reason, record.timestamp_ms)
        else:
            case.reason = reason
            case.timestamp_ms = record.timestamp_ms

    def note_letter(self, record: Record, book: RunBook) -> None:
        """Take note of a record on the dead-letter topic."""
        key = key_text(record.key)
        try:
            origin = origin_of(record.headers)
        except BadRecord as bad:
            book.conflicts.add("dead_letter_unfounded", key, record.topic, record.partition, record.offset, bad.detail)
            return
        place = (
            f"{origin.service} could not use {origin.topic}, partition {origin.partition}, offset {origin.offset}: "
            f"{origin.reason}"
        )
        service = 1 << self._services.index(origin.service) if origin.service in self._services else 0
        if not service & self._consumers.get(origin.topic, 0):
            detail = f"{place}, but does not consume it"
            book.conflicts.add("dead_letter_unfounded", key, record.topic, record.partition, record.offset, detail)
            return
        cases = self._cases.setdefault((origin.topic, origin.partition), {})
        case = cases.get(origin.offset)
        if case is None:
            case = cases[origin.offset] = Case(book, key, None, record.timestamp_ms)
        if case.letter is None:
            case.letter = (record.partition, record.offset)
        if case.seen & service:
            case.book.letter_copies.add(
                "dead_letter_duplicate", key, record.topic, record.partition, record.offset, place
            )
        case.seen |= service

    def judge(
        self, streams: dict[tuple[str, int], Stream], due_ms: int, notes: dict[RunBook, Notes]
    ) -> dict[RunBook, DeadLetters]:
        """Hold the letters against the records.

        Args:
            streams: How far each topic's partitions have been read.
            due_ms: What is older than this has had its time.
            notes: Where anomalies go, by run.

        Returns:
            The counts of each run that has any, duplicates left out.
        """
        counts: dict[RunBook, list[int]] = {}
        for (topic, partition), cases in self._cases.items():
            stream = streams.get((topic, partition))
            expected = self._consumers[topic]
            for offset, case in cases.items():
                count = counts.setdefault(case.book, [0, 0, 0, 0])
                if case.reason is not None:
                    count[0] += expected.bit_count()
                    count[1] += case.seen.bit_count()
                    for service in self._names(expected & ~case.seen):
                        if case.timestamp_ms > due_ms:
                            count[2] += 1
                        else:
                            detail = f"{case.reason}, not dead-lettered by {service}"
                            notes[case.book].add("dead_letter_missing", case.key, topic, partition, offset, detail)
                elif stream and offset < stream.begin:
                    count[3] += case.seen.bit_count()
                elif case.timestamp_ms > due_ms and (stream is None or offset >= stream.next_offset):
                    count[2] += case.seen.bit_count()
                elif case.letter:
                    detail = f"{topic}, partition {partition}, offset {offset} holds no unusable record"
                    notes[case.book].add("dead_letter_unfounded", case.key, self._topic, *case.letter, detail)
        return {
            book: DeadLetters(expected=expected, found=found, pending=pending, cut_off=cut_off)
            for book, (expected, found, pending, cut_off) in counts.items()
        }

    def _names(self, services: int) -> Iterator[str]:
        return (name for bit, name in enumerate(self._services) if services >> bit & 1)


def key_text(key: bytes | None) -> str | None:
    """A record's key for people: at most 100 characters, whatever its bytes are."""
    return None if key is None else key[:100].decode(errors="replace")

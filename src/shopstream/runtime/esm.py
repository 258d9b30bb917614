"""What a Lambda function receives from an event source mapping for self-managed Kafka, and the lines that it logs.

The payload's form is AWS's ("Using Lambda with self-managed Apache Kafka"): records by topic and partition, key and
value in base64. It varies more than its examples tell: the partition may come as a text, the key may be missing, and
header bytes may be negative, as Java's are.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from shopstream.errors import BadRecord
from shopstream.events import EventReader, split_order_id
from shopstream.topology import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shopstream.events import Event


class Record(msgspec.Struct, frozen=True, rename="camel"):
    """A Kafka record as the event source mapping delivers it.

    Attributes:
        topic: Where it comes from.
        partition: Its partition.
        offset: Its offset there.
        timestamp: Milliseconds since 1970, UTC.
        key: Its key; None when it has none.
        value: Its value; None for a tombstone.
        headers: One mapping a header, of its name to its bytes as numbers from -128 to 255; see `header_items`.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int | None = None
    key: bytes | None = None
    value: bytes | None = None
    headers: list[dict[str, list[int]]] | None = None

    @property
    def header_items(self) -> tuple[tuple[str, bytes], ...]:
        """The headers by name, in sequence."""
        return tuple(
            (name, bytes(number & 0xFF for number in numbers))
            for header in self.headers or ()
            for name, numbers in header.items()
        )


def records(payload: Mapping[str, Any], service: str) -> Iterator[Record]:
    """The records of a batch, in the payload's sequence. What is no record is logged and left out."""
    for topic_partition, batch in (payload.get("records") or {}).items():
        for raw in batch:
            try:
                # Not strict: "0" is a partition too.
                yield msgspec.convert(raw, Record, strict=False)
            except msgspec.ValidationError as error:
                origin = raw if isinstance(raw, dict) else {}
                log(
                    service=service,
                    outcome="bad_record",
                    reason="not_a_record",
                    detail=str(error),
                    topic=origin.get("topic", topic_partition.rpartition("-")[0]),
                    partition=origin.get("partition", topic_partition.rpartition("-")[2]),
                    offset=origin.get("offset"),
                    order_id=None,
                )


def events(payload: Mapping[str, Any], service: str) -> Iterator[Event]:
    """The events of a batch, in the payload's sequence. A record that holds none is logged and left out."""
    for record in records(payload, service):
        try:
            yield read(record)
        except BadRecord as bad:
            key = (record.key or b"").decode(errors="replace")
            log(
                service=service,
                outcome="bad_record",
                reason=bad.reason,
                detail=bad.detail,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                order_id=key if split_order_id(key) else None,  # another key may be anything, personal data too
            )


def read(record: Record) -> Event:
    """The event in a record.

    Raises:
        BadRecord: It holds none that may stand on its topic.
    """
    reader = _readers().get(record.topic)
    if reader is None:
        raise BadRecord("unknown_topic", "the topology declares no events for this topic")
    return reader.read(record.key, record.value)


@cache
def _readers() -> Mapping[str, EventReader]:
    return {topic.name: EventReader(topic.events) for topic in load().topics.values() if topic.events}


def log_event(service: str, event: Event) -> None:
    """Log an event that a service made: what and of which order, and nothing about the customer."""
    log(service=service, event_type=event.event_type, order_id=event.order_id, outcome=outcome(event))


def outcome(event: Event) -> str:
    """How an event turned out, in a word: its reason or kind if it has one, otherwise its verb, such as `approved`."""
    for field in ("reason", "kind"):
        if word := getattr(event, field, None):
            return str(word)
    return event.event_type.rpartition("_")[2]


def log(**fields: object) -> None:
    """Write one line of JSON to standard output, which Lambda sends to CloudWatch Logs as it is."""
    print(msgspec.json.encode(fields).decode(), flush=True)

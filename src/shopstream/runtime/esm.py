"""What an event source mapping for self-managed Kafka hands to a Lambda function, and what it makes of the answer.

The payload's form is AWS's ("Using Lambda with self-managed Apache Kafka"): records by topic and partition, key and
value in base64. It varies more than its examples tell: the partition may come as a text, key, timestamp and headers
may be missing, and header bytes may be negative, as Java's are.

The answer's form is AWS's as well ("Configuring error handling controls for Kafka event sources"). Mind who reads it:
only a mapping in provisioned mode that asks for ReportBatchItemFailures. To any other, whatever a function returns
means that the whole batch is done, so a failure told that way would lose its record. See `function.py`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from shopstream.errors import BadRecord, UsageError
from shopstream.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

UNKNOWN = -1
"""Stands for a partition, an offset or a timestamp that the payload does not tell, as it does in Kafka's protocol."""

MOST_RAW_BYTES = 1_048_576
"""How much of an entry that is no record is kept, in bytes: a dead letter must fit on its topic."""


class Delivery(NamedTuple):
    """One entry of a batch.

    Attributes:
        record: The record; for an entry that is none, what is known of it, with the entry's own JSON as its value.
        bad: Why the entry is no record; None if it is one.
    """

    record: Record
    bad: BadRecord | None = None


class _Raw(msgspec.Struct, rename="camel"):
    """A record as AWS writes it. Each header is a mapping of its name to its bytes, as numbers from -128 to 255."""

    topic: str
    partition: int
    offset: int
    timestamp: int | None = None
    key: bytes | None = None
    value: bytes | None = None
    headers: list[dict[str, list[int] | None]] | None = None


def deliveries(payload: Any) -> list[Delivery]:
    """Everything in a batch, in the payload's sequence.

    Raises:
        UsageError: This is no batch at all: the function was invoked by something else than an event source mapping.
    """
    if payload is None or payload == {}:
        return []
    # Another service's event is no empty batch: SQS, for one, would delete the messages that it takes for done.
    known = isinstance(payload, dict) and "records" in payload
    batches = payload["records"] if known else payload
    if batches is None:
        return []
    if not known or not isinstance(batches, dict):
        keys = f" with {', '.join(map(str, batches))}"[:100] if isinstance(batches, dict) else ""
        raise UsageError(
            'this function expects what an event source mapping for Kafka sends, {"records": {"<topic>-<partition>": '
            f"[...]}}}}, and was given a {type(batches).__name__}{keys}: invoke it through a mapping, or with such a "
            "payload"
        )
    return list(_entries(batches))


def _entries(batches: Mapping[str, Any]) -> Iterator[Delivery]:
    for place, batch in batches.items():
        for raw in batch if isinstance(batch, list) else [batch]:
            try:
                # Not strict: "0" is a partition too.
                yield Delivery(_record(msgspec.convert(raw, _Raw, strict=False)))
            except msgspec.ValidationError as error:
                yield _no_record(raw, place, error)


def _record(raw: _Raw) -> Record:
    headers = [
        (name, None if numbers is None else bytes(number & 0xFF for number in numbers))
        for header in raw.headers or ()
        for name, numbers in header.items()
    ]
    timestamp = UNKNOWN if raw.timestamp is None else raw.timestamp
    return Record(raw.topic, raw.partition, raw.offset, timestamp, raw.key, raw.value, headers)


def _no_record(raw: Any, place: str, error: msgspec.ValidationError) -> Delivery:
    """An entry that is no record: the best known origin, and the entry itself, so that nothing of it is lost."""
    told = raw if isinstance(raw, dict) else {}
    topic, _, partition = place.rpartition("-")
    text = json.dumps(raw, separators=(",", ":")).encode()
    detail = str(error)
    if len(text) > MOST_RAW_BYTES:
        detail += f"; only the first {MOST_RAW_BYTES} of its {len(text)} bytes are kept"
    record = Record(
        topic=told["topic"] if isinstance(told.get("topic"), str) else topic,
        partition=_number(told.get("partition"), _number(partition)),
        offset=_number(told.get("offset")),
        timestamp_ms=_number(told.get("timestamp")),
        key=None,
        value=text[:MOST_RAW_BYTES],
    )
    return Delivery(record, BadRecord("not_a_record", detail))


def _number(told: Any, otherwise: int = UNKNOWN) -> int:
    try:
        return msgspec.convert(told, int, strict=False)
    except msgspec.ValidationError:
        return otherwise


def response(failed: Iterable[Record] = ()) -> dict[str, Any]:
    """The answer to a batch: the records that are to be delivered again; without any, all of it is done.

    Each failed record is named, not just the first of its partition: then nothing is lost, whether AWS goes back to the
    first one of a partition, as it does for Kinesis, or delivers just those that are named, as its page on Kafka says.
    """
    return {
        "batchItemFailures": [
            {"itemIdentifier": {"partition": f"{record.topic}-{record.partition}", "offset": record.offset}}
            for record in failed
        ]
    }

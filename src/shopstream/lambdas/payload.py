"""A batch of Kafka records as the JSON that a function receives from an event source mapping.

The form is that of "Using Lambda with self-managed Apache Kafka" in AWS's developer guide. What AWS's example leaves
open follows from its pollers being Java programs: a header's bytes are numbers from -128 to 127, and a record without
key has no `key`.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LARGEST = 6 * 1024 * 1024
"""Bytes. "Lambda functions receive at most 6 MB in an invocation" is the quota of synchronous invocations."""

TimestampType = Literal["CREATE_TIME", "LOG_APPEND_TIME", "NO_TIMESTAMP_TYPE"]


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


class Record(NamedTuple):
    """A record as a poller reads it.

    Attributes:
        partition: Where it stands.
        offset: Its place there.
        timestamp: Milliseconds since 1970.
        timestamp_type: Who set the timestamp, by Java's names.
        key: Its key.
        value: Its value; None for a tombstone.
        headers: Its headers. Kafka allows one without a value.
        epoch: In which of its poller's assignments of the partition it was read. Once the partition has left the
            poller and come back, the record is read anew, and this one counts no longer.
    """

    partition: Partition
    offset: int
    timestamp: int
    timestamp_type: TimestampType
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    epoch: int = 0


def encode(records: Sequence[Record], bootstrap_servers: str) -> bytes:
    """The payload for a batch: records by partition, in the order in which each partition has them."""
    by_partition: dict[str, list[str]] = {}
    for record in records:
        by_partition.setdefault(str(record.partition), []).append(_encoded(record))
    return _whole(bootstrap_servers, by_partition).encode()


def split(records: Sequence[Record], bootstrap_servers: str, largest: int = LARGEST) -> Iterator[list[Record]]:
    """Cut a batch into pieces whose payloads are at most `largest` bytes, in order.

    A record that is too large by itself comes alone: `encode` then shows that it is too large.
    """
    empty = len(_whole(bootstrap_servers, {}).encode())
    if empty + sum(map(_at_most, records)) <= largest:  # as nearly always: then nothing has to be encoded to know it
        if records:
            yield list(records)
        return
    piece: list[Record] = []
    size = empty
    seen: set[Partition] = set()
    for record in records:
        content = len(_encoded(record).encode())
        # A partition's own entry is its name as a key, a colon and brackets; commas stand between entries.
        entry = len(json.dumps(str(record.partition)).encode()) + 3
        more = content + 1 if record.partition in seen else content + entry + bool(seen)
        if piece and size + more > largest:
            yield piece
            piece, seen, size = [], set(), empty
            more = content + entry
        piece.append(record)
        seen.add(record.partition)
        size += more
    if piece:
        yield piece


def rough_size(record: Record) -> int:
    """About how many bytes a record takes in a payload: for deciding when to stop gathering."""
    return (len(record.key or b"") + len(record.value or b"")) * 4 // 3 + 200


def _at_most(record: Record) -> int:
    """No less than the bytes that a record takes in a payload, its partition's entry included."""
    content = len(record.key or b"") + len(record.value or b"")
    headers = sum(12 * len(name) + 5 * len(value or b"") + 16 for name, value in record.headers)
    # An escaped character takes at most 12 bytes; the topic's name stands in the record and in the entry.
    return content * 4 // 3 + 8 + headers + 24 * len(record.partition.topic) + 240


def _whole(bootstrap_servers: str, by_partition: dict[str, list[str]]) -> str:
    inner = ",".join(f"{json.dumps(name)}:[{','.join(encoded)}]" for name, encoded in by_partition.items())
    return (
        f'{{"eventSource":"aws:SelfManagedKafka","bootstrapServers":{json.dumps(bootstrap_servers)},'
        f'"records":{{{inner}}}}}'
    )


def _encoded(record: Record) -> str:
    # Put together by hand: this runs for every record, and only names need escaping.
    key = f'"key":"{_base64(record.key)}",' if record.key is not None else ""
    value = f'"value":"{_base64(record.value)}",' if record.value is not None else ""
    headers = ",".join(f"{{{json.dumps(name)}:{_numbers(content)}}}" for name, content in record.headers)
    return (
        f'{{"topic":{json.dumps(record.partition.topic)},"partition":{record.partition.number},'
        f'"offset":{record.offset},"timestamp":{record.timestamp},"timestampType":"{record.timestamp_type}",'
        f'{key}{value}"headers":[{headers}]}}'
    )


def _base64(content: bytes) -> str:
    return b2a_base64(content, newline=False).decode("ascii")


def _numbers(content: bytes | None) -> str:
    if content is None:
        return "null"
    return f"[{','.join(str(byte - 256 if byte > 127 else byte) for byte in content)}]"

"""A record as Kafka holds it: what the workers process and what the auditor judges."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

Headers = Sequence[tuple[str, bytes | None]]


class Record(Struct, frozen=True, gc=False):
    """A record as it stands on a topic.

    Attributes:
        topic: The topic.
        partition: Its partition, from 0.
        offset: Its place there.
        timestamp_ms: Kafka's timestamp, in milliseconds since 1970.
        key: Its key.
        value: Its value.
        headers: Its headers. Kafka allows one without a value.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None

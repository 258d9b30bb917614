"""Dead letters: how a record that a service cannot use tells where it came from and what is wrong with it.

A dead letter is the record itself, key, value and headers as they were, with the headers of this module behind its
own. Readers take the last header of a name, so a dead letter that was replayed and failed again tells of its last
failure. A dead letter is identified by (service, topic, partition, offset): there is one for each service that
consumes the record's topic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shopstream.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Iterable

REASON = "shopstream.reason"
DETAIL = "shopstream.detail"
SERVICE = "shopstream.service"
TOPIC = "shopstream.topic"
PARTITION = "shopstream.partition"
OFFSET = "shopstream.offset"
TIMESTAMP = "shopstream.timestamp"


@dataclass(frozen=True)
class Origin:
    """Where a dead letter came from.

    Attributes:
        reason: Why it could not be used, a short constant such as `not_json`.
        service: The service that could not use it.
        topic: The topic that it stood on.
        partition: Its partition there.
        offset: Its offset there.
    """

    reason: str
    service: str
    topic: str
    partition: int
    offset: int


def headers_for(
    bad: BadRecord,
    *,
    service: str,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    original: Iterable[tuple[str, bytes | None]] | None = None,
) -> list[tuple[str, bytes | None]]:
    """The headers of a dead letter: the record's own first, then why, by whom and where from, in UTF-8.

    Args:
        bad: What is wrong with the record.
        service: Who could not use it.
        topic: Where it stood.
        partition: Its partition there.
        offset: Its offset there.
        timestamp_ms: Its Kafka timestamp, in milliseconds since 1970.
        original: Its own headers. Kafka allows one without a value.
    """
    ours = {
        REASON: bad.reason,
        DETAIL: bad.detail,
        SERVICE: service,
        TOPIC: topic,
        PARTITION: str(partition),
        OFFSET: str(offset),
        TIMESTAMP: str(timestamp_ms),
    }
    # A detail quotes a parser, whose words may hold a lone surrogate of the record: no error may come from there.
    return [*(original or ()), *((name, text.encode(errors="replace")) for name, text in ours.items())]


def origin_of(headers: Iterable[tuple[str, bytes | None]] | None) -> Origin:
    """Where a dead letter came from, by its headers.

    Raises:
        BadRecord: With the reason `no_origin`: a header is missing, or is not what `headers_for` writes.
    """
    found = dict(headers or ())
    texts = {}
    for name in (REASON, SERVICE, TOPIC, PARTITION, OFFSET):
        raw = found.get(name)
        if not raw:
            raise BadRecord("no_origin", f"the header {name} is missing")
        try:
            texts[name] = raw.decode()
        except UnicodeDecodeError as error:
            raise BadRecord("no_origin", f"the header {name} is not UTF-8") from error
    return Origin(
        reason=texts[REASON],
        service=texts[SERVICE],
        topic=texts[TOPIC],
        partition=_whole(PARTITION, texts[PARTITION]),
        offset=_whole(OFFSET, texts[OFFSET]),
    )


def _whole(name: str, text: str) -> int:
    # Kafka's offsets have at most 19 digits; a longer text is none, and int() would be slow on it.
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise BadRecord("no_origin", f"the header {name} is not a whole number")
    return int(text)

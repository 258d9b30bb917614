"""One partition of a topic, as the auditor reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from shopstream.events import Event


class Stream:
    """How far a partition has been read, and what reads its records.

    Attributes:
        read: Turns key and value into an event; None where no events stand.
        begin: The first offset that is left; what lies before has been deleted by retention.
        next_offset: What comes behind the last record that was fed.
        first_ms: The timestamp of the first record that was fed; None as long as there is none.
    """

    __slots__ = ("begin", "first_ms", "next_offset", "read")

    def __init__(self, read: Callable[[bytes | None, bytes | None], Event] | None) -> None:
        self.read = read
        self.begin = 0
        self.next_offset = 0
        self.first_ms: int | None = None

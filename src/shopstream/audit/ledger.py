"""What the auditor remembers of each order: everything while it is under way, 29 bytes once it is done.

An order that is complete and consistent leaves behind which of the four outcomes it had, its partition, and a CRC-32
of each of its events. That is enough to recognise a late copy of one of them, to tell a copy from a forgery, and to
notice an event that contradicts the outcome.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from msgspec import Struct

from shopstream.events import (
    EVENT_TYPES,
    CustomerNotified,
    Event,
    OrderCancelled,
    OrderPlaced,
    OrderShipped,
    PaymentApproved,
    PaymentDeclined,
    PaymentRefunded,
    StockRejected,
    StockReleased,
    StockReserved,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from shopstream.audit.runbook import RunBook

# Event types as small numbers: an order's facts are a list, and which it has is a bit mask.
TYPE_NAMES = tuple(EVENT_TYPES)
_NUMBER = {kind: number for number, kind in enumerate(EVENT_TYPES.values())}
PLACED = _NUMBER[OrderPlaced]
APPROVED = _NUMBER[PaymentApproved]
DECLINED = _NUMBER[PaymentDeclined]
REFUNDED = _NUMBER[PaymentRefunded]
RESERVED = _NUMBER[StockReserved]
REJECTED = _NUMBER[StockRejected]
RELEASED = _NUMBER[StockReleased]
SHIPPED = _NUMBER[OrderShipped]
CANCELLED = _NUMBER[OrderCancelled]
NOTIFIED = _NUMBER[CustomerNotified]

# The four ways in which an order may end: the events that it has then, and what that is called.
OUTCOMES = ("shipped", "payment_declined", "out_of_stock")
_ENDINGS = (
    ((PLACED, APPROVED, RESERVED, SHIPPED, NOTIFIED), "shipped"),
    ((PLACED, DECLINED, RESERVED, CANCELLED, RELEASED, NOTIFIED), "payment_declined"),
    ((PLACED, APPROVED, REJECTED, CANCELLED, REFUNDED, NOTIFIED), "out_of_stock"),
    ((PLACED, DECLINED, REJECTED, CANCELLED, NOTIFIED), "out_of_stock"),
)
ENDING_OF = {sum(1 << number for number in events): ending for ending, (events, _) in enumerate(_ENDINGS)}
"""The ending (0 to 3) of an order by the mask of its events, if that is the mask of a complete order."""

NO_LINES = hash(())


class Fact(Struct, gc=False, frozen=True):
    """What is kept of one event.

    Attributes:
        offset: Where its record stands in the order's partition; None if that is no longer known.
        crc: CRC-32 of the record's value.
        timestamp_ms: The record's Kafka timestamp.
        amount: The money that it tells of, in minor units, if any; for order_cancelled the refund that it asks for.
        currency: Of that money.
        lines: Hash of the articles that it tells of, if any; for order_cancelled those to be released.
        word: The reason of a cancellation, the kind of a notification.
    """

    offset: int | None
    crc: int
    timestamp_ms: int
    amount: int | None = None
    currency: str | None = None
    lines: int | None = None
    word: str | None = None


class Order:
    """An order that is under way, or that has something wrong with it.

    Attributes:
        order_id: Its id.
        book: Its run.
        number: Its number in the run.
        partition: The partition of its first record.
        facts: What is known of each event, by the event's number.
        mask: Which events there are, as bits.
        oldest_ms: The timestamp of its oldest record.
        newest_ms: The timestamp of its youngest record.
        stray: A record on another partition than the first: where it is, and which event.
        restored: Whether it was finished once, and something came after that.
    """

    __slots__ = (
        "book", "facts", "mask", "newest_ms", "number", "oldest_ms", "order_id", "partition", "restored", "stray",
    )  # fmt: skip

    def __init__(self, order_id: str, book: RunBook, number: int, partition: int, timestamp_ms: int) -> None:
        self.order_id = order_id
        self.book = book
        self.number = number
        self.partition = partition
        self.facts: list[Fact | None] = [None] * len(TYPE_NAMES)
        self.mask = 0
        self.oldest_ms = timestamp_ms
        self.newest_ms = timestamp_ms
        self.stray: tuple[int, int, int] | None = None  # event number, partition, offset
        self.restored = False

    def has(self, *numbers: int) -> bool:
        """Whether it has all these events."""
        return all(self.mask >> number & 1 for number in numbers)


# One small function for each type: it runs once a record, so it looks at nothing twice.
FACT_OF: dict[type[Event], tuple[int, Callable[[Any, int, int, int], Fact]]] = {
    OrderPlaced: (PLACED, lambda e, o, c, t: Fact(o, c, t, e.total, e.currency, hash(e.lines))),
    PaymentApproved: (APPROVED, lambda e, o, c, t: Fact(o, c, t, e.amount, e.currency, hash(e.lines))),
    PaymentDeclined: (DECLINED, lambda e, o, c, t: Fact(o, c, t, e.amount, e.currency)),
    PaymentRefunded: (REFUNDED, lambda e, o, c, t: Fact(o, c, t, e.amount, e.currency)),
    StockReserved: (RESERVED, lambda e, o, c, t: Fact(o, c, t, None, None, hash(e.lines))),
    StockRejected: (REJECTED, lambda _, o, c, t: Fact(o, c, t)),
    StockReleased: (RELEASED, lambda e, o, c, t: Fact(o, c, t, None, None, hash(e.lines))),
    OrderShipped: (SHIPPED, lambda e, o, c, t: Fact(o, c, t, e.amount, e.currency, hash(e.lines))),
    OrderCancelled: (CANCELLED, lambda e, o, c, t: Fact(o, c, t, e.refund, e.currency, hash(e.release), e.reason)),
    CustomerNotified: (NOTIFIED, lambda e, o, c, t: Fact(o, c, t, None, None, None, e.kind)),
}
"""By the type of an event: its number, and what makes a `Fact` of (event, offset, crc, timestamp_ms)."""


def outcome_of(ending: int) -> str:
    """What an ending is called in a report."""
    return _ENDINGS[ending][1]


_ENTRY = struct.Struct("<Bi6I")  # ending + 1 (0: no order here), partition, one CRC for each event
_PAGE = 256  # orders


class FinishedOrders:
    """The finished orders of one run, 29 bytes each, in pages, so that a gap in the numbers costs little."""

    __slots__ = ("_pages", "count")

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self.count = 0

    def put(self, order: Order, ending: int) -> None:
        """Remember a complete and consistent order."""
        index, place = divmod(order.number, _PAGE)
        page = self._pages.get(index)
        if page is None:
            page = self._pages[index] = bytearray(_PAGE * _ENTRY.size)
        facts = order.facts
        crcs = [fact.crc for number in _ENDINGS[ending][0] if (fact := facts[number])]
        if len(crcs) < 6:
            crcs.append(0)
        _ENTRY.pack_into(page, place * _ENTRY.size, ending + 1, order.partition, *crcs)
        self.count += 1

    def take(self, order_id: str, book: RunBook, number: int, timestamp_ms: int) -> Order | None:
        """The order as far as it is remembered, which is forgotten here; None if it is not finished.

        Its facts have a CRC only: that its amounts and articles agreed is known, and nothing more.
        """
        index, place = divmod(number, _PAGE)
        page = self._pages.get(index)
        if page is None or not page[place * _ENTRY.size]:
            return None
        code, partition, *crcs = _ENTRY.unpack_from(page, place * _ENTRY.size)
        page[place * _ENTRY.size] = 0
        self.count -= 1
        order = Order(order_id, book, number, partition, timestamp_ms)
        order.restored = True
        for event, crc in zip(_ENDINGS[code - 1][0], crcs, strict=False):
            order.facts[event] = Fact(None, crc, timestamp_ms)
            order.mask |= 1 << event
        return order

    def absent(self, start: int, stop: int) -> Iterator[int]:
        """The numbers from `start` to below `stop` that no finished order has, ascending."""
        nothing = bytes(_PAGE)
        for index in range(start // _PAGE, -(-stop // _PAGE)):
            page = self._pages.get(index)
            codes = page[:: _ENTRY.size] if page else nothing
            place = codes.find(0, max(start - index * _PAGE, 0))
            while 0 <= place < stop - index * _PAGE:
                yield index * _PAGE + place
                place = codes.find(0, place + 1)

    def present(self, start: int) -> Iterator[tuple[int, int]]:
        """Number and partition of every finished order from the number `start` on, ascending."""
        for index in sorted(index for index in self._pages if index >= start // _PAGE):
            for place, (code, partition, *_) in enumerate(_ENTRY.iter_unpack(self._pages[index])):
                if code and index * _PAGE + place >= start:
                    yield index * _PAGE + place, partition

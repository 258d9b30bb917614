"""The ten events of the shop. Frozen, named in the past tense, versioned; these types are the contract.

Money is whole minor units (cents) of the currency beside it. `occurred_at` is the shop's own time: a derived event
takes it from its cause, never from a clock, so that deriving it again gives the same bytes. When a record really was
written is told by its Kafka timestamp.
"""

from __future__ import annotations

import re
from datetime import datetime  # noqa: TC003 - msgspec reads the annotation at run time
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from msgspec import Meta, Struct

from shopstream.events.identity import event_id as make_event_id

SCHEMA_VERSION: Literal[1] = 1

Name = Annotated[str, Meta(min_length=1, max_length=256)]
OrderId = Annotated[str, Meta(min_length=1, max_length=200)]  # so that an event_id, made of it, is a Name
Amount = Annotated[int, Meta(ge=0, le=10**12)]
Price = Annotated[int, Meta(ge=1, le=10**12)]  # what is paid: a refund of 0 means that nothing was
Currency = Annotated[str, Meta(min_length=3, max_length=3)]


class Line(Struct, frozen=True, gc=False):
    """One line of a basket. `unit_price` is in minor units."""

    article_id: Name
    name: Name
    quantity: Annotated[int, Meta(ge=1, le=10_000)]
    unit_price: Amount


# Fifty lines of the longest names, every character escaped, stay below MAX_EVENT_BYTES: whatever follows from an event
# that could be read can be read too.
MOST_LINES = 50
Lines = Annotated[tuple[Line, ...], Meta(min_length=1, max_length=MOST_LINES)]


class Customer(Struct, frozen=True, gc=False):
    """Who ordered."""

    customer_id: Name
    name: Name
    email: Name


class Address(Struct, frozen=True, gc=False):
    """Where the parcel goes. `country` is an ISO 3166-1 alpha-2 code."""

    street: Name
    postal_code: Name
    city: Name
    country: Annotated[str, Meta(min_length=2, max_length=2)]


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Event(Struct, frozen=True, kw_only=True, gc=False, tag_field="event_type", tag=_snake_case):
    """What all events have: identity, version, order and time.

    Attributes:
        event_type: The decision that the event tells of, for example `payment_approved`.
        event_id: `<order_id>:<event_type>`.
        schema_version: 1. A reader refuses any other, and ignores fields that it does not know.
        order_id: The order; also the record's key.
        occurred_at: The shop's time, UTC.
    """

    event_type: ClassVar[str]

    event_id: Name
    schema_version: Literal[1]
    order_id: OrderId
    occurred_at: Annotated[datetime, Meta(tz=True)]

    def __init_subclass__(cls) -> None:
        """Give each type its name: those of the shop, and those that a service declares in its own module."""
        super().__init_subclass__()
        cls.event_type = _snake_case(cls.__name__)


class OrderPlaced(Event, frozen=True, kw_only=True, gc=False):
    """A customer placed an order. `total` is the sum of quantity x unit price over all lines."""

    customer: Customer
    ship_to: Address
    lines: Lines
    total: Price
    currency: Currency

    def __post_init__(self) -> None:
        """Refuse a total that is not the sum of the lines.

        Raises:
            ValueError: It is not.
        """
        if self.total != total_of(self.lines):
            raise ValueError("total is not the sum of the lines")


class PaymentApproved(Event, frozen=True, kw_only=True, gc=False):
    """The payment went through. Carries what shipping needs."""

    amount: Amount
    currency: Currency
    authorization: Name
    customer: Customer
    ship_to: Address
    lines: Lines


class PaymentDeclined(Event, frozen=True, kw_only=True, gc=False):
    """The payment was refused."""

    amount: Amount
    currency: Currency
    reason: Name
    customer: Customer


class PaymentRefunded(Event, frozen=True, kw_only=True, gc=False):
    """The payment of a cancelled order went back."""

    amount: Amount
    currency: Currency


class StockReserved(Event, frozen=True, kw_only=True, gc=False):
    """Every line is in stock and set aside."""

    lines: Lines
    customer: Customer


class StockRejected(Event, frozen=True, kw_only=True, gc=False):
    """Something was missing, so nothing was set aside. `missing` names the articles."""

    missing: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=MOST_LINES)]
    customer: Customer


class StockReleased(Event, frozen=True, kw_only=True, gc=False):
    """The reserved lines of a cancelled order are for sale again."""

    lines: Lines


class OrderShipped(Event, frozen=True, kw_only=True, gc=False):
    """The parcel left the house. `amount` is what was paid for it."""

    amount: Amount
    currency: Currency
    carrier: Name
    tracking_number: Name
    customer: Customer
    ship_to: Address
    lines: Lines


CancelReason = Literal["payment_declined", "out_of_stock", "payment_declined_and_out_of_stock"]


class OrderCancelled(Event, frozen=True, kw_only=True, gc=False):
    """The order ends without a parcel. `refund` (0: nothing was paid) and `release` say what must be undone."""

    reason: CancelReason
    customer: Customer
    refund: Amount
    currency: Currency
    release: Annotated[tuple[Line, ...], Meta(max_length=MOST_LINES)]


class CustomerNotified(Event, frozen=True, kw_only=True, gc=False):
    """The customer was told how the order ended: exactly once for each order."""

    kind: Literal["shipped", "out_of_stock", "payment_declined"]
    customer: Customer
    channel: Literal["email"]
    text: Annotated[str, Meta(min_length=1, max_length=2_000)]


EVENT_TYPES: dict[str, type[Event]] = {
    kind.event_type: kind
    for kind in (
        OrderPlaced,
        PaymentApproved,
        PaymentDeclined,
        PaymentRefunded,
        StockReserved,
        StockRejected,
        StockReleased,
        OrderShipped,
        OrderCancelled,
        CustomerNotified,
    )
}

E = TypeVar("E", bound=Event)


def derive(kind: type[E], cause: Event, /, **fields: Any) -> E:
    """A new event of the same order that follows from `cause`: same order, same time, its own id.

    Args:
        kind: The event's type.
        cause: What it follows from.
        fields: The fields of its own.
    """
    return kind(
        event_id=make_event_id(cause.order_id, kind.event_type),
        schema_version=SCHEMA_VERSION,
        order_id=cause.order_id,
        occurred_at=cause.occurred_at,
        **fields,
    )


def total_of(lines: tuple[Line, ...]) -> int:
    """The sum of quantity x unit price, in minor units."""
    return sum([line.quantity * line.unit_price for line in lines])

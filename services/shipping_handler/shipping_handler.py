"""Joins what became of an order's payment with what became of its stock: a parcel, or the end of the order.

The join is a pure step from (what waits, what arrives) to (what waits then, what follows). Where the waiting half is
kept is the business of whoever runs it. Both sequences of arrival give the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shopstream.events import (
    OrderCancelled,
    OrderShipped,
    PaymentApproved,
    PaymentDeclined,
    StockRejected,
    StockReserved,
    choose,
    derive,
    draw,
)

if TYPE_CHECKING:
    from shopstream.events import CancelReason, Event

SERVICE = "shipping_handler"
CARRIERS = ("Northline Parcel", "Continental Express", "Green Mile Couriers", "Harbour Freight Post")

_ANY_SEED = 0  # carrier and tracking number depend on nothing but the order


def ship_order(payment_result: Event) -> OrderShipped | None:
    """Hand an order to a carrier when its payment was approved; None for any other event.

    This is the payment's side alone; `join` asks for the stock's consent first.
    """
    return _ship(payment_result, payment_result) if isinstance(payment_result, PaymentApproved) else None


def _ship(payment: PaymentApproved, cause: Event) -> OrderShipped:
    order = payment.order_id
    return derive(
        OrderShipped,
        cause,
        amount=payment.amount,
        currency=payment.currency,
        carrier=choose(CARRIERS, _ANY_SEED, order, "carrier"),
        tracking_number=f"SP{int(draw(_ANY_SEED, order, 'tracking') * 10**15):015d}",
        customer=payment.customer,
        ship_to=payment.ship_to,
        lines=payment.lines,
    )


def cancel_order(payment: PaymentApproved | PaymentDeclined, stock: StockReserved | StockRejected) -> OrderCancelled:
    """End an order that cannot be shipped, and say what must be undone: the payment, the reservation, or neither.

    Raises:
        ValueError: The order is paid and in stock: it is to be shipped.
    """
    paid, reserved = isinstance(payment, PaymentApproved), isinstance(stock, StockReserved)
    if paid and reserved:
        raise ValueError(f"order {payment.order_id} is paid and in stock: ship it")
    reason: CancelReason = "payment_declined_and_out_of_stock"
    if paid:
        reason = "out_of_stock"
    elif reserved:
        reason = "payment_declined"
    return derive(
        OrderCancelled,
        _later(payment, stock),
        reason=reason,
        customer=payment.customer,
        refund=payment.amount if paid else 0,
        currency=payment.currency,
        release=stock.lines if isinstance(stock, StockReserved) else (),
    )


def _later(payment: Event, stock: Event) -> Event:
    # The payment wins a tie, whichever arrived first: the same instant may be written with two UTC offsets.
    return stock if stock.occurred_at > payment.occurred_at else payment


def join(waiting: Event | None, event: Event) -> tuple[Event | None, tuple[Event, ...]]:
    """One step of the join of an order's two decisions.

    Args:
        waiting: The order's half that arrived first, or None when none waits.
        event: What arrives. Anything but a decision on the payment or the stock changes nothing, and so does another
            delivery of the half that waits.

    Returns:
        What waits from now on (None once the order is decided), and what follows: nothing, or one of `OrderShipped`
        and `OrderCancelled`. A half that is delivered again after the order was decided waits like a first one: that
        nothing is delivered twice, or that decided orders are remembered, is up to the caller.

    Raises:
        ValueError: The two are of different orders.
    """
    if not isinstance(event, PaymentApproved | PaymentDeclined | StockReserved | StockRejected):
        return waiting, ()
    if waiting is None:
        return event, ()
    if waiting.order_id != event.order_id:
        raise ValueError(f"{event.event_id} cannot be joined with {waiting.event_id}: these are two orders")
    for payment, stock in ((waiting, event), (event, waiting)):
        if isinstance(payment, PaymentApproved | PaymentDeclined) and isinstance(stock, StockReserved | StockRejected):
            if isinstance(payment, PaymentApproved) and isinstance(stock, StockReserved):
                return None, (_ship(payment, _later(payment, stock)),)
            return None, (cancel_order(payment, stock),)
    return waiting, ()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point: a batch of Kafka records in, what follows from it to Kafka; the halves wait in DynamoDB."""
    from shopstream.runtime import function

    return function.of(SERVICE).handle(event, context)

"""Tells the customer how the order ended, exactly once.

Three events can end an order for the customer, and of every order just one of them happens:

    order_shipped                        shipped
    stock_rejected                       out_of_stock, whatever became of the payment
    order_cancelled with a reservation   payment_declined: the stock was there
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shopstream.events import CustomerNotified, OrderCancelled, OrderShipped, StockRejected, derive, total_of

if TYPE_CHECKING:
    from shopstream.events import Event

SERVICE = "notification_handler"


def notify(event: Event) -> CustomerNotified | None:
    """The message for the customer if the event is the one to tell of; None otherwise."""
    if isinstance(event, OrderShipped):
        return derive(
            CustomerNotified,
            event,
            kind="shipped",
            customer=event.customer,
            channel="email",
            text=f"Hello {event.customer.name}, your order {event.order_id} is on its way with {event.carrier}, "
            f"tracking number {event.tracking_number}. You paid {_money(event.amount, event.currency)}. Enjoy!",
        )
    if isinstance(event, StockRejected):
        return derive(
            CustomerNotified,
            event,
            kind="out_of_stock",
            customer=event.customer,
            channel="email",
            text=f"Hello {event.customer.name}, we are sorry: not everything in your order {event.order_id} is in "
            "stock, so we had to cancel it. If you have paid already, you get all of it back.",
        )
    if isinstance(event, OrderCancelled) and event.release:
        return derive(
            CustomerNotified,
            event,
            kind="payment_declined",
            customer=event.customer,
            channel="email",
            text=f"Hello {event.customer.name}, your payment of {_money(total_of(event.release), event.currency)} for "
            f"order {event.order_id} was declined, so we had to cancel it. Nothing was charged. Please do order again.",
        )
    return None


def _money(amount: int, currency: str) -> str:
    """Cents as people write them: 123456 EUR is `1,234.56 EUR`."""
    return f"{amount // 100:,}.{amount % 100:02d} {currency}"


def react(event: Event) -> tuple[Event, ...]:
    """What follows from an event: a message, or nothing."""
    notified = notify(event)
    return (notified,) if notified else ()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point: a batch of Kafka records in, what follows from it to Kafka."""
    from shopstream.runtime import function

    return function.of(SERVICE).handle(event, context)

"""Decides payments, and gives the money back when a paid order is cancelled.

Every decision is a pure function of the order and the seed: an order that is delivered again is decided the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shopstream.events import (
    OrderCancelled,
    OrderPlaced,
    PaymentApproved,
    PaymentDeclined,
    PaymentRefunded,
    choose,
    derive,
    draw,
)

if TYPE_CHECKING:
    from shopstream.events import Event

SERVICE = "payment_processor"
APPROVAL_RATE = 0.9
DECLINE_REASONS = ("insufficient_funds", "card_expired", "limit_exceeded", "suspected_fraud", "do_not_honor")


def process_payment(
    order_event: OrderPlaced, *, seed: int = 0, approval_rate: float = APPROVAL_RATE
) -> PaymentApproved | PaymentDeclined:
    """Approve or decline the payment of an order.

    Args:
        order_event: The order to be paid.
        seed: Chooses one of many worlds.
        approval_rate: The share of payments that go through, 0 to 1.

    Raises:
        ValueError: The rate is outside 0 to 1.
    """
    if not 0 <= approval_rate <= 1:
        raise ValueError(f"approval_rate is {approval_rate}: it must lie between 0 and 1")
    order = order_event.order_id
    if draw(seed, order, "payment") >= approval_rate:
        return derive(
            PaymentDeclined,
            order_event,
            amount=order_event.total,
            currency=order_event.currency,
            reason=choose(DECLINE_REASONS, seed, order, "decline_reason"),
            customer=order_event.customer,
        )
    return derive(
        PaymentApproved,
        order_event,
        amount=order_event.total,
        currency=order_event.currency,
        # Six digits, as an issuer's approval code (ISO 8583, field 38).
        authorization=f"{int(draw(seed, order, 'authorization') * 1_000_000):06d}",
        customer=order_event.customer,
        ship_to=order_event.ship_to,
        lines=order_event.lines,
    )


def refund_payment(order_cancelled: OrderCancelled) -> PaymentRefunded | None:
    """Give back what was paid for a cancelled order; None when nothing was."""
    if not order_cancelled.refund:
        return None
    return derive(PaymentRefunded, order_cancelled, amount=order_cancelled.refund, currency=order_cancelled.currency)


def react(event: Event, *, seed: int = 0, approval_rate: float = APPROVAL_RATE) -> tuple[Event, ...]:
    """What follows from an event: a decision on an order, a refund for a paid one that is cancelled, or nothing.

    Raises:
        ValueError: The rate is outside 0 to 1.
    """
    if isinstance(event, OrderPlaced):
        return (process_payment(event, seed=seed, approval_rate=approval_rate),)
    if isinstance(event, OrderCancelled) and (refunded := refund_payment(event)):
        return (refunded,)
    return ()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point: a batch of Kafka records in, what follows from it to Kafka."""
    from shopstream.runtime import function

    return function.of(SERVICE).handle(event, context)

"""The invariants of one order: what contradicts itself, and what is missing. Pure functions of what is known of it.

The rules are those of the shop (docs/architecture.md): one payment decision, one inventory decision, shipped if and
only if approved and reserved, otherwise cancelled with the right reason, refunded if it had been paid, released if
stock had been reserved, and one notification of the right kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shopstream.audit.ledger import (
    APPROVED,
    CANCELLED,
    DECLINED,
    NO_LINES,
    NOTIFIED,
    PLACED,
    REFUNDED,
    REJECTED,
    RELEASED,
    RESERVED,
    SHIPPED,
    TYPE_NAMES,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shopstream.audit.ledger import Fact, Order

ANOMALIES = {
    "lost_order": "acknowledged, but not on the order topic",
    "unacknowledged_order": "on the order topic, though its run never committed it",
    "effect_without_cause": "events of an order that was never placed",
    "duplicate_event": "the same event twice",
    "conflicting_duplicate": "the same event twice, with different content",
    "double_refund": "the money went back twice",
    "double_notification": "the customer was told twice",
    "missing_payment_decision": "neither approved nor declined in time",
    "missing_inventory_decision": "neither reserved nor rejected in time",
    "two_payment_decisions": "approved and declined",
    "two_inventory_decisions": "reserved and rejected",
    "not_shipped": "approved and reserved, but neither shipped nor cancelled in time",
    "not_cancelled": "declined or out of stock, but not cancelled in time",
    "shipped_and_cancelled": "shipped and cancelled",
    "shipped_without_payment": "shipped, but not paid",
    "shipped_without_stock": "shipped, but not reserved",
    "cancelled_wrongly": "cancelled, though approved and reserved",
    "wrong_cancel_reason": "cancelled for a reason that the decisions do not give",
    "missing_refund": "paid and cancelled, but not refunded in time",
    "wrong_refund_amount": "refunded, or to be refunded, not what was paid",
    "refund_without_cause": "refunded, though not paid and cancelled",
    "missing_release": "reserved and cancelled, but not released in time",
    "wrong_release": "released, or to be released, not what was reserved",
    "release_without_cause": "released, though not reserved and cancelled",
    "missing_notification": "the customer was not told in time",
    "wrong_notification": "the customer was told something else than what happened",
    "amount_mismatch": "ordered, paid and shipped amounts differ",
    "currency_mismatch": "amounts of one order in different currencies",
    "lines_mismatch": "ordered, paid, reserved and shipped articles differ",
    "partition_mismatch": "records of one order in different partitions",
    "money_imbalance": "approved - refunded is not shipped",
    "rate_deviation": "a rate that chance does not explain",
    "dead_letter_missing": "an unusable record that a service did not dead-letter in time",
    "dead_letter_duplicate": "an unusable record that a service dead-lettered twice",
    "dead_letter_unfounded": "a dead letter without an unusable record behind it",
}
"""Every anomaly that an audit may name, and what it means, in the order of the report."""


class Fault(NamedTuple):
    """What is wrong with an order: the anomaly, the event that shows it, and details for people."""

    anomaly: str
    event: int
    detail: str


def _mask(*events: int) -> int:
    return sum(1 << event for event in events)


# (these events together, without any of those) is an anomaly, whatever may still come; the event that shows it.
_CONTRADICTIONS = tuple(
    (_mask(*together), _mask(*without), anomaly, shown, detail)
    for together, without, anomaly, shown, detail in (
        ((APPROVED, DECLINED), (), "two_payment_decisions", DECLINED, "approved and declined"),
        ((RESERVED, REJECTED), (), "two_inventory_decisions", REJECTED, "reserved and rejected"),
        ((SHIPPED, CANCELLED), (), "shipped_and_cancelled", CANCELLED, "shipped and cancelled"),
        ((SHIPPED, DECLINED), (APPROVED,), "shipped_without_payment", SHIPPED, "the payment was declined"),
        ((SHIPPED, REJECTED), (RESERVED,), "shipped_without_stock", SHIPPED, "the stock was rejected"),
        (
            (CANCELLED, APPROVED, RESERVED),
            (SHIPPED, DECLINED, REJECTED),
            "cancelled_wrongly",
            CANCELLED,
            "approved and reserved",
        ),
        ((REFUNDED, DECLINED), (APPROVED,), "refund_without_cause", REFUNDED, "the payment was declined"),
        ((REFUNDED, SHIPPED), (CANCELLED,), "refund_without_cause", REFUNDED, "the order was shipped"),
        ((RELEASED, REJECTED), (RESERVED,), "release_without_cause", RELEASED, "nothing was reserved"),
        ((RELEASED, SHIPPED), (CANCELLED,), "release_without_cause", RELEASED, "the order was shipped"),
    )
)


def faults(order: Order) -> list[Fault]:
    """What is wrong with an order whatever may still come."""
    mask = order.mask
    found = [
        Fault(anomaly, shown, detail)
        for together, without, anomaly, shown, detail in _CONTRADICTIONS
        if mask & together == together and not mask & without
    ]
    if order.stray:
        found.append(Fault("partition_mismatch", order.stray[0], f"its first record is in partition {order.partition}"))
    if not order.restored:  # of an order that was finished once, only the identity of its events is still known
        _compare(order, found)
        _check_cancellation(order, found)
    _check_notification(order, found)
    return found


def _compare(order: Order, found: list[Fault]) -> None:
    facts = order.facts
    placed, approved, reserved, shipped = facts[PLACED], facts[APPROVED], facts[RESERVED], facts[SHIPPED]
    amount = currency = lines = None
    # The fast way, for the usual order: what is there agrees with what was ordered.
    for event in (PLACED, APPROVED, DECLINED, SHIPPED, REFUNDED, CANCELLED):
        fact = facts[event]
        if fact is None:
            continue
        if currency is None:
            currency = fact.currency
        elif fact.currency != currency:
            found.append(Fault("currency_mismatch", event, _told(order, "currency")))
            break
    for event in (PLACED, APPROVED, DECLINED, SHIPPED):
        fact = facts[event]
        if fact is None:
            continue
        if amount is None:
            amount = fact.amount
        elif fact.amount != amount:
            found.append(Fault("amount_mismatch", event, _told(order, "amount")))
            break
    for event, fact in ((PLACED, placed), (APPROVED, approved), (RESERVED, reserved), (SHIPPED, shipped)):
        if fact is None:
            continue
        if lines is None:
            lines = fact.lines
        elif fact.lines != lines:
            found.append(Fault("lines_mismatch", event, f"{TYPE_NAMES[event]} names other articles"))
            break


def _told(order: Order, what: str) -> str:
    """Which event says what, for example `order_placed 100, payment_approved 90`."""
    return ", ".join(
        f"{name} {value}"
        for name, fact in zip(TYPE_NAMES, order.facts, strict=True)
        if fact and (value := getattr(fact, what)) is not None
    )


def _check_cancellation(order: Order, found: list[Fault]) -> None:
    facts = order.facts
    cancelled, refunded, released = facts[CANCELLED], facts[REFUNDED], facts[RELEASED]
    if cancelled is None and refunded is None and released is None:
        return
    approved, declined, reserved, rejected = facts[APPROVED], facts[DECLINED], facts[RESERVED], facts[REJECTED]
    if bool(approved) != bool(declined):
        paid = approved.amount if approved else 0
        if cancelled and cancelled.amount != paid:
            detail = f"order_cancelled asks for {cancelled.amount}, paid {paid}"
            found.append(Fault("wrong_refund_amount", CANCELLED, detail))
        elif approved and refunded and refunded.amount != paid:
            found.append(Fault("wrong_refund_amount", REFUNDED, f"refunded {refunded.amount}, paid {paid}"))
    if bool(reserved) != bool(rejected):
        kept = reserved.lines if reserved else NO_LINES
        if cancelled and cancelled.lines != kept:
            detail = "order_cancelled asks for other articles than were reserved"
            found.append(Fault("wrong_release", CANCELLED, detail))
        elif reserved and released and released.lines != kept:
            found.append(Fault("wrong_release", RELEASED, "other articles than were reserved"))
    if cancelled and bool(approved) != bool(declined) and bool(reserved) != bool(rejected):
        expected = "_and_".join(
            reason for reason, given in (("payment_declined", declined), ("out_of_stock", rejected)) if given
        )
        if expected and cancelled.word != expected:
            found.append(Fault("wrong_cancel_reason", CANCELLED, f"{cancelled.word}, expected {expected}"))


def _check_notification(order: Order, found: list[Fault]) -> None:
    notified = order.facts[NOTIFIED]
    if notified is None or notified.word is None:  # not there, or restored: then it was right
        return
    due = _notifications_due(order.facts)
    if due and notified.word not in due:
        found.append(Fault("wrong_notification", NOTIFIED, f"{notified.word}, expected {' or '.join(due)}"))


def _notifications_due(facts: list[Fact | None]) -> list[str]:
    due = []
    if facts[SHIPPED]:
        due.append("shipped")
    if facts[REJECTED]:
        due.append("out_of_stock")
    if facts[CANCELLED] and facts[RESERVED]:
        due.append("payment_declined")
    return due


def gaps(order: Order) -> list[Fault]:
    """What is missing from an order: nothing wrong while it is under way, an anomaly when its time is up.

    Only the first missing link of a chain is named: what follows from it is missing too.
    """
    facts = order.facts
    if not facts[PLACED]:
        shown = next(event for event, fact in enumerate(facts) if fact)
        names = ", ".join(name for name, fact in zip(TYPE_NAMES, facts, strict=True) if fact)
        return [Fault("effect_without_cause", shown, f"never placed, but has {names}")]
    return list(_gaps(facts))


def _gaps(facts: list[Fact | None]) -> Iterable[Fault]:
    approved, reserved = facts[APPROVED], facts[RESERVED]
    shipped, cancelled = facts[SHIPPED], facts[CANCELLED]
    paid, stocked = approved or facts[DECLINED], reserved or facts[REJECTED]
    if not paid:
        yield (
            Fault("shipped_without_payment", SHIPPED, "there is no payment decision")
            if shipped
            else Fault("missing_payment_decision", PLACED, "neither approved nor declined")
        )
    if not stocked:
        yield (
            Fault("shipped_without_stock", SHIPPED, "there is no inventory decision")
            if shipped
            else Fault("missing_inventory_decision", PLACED, "neither reserved nor rejected")
        )
    if paid and stocked and not shipped and not cancelled:
        yield (
            Fault("not_shipped", APPROVED, "neither shipped nor cancelled")
            if approved and reserved
            else Fault("not_cancelled", DECLINED if facts[DECLINED] else REJECTED, "neither shipped nor cancelled")
        )
    if not shipped:
        yield from _undo_gaps(facts)
    if not facts[NOTIFIED] and (due := _notifications_due(facts)):
        yield Fault("missing_notification", SHIPPED if shipped else _cause_of_mail(facts), f"{' or '.join(due)} is due")


def _cause_of_mail(facts: list[Fact | None]) -> int:
    return REJECTED if facts[REJECTED] else CANCELLED


def _undo_gaps(facts: list[Fact | None]) -> Iterable[Fault]:
    """Refund and release of an order that was not shipped. Each is due if it was paid, or reserved, and cancelled."""
    approved, cancelled = facts[APPROVED], facts[CANCELLED]
    if cancelled:
        if approved and not facts[REFUNDED]:
            yield Fault("missing_refund", CANCELLED, f"{approved.amount} {approved.currency} was paid")
        if facts[RESERVED] and not facts[RELEASED]:
            yield Fault("missing_release", CANCELLED, "the stock is still set aside")
    else:
        if facts[REFUNDED] and not (facts[DECLINED] and not approved):
            yield Fault("refund_without_cause", REFUNDED, "the order was not cancelled")
        if facts[RELEASED] and not (facts[REJECTED] and not facts[RESERVED]):
            yield Fault("release_without_cause", RELEASED, "the order was not cancelled")

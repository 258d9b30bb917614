"""Sets stock aside for an order, or says what is missing, and releases it when the order is cancelled.

Every decision is a pure function of the order and the seed: an order that is delivered again is decided the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shopstream.events import (
    OrderCancelled,
    OrderPlaced,
    StockRejected,
    StockReleased,
    StockReserved,
    choose,
    derive,
    draw,
)

if TYPE_CHECKING:
    from shopstream.events import Event

SERVICE = "inventory_manager"
STOCK_RATE = 0.8

# When one article is missing, how likely each other one of the order is missing too. A choice of the simulation.
_ALSO_MISSING = 0.15


def check_inventory(
    order_event: OrderPlaced, *, seed: int = 0, stock_rate: float = STOCK_RATE
) -> StockReserved | StockRejected:
    """Reserve every line of an order, or none: then say which articles are missing.

    Args:
        order_event: The order to be filled.
        seed: Chooses one of many worlds.
        stock_rate: The share of orders whose lines are all in stock, 0 to 1.

    Raises:
        ValueError: The rate is outside 0 to 1.
    """
    if not 0 <= stock_rate <= 1:
        raise ValueError(f"stock_rate is {stock_rate}: it must lie between 0 and 1")
    if draw(seed, order_event.order_id, "stock") < stock_rate:
        return derive(StockReserved, order_event, lines=order_event.lines, customer=order_event.customer)
    return derive(StockRejected, order_event, missing=_missing(order_event, seed), customer=order_event.customer)


def _missing(order_event: OrderPlaced, seed: int) -> tuple[str, ...]:
    """At least one of the order's articles, in the order's sequence."""
    order = order_event.order_id
    articles = tuple(dict.fromkeys(line.article_id for line in order_event.lines))
    first = choose(articles, seed, order, "missing")
    return tuple(a for a in articles if a == first or draw(seed, order, f"missing:{a}") < _ALSO_MISSING)


def release_stock(order_cancelled: OrderCancelled) -> StockReleased | None:
    """Put the reserved lines of a cancelled order back on sale; None when nothing was reserved."""
    if not order_cancelled.release:
        return None
    return derive(StockReleased, order_cancelled, lines=order_cancelled.release)


def react(event: Event, *, seed: int = 0, stock_rate: float = STOCK_RATE) -> tuple[Event, ...]:
    """What follows from an event: a decision on an order, a release for a cancelled one, or nothing.

    Raises:
        ValueError: The rate is outside 0 to 1.
    """
    if isinstance(event, OrderPlaced):
        return (check_inventory(event, seed=seed, stock_rate=stock_rate),)
    if isinstance(event, OrderCancelled) and (released := release_stock(event)):
        return (released,)
    return ()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point: a batch of Kafka records in, what follows from it to Kafka."""
    from shopstream.runtime import function

    return function.of(SERVICE).handle(event, context)

"""How runs, orders and events are named, and how a name is taken apart again."""

from __future__ import annotations

import re

_RUN_ID = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_ORDER_ID = re.compile(r"(?P<run>[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?)-(?P<index>\d{8,12})")


def valid_run_id(run_id: str) -> bool:
    """Whether this may name a run: up to 64 of a-z, 0-9, '.', '_', '-', with a letter or digit at both ends."""
    return _RUN_ID.fullmatch(run_id) is not None


def order_id(run_id: str, index: int) -> str:
    """The id of a run's order number `index` (from 0), for example `black-friday-00000042`."""
    return f"{run_id}-{index:08d}"


def split_order_id(order: str) -> tuple[str, int] | None:
    """The run and the number of an order, or None for an id that `order_id` cannot have made."""
    run, _, digits = order.rpartition("-")
    if match := _ORDER_ID.fullmatch(order):
        index = int(digits)
        return (run, index) if order_id(match["run"], index) == order else None
    return None


def event_id(order: str, event_type: str) -> str:
    """The id of an order's event. An order has at most one of each type, so this is unique, and the same again."""
    return f"{order}:{event_type}"

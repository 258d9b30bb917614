"""What a plan costs while nothing happens, and how much it changes. Pure.

The prices are those of `shopstream.cost`, us-east-1's in USD. What depends on use is left out: data, requests, logs,
the functions' metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from shopstream.cost.plan import Plan
from shopstream.cost.prices import price_table
from shopstream.cost.standing import standing

if TYPE_CHECKING:
    from collections.abc import Mapping


class Price(NamedTuple):
    """Roughly what is billed by the hour.

    Attributes:
        hourly: USD.
        unknown: What has a price that is not known here.
    """

    hourly: float
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        more = f", and {', '.join(self.unknown)} whose price is not known here" if self.unknown else ""
        return f"about {self.hourly:.2f} USD an hour ({self.hourly * 24:.2f} a day) at us-east-1's prices{more}"


def price(plan: Mapping[str, Any]) -> Price:
    """The price of everything that a plan (`terraform show -json`) leads to."""
    found = standing(Plan.of(plan), price_table())
    return Price(found.hourly, tuple(str(each) for each in found.unpriced))


class Changes(NamedTuple):
    """How many resources a plan creates, changes and destroys; one that is replaced counts in both."""

    create: int
    change: int
    destroy: int


def changes(plan: Mapping[str, Any]) -> Changes:
    """Count what a plan does."""
    actions = [
        set(each["change"]["actions"]) for each in plan.get("resource_changes", ()) if each.get("mode") == "managed"
    ]
    return Changes(*(sum(action in each for each in actions) for action in ("create", "update", "delete")))

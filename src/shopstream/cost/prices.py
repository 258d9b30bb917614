"""The one price table: list prices of AWS with their sources, read from prices.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

HOURS_A_MONTH = 730.0
"""Hours in a month, as AWS's calculator counts them: 365 days of 24 hours, a twelfth of it."""

_HOURS_OF = {"hour": 1.0, "started hour": 1.0, "month": HOURS_A_MONTH, "GB-month": HOURS_A_MONTH}
_PIECES_OF = {"GB": 1.0, "GB-second": 1.0, "million": 1e6}


@dataclass(frozen=True)
class Price:
    """A list price.

    Attributes:
        key: Its name in the table.
        usd: USD for one unit.
        unit: hour, started hour, month, GB-month, GB, GB-second or million.
        page: AWS's own page with it.
        read: The date of the text in which it was found.
        found: That text, where it is not the page itself.
    """

    key: str
    usd: float
    unit: str
    page: str
    read: date
    found: str = ""

    @property
    def hourly(self) -> float:
        """USD for an hour of one thing (or one GB) that is billed by time.

        Raises:
            ValueError: This is not billed by time.
        """
        if self.unit not in _HOURS_OF:
            raise ValueError(f"{self.key} is billed by {self.unit}, not by time")
        return self.usd / _HOURS_OF[self.unit]

    @property
    def each(self) -> float:
        """USD for one piece (a request, a write unit, a GB, a GB-second) of what is billed by use.

        Raises:
            ValueError: This is not billed by use.
        """
        if self.unit not in _PIECES_OF:
            raise ValueError(f"{self.key} is billed by {self.unit}, not by use")
        return self.usd / _PIECES_OF[self.unit]

    @property
    def whole_hours(self) -> bool:
        """Whether a part of an hour is billed as a whole one."""
        return self.unit == "started hour"


@dataclass(frozen=True)
class PriceTable:
    """All prices of one region.

    Attributes:
        region: The AWS region.
        currency: What they are in.
        as_of: When they were last gone through.
        prices: By key.
    """

    region: str
    currency: str
    as_of: date
    prices: Mapping[str, Price]

    def __getitem__(self, key: str) -> Price:
        return self.prices[key]

    def get(self, key: str) -> Price | None:
        """A price, or None when the table has none."""
        return self.prices.get(key)


def parse_prices(text: str) -> PriceTable:
    """A price table from TOML.

    Raises:
        ValueError: A price has a unit that nothing here can compute with, or no page, or is negative.
    """
    data = tomllib.loads(text)
    prices = {key: Price(key=key, **entry) for key, entry in data["prices"].items()}
    for price in prices.values():
        if price.unit not in _HOURS_OF and price.unit not in _PIECES_OF:
            raise ValueError(f"{price.key}: the unit {price.unit!r} is not known")
        if not price.page.startswith("https://") or price.usd <= 0:
            raise ValueError(f"{price.key}: a price above 0 and the page that states it are wanted")
    return PriceTable(data["region"], data["currency"], data["as_of"], prices)


@cache
def price_table() -> PriceTable:
    """The table that comes with this package."""
    return parse_prices(resources.files(__package__).joinpath("prices.toml").read_text(encoding="utf-8"))

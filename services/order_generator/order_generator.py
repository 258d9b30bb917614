"""Customers who place orders: believable, endless, and the same again whenever they are asked for again.

Order number `index` of a run is a pure function of (seed, run id, start, rate, index), with random access: a generator
that starts again after a crash makes the very same orders. One hash of 64 bytes pays for all chance in an order.
"""

from __future__ import annotations

import json
import unicodedata
from bisect import bisect_right, insort
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from itertools import accumulate
from math import isfinite
from pathlib import Path
from secrets import token_hex
from struct import Struct
from typing import TYPE_CHECKING, Any

from shopstream.events import (
    SCHEMA_VERSION,
    Address,
    Customer,
    Line,
    OrderPlaced,
    event_id,
    order_id,
    total_of,
    valid_run_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SERVICE = "order_generator"
SHOP_RATE = 10.0
"""Orders a second on the shop's clock, unless a caller says otherwise."""

MAX_ORDERS = 10**12
"""A run's orders are numbered from 0 to one below this: an order id holds no more than twelve digits."""

CUSTOMERS = 20_000
"""How many people shop here."""

ZIPF_EXPONENT = 0.8
"""The article at rank r of the catalogue is picked in proportion to r ** -0.8.

Requests for web pages follow such a law with exponents from 0.64 to 0.83 (Breslau et al., "Web Caching and Zipf-like
Distributions: Evidence and Implications", INFOCOM 1999).
"""

# In percent; choices of the simulation: most baskets are small, most articles are bought singly.
_BASKET_SIZES = {1: 38, 2: 25, 3: 15, 4: 9, 5: 6, 6: 4, 7: 2, 8: 1}
_QUANTITIES = {1: 84, 2: 11, 3: 3, 4: 2}

_CURRENCY = "EUR"
_EVENT_TYPE = OrderPlaced.event_type


def _one_of_100(percentages: dict[int, int]) -> tuple[int, ...]:
    return tuple(value for value, percent in percentages.items() for _ in range(percent))


def _read(name: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return entries


_SIZE = _one_of_100(_BASKET_SIZES)
_QUANTITY = _one_of_100(_QUANTITIES)

# Most popular first. Every line that can stand in a basket is made once: [quantity][rank].
_CATALOGUE = _read("catalogue.json")
_LINES = {
    quantity: tuple(Line(a["article_id"], a["name"], quantity, a["price"]) for a in _CATALOGUE)
    for quantity in _QUANTITIES
}
# Whole numbers, so that no rounding of a machine's own can choose another article.
_WEIGHT = tuple(round(1_000_000 * rank**-ZIPF_EXPONENT) for rank in range(1, len(_CATALOGUE) + 1))
_UP_TO = tuple(accumulate(_WEIGHT))

_COUNTRY = tuple(country for country in _read("customers.json") for _ in range(country["percent"]))

# What a digest of 64 bytes is worth. An order: time, customer, basket size and eight articles of 32 bits each, eight
# quantities of 16. A person: country, first and last name, city, house number, street, postal code of 64 each.
_ORDER = Struct(">3I8I8H4x")
_PERSON = Struct(">7Q8x")


def generate_order_event(
    index: int = 0,
    *,
    run_id: str | None = None,
    seed: int = 0,
    start: datetime | None = None,
    shop_rate: float = SHOP_RATE,
) -> OrderPlaced:
    """Order number `index` (from 0) of a run. The arguments are those of `generate_orders`.

    Raises:
        ValueError: An argument is outside its range.
    """
    return next(generate_orders(index, 1, run_id=run_id, seed=seed, start=start, shop_rate=shop_rate))


def generate_orders(
    first: int = 0,
    count: int = 1,
    *,
    run_id: str | None = None,
    seed: int = 0,
    start: datetime | None = None,
    shop_rate: float = SHOP_RATE,
) -> Iterator[OrderPlaced]:
    """The orders `first` to `first + count - 1` of a run, in sequence; equal arguments give equal orders.

    Args:
        first: The number of the first order, from 0.
        count: How many orders.
        run_id: Names the run; without one, `adhoc-` and eight random hexadecimal digits.
        seed: Chooses customers and baskets. Any whole number.
        start: The shop's clock at order 0, with a time zone; without one, the present time.
        shop_rate: Orders a second on the shop's clock, above 0. Order n falls anywhere between n / rate and
            (n + 1) / rate seconds after the start, so the clock never goes back.

    Raises:
        ValueError: An argument is outside its range.
    """
    if run_id is None:
        run_id = f"adhoc-{token_hex(4)}"
    if not valid_run_id(run_id):
        raise ValueError(
            f"{run_id!r} cannot name a run: use up to 64 of a-z, 0-9, '.', '_', '-', a letter or digit at both ends"
        )
    if first < 0 or count < 0 or first + count > MAX_ORDERS:
        raise ValueError(f"orders {first} to {first + count} are not within 0 to {MAX_ORDERS}")
    if not (isfinite(shop_rate) and shop_rate > 0):
        raise ValueError(f"shop_rate is {shop_rate}: it must be above 0")
    start = start or datetime.now(UTC)
    if start.tzinfo is None:
        raise ValueError(f"start is {start}, without a time zone: give it one, for example UTC")
    start, microseconds = start.astimezone(UTC), 1_000_000 / shop_rate
    try:
        start + timedelta(microseconds=(first + count) * microseconds)
    except OverflowError:
        raise ValueError(f"at {shop_rate} orders a second, order {first + count} is beyond the year 9999") from None
    return _orders(first, count, run_id, seed, start, microseconds)


def _orders(
    first: int, count: int, run_id: str, seed: int, start: datetime, microseconds: float
) -> Iterator[OrderPlaced]:
    world = f"{seed}\0{run_id}\0".encode()
    for index in range(first, first + count):
        jitter, shopper, size, *chances = _ORDER.unpack(blake2b(b"%b%d" % (world, index)).digest())
        lines = _basket(_SIZE[size * 100 >> 32], chances)
        customer, address = customer_of(_shopper(shopper))
        order = order_id(run_id, index)
        yield OrderPlaced(
            event_id=event_id(order, _EVENT_TYPE),
            schema_version=SCHEMA_VERSION,
            order_id=order,
            occurred_at=start + timedelta(microseconds=int((index + jitter / 2**32) * microseconds)),
            customer=customer,
            ship_to=address,
            lines=lines,
            total=total_of(lines),
            currency=_CURRENCY,
        )


def _basket(size: int, chances: list[int]) -> tuple[Line, ...]:
    """Draw distinct articles by popularity: from what is left of the catalogue's weight after each one taken."""
    weight_left = _UP_TO[-1]
    taken: list[int] = []
    lines = []
    for position in range(size):
        point = chances[position] * weight_left >> 32
        for rank in taken:  # ascending, so that the point moves past each taken article that lies before it
            if point < _UP_TO[rank] - _WEIGHT[rank]:
                break
            point += _WEIGHT[rank]
        rank = bisect_right(_UP_TO, point)
        insort(taken, rank)
        weight_left -= _WEIGHT[rank]
        lines.append(_LINES[_QUANTITY[chances[8 + position] * 100 >> 16]][rank])
    return tuple(lines)


def _shopper(chance: int) -> int:
    # The cube makes regulars: a fifth of the customers place 58 % of the orders. A choice of the simulation.
    share = chance / 2**32
    return 1 + int(CUSTOMERS * share * share * share)


@lru_cache(maxsize=8192)
def customer_of(number: int) -> tuple[Customer, Address]:
    """Customer `number` (from 1) and where they live: the same person in every run.

    Addresses at example.com reach nobody (RFC 2606).
    """
    chances = _PERSON.unpack(blake2b(b"customer\0%d" % number).digest())
    country = _pick(_COUNTRY, chances[0])
    first, last = _pick(country["first_names"], chances[1]), _pick(country["last_names"], chances[2])
    city, pattern = _pick(country["cities"], chances[3])
    house = 1 + (chances[4] * 120 >> 64)
    address = Address(
        street=country["address"].format(street=_pick(country["streets"], chances[5]), number=house),
        postal_code=_postal_code(pattern, chances[6]),
        city=city,
        country=country["country"],
    )
    email = f"{_ascii(first)}.{_ascii(last)}{number}@example.com"
    return Customer(f"customer-{number:06d}", f"{first} {last}", email), address


def _pick(options: Sequence[Any], chance: int) -> Any:
    return options[chance * len(options) >> 64]


def _postal_code(pattern: str, chance: int) -> str:
    """Fill a pattern: `#` is a digit, `@` a letter; what else there is, the first digits of the city, stays."""
    code = ""
    for sign in pattern:
        alphabet = {"#": "0123456789", "@": "ABCDEGHJKLMNPRTUVWXZ"}.get(sign, sign)
        chance, place = divmod(chance, len(alphabet))
        code += alphabet[place]
    return code


def _ascii(name: str) -> str:
    """A name as it stands in an email address: without accents, in lower case, letters only."""
    plain = unicodedata.normalize("NFKD", name.lower())
    return "".join(letter for letter in plain if letter.isascii() and letter.isalpha())


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point: brings orders, as many as `{"orders": n}` or the environment says."""
    from shopstream.runtime import function

    return function.of(SERVICE).handle(event, context)

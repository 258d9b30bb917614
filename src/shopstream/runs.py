"""What is known of a run: how many orders it shall have, how many are committed, and under which promise.

The record stands on the source's progress topic, keyed by run id, and is written in the same transaction as the
orders that it counts. It is the generator's memory after a crash, and the auditor's list of acknowledged orders.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotation at run time
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from shopstream.errors import BadRecord

Guarantee = Literal["exactly-once", "at-least-once"]
Platform = Literal["worker", "lambda"]


class Run(Struct, frozen=True, kw_only=True):
    """A run and how far it has come.

    Attributes:
        run_id: Its name; the orders are `<run_id>-00000000` and so on.
        orders: How many it shall have.
        committed: How many are on the topic for good: those with the numbers below this one.
        seed: Chooses customers and baskets, and all outcomes.
        start: The shop's clock at order 0, UTC.
        shop_rate: Orders a second on the shop's clock.
        guarantee: Whether an event may stand on a topic twice.
        platform: What ran the services. Each has consumer groups of its own, so the other would do everything again.
    """

    run_id: str
    orders: Annotated[int, Meta(ge=0)]
    committed: Annotated[int, Meta(ge=0)] = 0
    seed: int
    start: Annotated[datetime, Meta(tz=True)]
    shop_rate: Annotated[float, Meta(gt=0)]
    guarantee: Guarantee = "exactly-once"
    platform: Platform = "worker"

    @property
    def finished(self) -> bool:
        """Whether all its orders are committed."""
        return self.committed >= self.orders


encode_run = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Run).decode


def decode_run(value: bytes) -> Run:
    """Read a progress record.

    Raises:
        BadRecord: It is none.
    """
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRecord("not_a_run", str(error)[:300]) from error

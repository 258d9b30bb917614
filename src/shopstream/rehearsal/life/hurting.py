"""The phase faults: what goes wrong while orders flow, and is judged."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shopstream.rehearsal.cloud.control import ask
from shopstream.rehearsal.life import functions
from shopstream.rehearsal.life.flowing import (
    add_acknowledged,
    brought_by_clock,
    by_clock,
    flowing,
    judged,
    quiet,
    start,
)
from shopstream.rehearsal.life.world import DEPLOYMENT, wait_for

if TYPE_CHECKING:
    from shopstream.rehearsal.life.record import Result
    from shopstream.rehearsal.life.world import World

VICTIM = "kafka2"
FAILING = f"{DEPLOYMENT}-payment_processor"
REDELIVERED, FAILED = 0.3, 0.3
_DOWN_S = 12.0
_UNLUCKY_S = 90.0


def faults(world: World, result: Result) -> None:
    """Crash a broker, let one function's batches fail and all others' come twice, while orders flow; judge.

    Among them are orders that the schedule brings.
    """
    start(world)
    before, brought = _totals(world), brought_by_clock(world)
    sent: dict[str, int] = {}
    ask(world.functions, "faults", redeliver=REDELIVERED)
    ask(world.functions, "faults", function=FAILING, redeliver=REDELIVERED, fail=FAILED)
    try:
        with flowing(world, sent, pause=0.5):
            time.sleep(3)
            world.tell(f"{VICTIM} crashes")
            world.hosts.cut(VICTIM)
            time.sleep(_DOWN_S)
            world.hosts.start(VICTIM)
            world.tell(f"{VICTIM} boots")
            time.sleep(5)
            scheduled = by_clock(world, brought)
            # Which batches fail is drawn by lot: orders flow until some have, or nothing was shown.
            wait_for(
                lambda: all(_suffered(world, before).values()),
                _UNLUCKY_S,
                lambda: f"nothing went wrong within {_UNLUCKY_S:.0f} s: {_suffered(world, before)}",
            )
    finally:
        ask(world.functions, "faults", redeliver=0.0)
        ask(world.functions, "faults", function=FAILING, redeliver=0.0)
    quiet(world)
    suffered = _suffered(world, before)
    add_acknowledged(world, result, sent["acknowledged"])
    result.counts = {
        "crashed": f"{VICTIM}, for {_DOWN_S:.0f} s",
        "batches that failed": str(suffered["failures"]),
        "records delivered again after a success": str(suffered["redelivered"]),
        "by schedule": scheduled,
        "orders acknowledged meanwhile": str(sent["acknowledged"]),
        "calls of the generator that failed": str(sent["refused"]),
        **judged(world, result),
    }


def _suffered(world: World, before: dict[str, int]) -> dict[str, int]:
    return {name: count - before[name] for name, count in _totals(world).items()}


def _totals(world: World) -> dict[str, int]:
    mappings = functions.status(world)["mappings"].values()
    return {name: sum(each[name] for each in mappings) for name in ("failures", "redelivered")}

"""The phases poll, flow and judge: orders through the deployed functions, and the same judgement as on AWS."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shopstream.errors import RehearsalError, ShopstreamError
from shopstream.rehearsal import firewall
from shopstream.rehearsal.life import functions
from shopstream.rehearsal.life.deploying import security
from shopstream.rehearsal.life.preparing import zip_hashes
from shopstream.rehearsal.life.world import DEPLOYMENT, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shopstream.rehearsal.life.record import Result
    from shopstream.rehearsal.life.world import World

GENERATOR = f"{DEPLOYMENT}-order_generator"
ORDERS_BY_HAND = 400
"""Enough that rates and all four outcomes show."""
_AT_ONCE = 100
_BY_CLOCK_S = 100.0  # a rate of one minute, and what comes with a busy machine
_QUIET_S = 180.0
_STILL_S = 4.0
_CATCH_UP_S = 30.0


def poll(world: World, result: Result) -> None:
    """Start what runs functions, until every enabled mapping has its pollers at the brokers."""
    start(world)
    status = _status(world)
    same_code(world)
    result.counts = {
        "functions, each with the hash of its zip": str(len(status["functions"])),
        "mappings": str(len(status["mappings"])),
        "schedules": ", ".join(each["rule"] for each in status["schedules"]) or "none",
    }


def start(world: World) -> None:
    """Start what runs functions, unless it runs."""
    functions.start(world, str(world.record.data("supplies")["python"]))


def flow(world: World, result: Result) -> None:
    """Let orders come by hand. Those of the schedule come when it is time."""
    start(world)
    began = time.monotonic()
    acknowledged = by_hand(world, ORDERS_BY_HAND)
    waited = quiet(world)
    # A batch that fails is given again after longer and longer pauses: that looks quiet, too.
    wait_for(lambda: not _behind(world), _CATCH_UP_S, lambda: f"records wait that nobody takes: {_busy(world)}")
    status = _status(world)
    add_acknowledged(world, result, acknowledged)
    result.counts = {
        "orders by hand, acknowledged": str(acknowledged),
        "records delivered": str(sum(each["delivered"] for each in status["mappings"].values())),
        "mappings": str(len(status["mappings"])),
        "until all was quiet": f"{time.monotonic() - began:.0f} s, {waited:.0f} s of it after the last order",
    }


def _status(world: World) -> dict[str, Any]:
    status = functions.status(world)
    if status["problems"]:
        raise RehearsalError(f"not all that the account holds can be run: {status['problems']}")
    return status


def by_hand(world: World, orders: int) -> int:
    """Invoke the generator as a person does; how many orders it says it has brought.

    Raises:
        RehearsalError: It failed.
    """
    acknowledged = 0
    for first in range(0, orders, _AT_ONCE):
        answer = json.loads(functions.invoke(world, GENERATOR, {"orders": min(_AT_ONCE, orders - first)}))
        acknowledged += int(answer["orders"])
    return acknowledged


def brought_by_clock(world: World) -> set[str]:
    """The requests by which the schedule has invoked the generator, and that succeeded."""
    outcomes = functions.status(world)["asynchronous"]["outcomes"]
    return {each["request_id"] for each in outcomes if each["function"] == GENERATOR and not each["error"]}


def by_clock(world: World, before: set[str]) -> str:
    """Wait until the schedule has brought orders once more; how often it was due in all.

    Args:
        world: The rehearsal.
        before: What `brought_by_clock` said when the waiting was to begin.

    Raises:
        RehearsalError: It has not.
    """

    def succeeded() -> bool:
        return bool(brought_by_clock(world) - before)

    def why() -> str:
        status = functions.status(world)
        return (
            f"no schedule has brought orders within {_BY_CLOCK_S:.0f} s: {status['schedules']}, "
            f"{status['asynchronous']['outcomes'][-3:]}"
        )

    wait_for(succeeded, _BY_CLOCK_S, why)
    return ", ".join(f"{each['rule']} {each['fired']} times" for each in functions.status(world)["schedules"])


def quiet(world: World) -> float:
    """Wait until no function is given anything for some seconds; for how long it was waited.

    Raises:
        RehearsalError: Records go on being given: a batch fails again and again.
    """
    began = time.monotonic()
    last: tuple[Any, ...] = ()
    since = began
    while time.monotonic() - since < _STILL_S:
        if time.monotonic() - began > _QUIET_S:
            raise RehearsalError(f"it does not become quiet within {_QUIET_S:.0f} s: {_busy(world)}")
        time.sleep(0.5)
        now = tuple(each["invocations"] for each in functions.status(world)["mappings"].values())
        if now != last:
            last, since = now, time.monotonic()
    return time.monotonic() - began


def _behind(world: World) -> bool:
    return any(each["lag"] for each in functions.status(world)["mappings"].values())


def _busy(world: World) -> str:
    mappings = functions.status(world)["mappings"].values()
    return "; ".join(
        f"{each['topic']} to {each['function']}: {each['failures']} failed, lag {each['lag']}, {each['last_result']}"
        for each in mappings
        if each["lag"] or each["failures"]
    )


@contextmanager
def flowing(world: World, found: dict[str, int], *, pause: float = 1.0) -> Iterator[None]:
    """Let orders come as long as the body runs, ten at a time.

    Raises:
        RehearsalError: Not a single one was taken.

    Args:
        world: The rehearsal.
        pause: Seconds between two invocations of the generator.
        found: Gets `acknowledged` and `refused`: orders, and invocations that failed (their orders may be there).
    """
    found.update(acknowledged=0, refused=0)
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            try:
                found["acknowledged"] += by_hand(world, 10)
            except ShopstreamError as error:
                found["refused"] += 1
                world.tell(f"orders were refused: {error}")
            ended.wait(pause)

    thread = threading.Thread(target=run, name="orders", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(150)
    if not found["acknowledged"]:
        raise RehearsalError(
            f"no order was taken while they should flow: {found['refused']} calls of the generator failed"
        )


def add_acknowledged(world: World, result: Result, orders: int) -> None:
    """Remember what the generator has acknowledged, so that the judge knows how many orders there must be."""
    before = max((each.data.get("acknowledged", 0) for each in world.record.results.values()), default=0)
    result.data["acknowledged"] = before + orders


def judge(world: World, result: Result) -> None:
    """Let the production's script judge the shop, and compare what ran with what was built.

    Raises:
        RehearsalError: Something is not as it shall be.
    """
    result.counts = judged(world, result)


def judged(world: World, result: Result) -> dict[str, str]:
    """The same for a phase that does other things as well; what it counts."""
    verdict_of = ["--verify", *world.place, "--json", "--wait-seconds", "150"]
    found = json.loads(
        world.script("deploy_all.sh", *verdict_of, "--ansible-variables", str(world.hosts.state.variables))
    )
    verdict: Mapping[str, Any] = found["verdict"]
    most = max((each.data.get("acknowledged", 0) for each in (*world.record.results.values(), result)), default=0)
    if verdict["orders"] < most:
        raise RehearsalError(
            f"the generator has acknowledged {most} orders, and only {verdict['orders']} are on order_placed"
        )
    same_code(world)
    blocked = firewall.blocked(world.namespace, security(world))
    result.data["checks"] = found["checks"]
    result.data["verdict"] = {
        key: verdict[key] for key in ("orders", "funnel", "outcomes", "rates", "duplicates", "latency_ms", "money")
    }
    result.data["blocked"] = [
        f"{each.source} to {each.destination}:{each.port}/{each.protocol}, {each.packets} packets" for each in blocked
    ]
    rates = ", ".join(f"{name} {rate['observed']:.1%}" for name, rate in verdict["rates"].items())
    return {
        "orders, each with exactly one outcome": str(verdict["orders"]),
        "byte-identical copies": str(verdict["duplicates"]),
        "rates": rates,
        "things looked at": f"{len(found['checks'])}, all as they shall be",
        "attempts that the security groups have blocked": str(len(blocked)),
    }


def same_code(world: World) -> None:
    """See that each function runs the very zip that was built.

    Raises:
        RehearsalError: One does not.
    """
    built = zip_hashes(world.zips)
    for name, running in functions.status(world)["functions"].items():
        service = name.removeprefix(f"{DEPLOYMENT}-")
        if built.get(service) != running["code_sha256"]:
            raise RehearsalError(
                f"{name} runs {running['code_sha256']}, and {service}.zip has {built.get(service, 'not been built')}: "
                "deploy it again"
            )

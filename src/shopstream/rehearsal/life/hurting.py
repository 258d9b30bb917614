"""The phases faults and change: what goes wrong, and what is changed, while orders flow; judged each time."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from shopstream.errors import RehearsalError
from shopstream.rehearsal.cloud.control import ask
from shopstream.rehearsal.life import deploying, functions
from shopstream.rehearsal.life.flowing import add_acknowledged, flowing, judged, quiet
from shopstream.rehearsal.life.preparing import rebuild, zip_hashes
from shopstream.rehearsal.life.world import DEPLOYMENT, wait_for

if TYPE_CHECKING:
    from shopstream.rehearsal.life.record import Result
    from shopstream.rehearsal.life.world import World

VICTIM = "kafka2"
FAILING = f"{DEPLOYMENT}-payment_processor"
REDELIVERED, FAILED = 0.3, 0.3
_DOWN_S = 12.0
_TOPIC, _RETENTION = "notifications", "3d"
_CHANGED = "notification_handler"


def faults(world: World, result: Result) -> None:
    """Crash a broker, let one function's batches fail and all others' come twice, while orders flow; judge."""
    functions.start(world, str(world.record.data("supplies")["python"]))
    before = _totals(world)
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
    finally:
        ask(world.functions, "faults", redeliver=0.0)
        ask(world.functions, "faults", function=FAILING, redeliver=0.0)
    quiet(world)
    after = _totals(world)
    suffered = {name: after[name] - before[name] for name in after}
    if not suffered["failures"] or not suffered["redelivered"]:
        raise RehearsalError(f"nothing went wrong ({suffered}), so nothing was shown: let more orders flow")
    add_acknowledged(world, result, sent["acknowledged"])
    result.counts = {
        "crashed": f"{VICTIM}, for {_DOWN_S:.0f} s",
        "batches that failed": str(suffered["failures"]),
        "records delivered again after a success": str(suffered["redelivered"]),
        "orders acknowledged meanwhile": str(sent["acknowledged"]),
        "calls of the generator that failed": str(sent["refused"]),
        **judged(world, result),
    }


def _totals(world: World) -> dict[str, int]:
    mappings = functions.status(world)["mappings"].values()
    return {name: sum(each[name] for each in mappings) for name in ("failures", "redelivered")}


def change(world: World, result: Result) -> None:
    """Change a topic's retention and a function's code in the site, and deploy that while orders flow; judge."""
    functions.start(world, str(world.record.data("supplies")["python"]))
    before = zip_hashes(world.zips)
    file = world.site / "topology.yaml"
    file.write_text(with_retention(file.read_text(encoding="utf-8"), _TOPIC, _RETENTION), encoding="utf-8")
    code = world.site / "services" / _CHANGED / f"{_CHANGED}.py"
    code.write_text(code.read_text(encoding="utf-8") + "\nVERSION = 2\n", encoding="utf-8")
    after = rebuild(world)
    changed = sorted(name for name in after if after[name] != before.get(name))
    if _CHANGED not in changed:
        raise RehearsalError(f"the zip of {_CHANGED} is the same after its source was changed")
    sent: dict[str, int] = {}
    with flowing(world, sent, pause=2.0):
        checks = deploying.deploy(world)
        wait_for(
            lambda: functions.status(world)["functions"][f"{DEPLOYMENT}-{_CHANGED}"]["code_sha256"] == after[_CHANGED],
            30,
            lambda: f"{_CHANGED} still runs its former version",
        )
        time.sleep(3)
    quiet(world)
    add_acknowledged(world, result, sent["acknowledged"])
    result.counts = {
        f"retention of {_TOPIC}": _RETENTION,
        "functions with a new version": ", ".join(changed),
        "orders acknowledged meanwhile": str(sent["acknowledged"]),
        "calls of the generator that failed": str(sent["refused"]),
        **checks,
        **judged(world, result),
    }


def with_retention(topology: str, topic: str, retention: str) -> str:
    """A topology file with another retention for a topic. Pure.

    Args:
        topology: The file's text.
        topic: Which; it has no retention of its own yet, or one line of it.
        retention: For example "3d".

    Raises:
        RehearsalError: There is no such topic.
    """
    found = re.search(rf"^  {re.escape(topic)}:\n((?:    .*\n)+)", topology, re.MULTILINE)
    if found is None:
        raise RehearsalError(f"topology.yaml declares no topic {topic}: name another one in {__name__}")
    body = re.sub(r"^    retention:.*\n", "", found[1], flags=re.MULTILINE)
    start, end = found.span(1)
    return f"{topology[:start]}{body}    retention: {retention}\n{topology[end:]}"

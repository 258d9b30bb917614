"""The phase change: the topology and the functions' code change while orders flow, and that is judged."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from shopstream.errors import RehearsalError
from shopstream.rehearsal.life import deploying, functions
from shopstream.rehearsal.life.flowing import add_acknowledged, flowing, judged, quiet, start
from shopstream.rehearsal.life.preparing import rebuild, zip_hashes
from shopstream.rehearsal.life.world import DEPLOYMENT, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from shopstream.rehearsal.life.record import Result
    from shopstream.rehearsal.life.world import World

_TOPIC, _RETENTION = "notifications", "3d"
_CHANGED = "notification_handler"
_NEW = "fraud_checker"
_VERSION = "\nVERSION = 2\n"
_TAKEN_UP_S = 60.0
_SERVICE = '''\
"""Looks at each order: large ones would be shown to a person."""

from __future__ import annotations

from typing import Any

SERVICE = "fraud_checker"


def react(event: object) -> tuple[()]:
    """What follows from an order: nothing on a topic."""
    return ()


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry point."""
    from shopstream.runtime import function

    return function.of(SERVICE).handle(event, context)
'''


def change(world: World, result: Result) -> None:
    """Change a topic's retention and a function's code, add a service, deploy that while orders flow; judge."""
    start(world)
    before = zip_hashes(world.zips)
    plan(world.site)
    after = rebuild(world)
    changed = sorted(name for name in after if name in before and after[name] != before[name])
    if changed != [_CHANGED]:
        raise RehearsalError(f"only the source of {_CHANGED} was changed, and these zips differ: {changed or 'none'}")
    sent: dict[str, int] = {}
    with flowing(world, sent, pause=2.0):
        checks = deploying.deploy(world)
        wait_for(lambda: _runs(world, after), _TAKEN_UP_S, lambda: f"what was deployed does not run: {_state(world)}")
        wait_for(lambda: _fed(world) > 0, _TAKEN_UP_S, lambda: f"{_NEW} is given no orders: {_state(world)}")
        time.sleep(3)
    quiet(world)
    add_acknowledged(world, result, sent["acknowledged"])
    result.counts = {
        f"retention of {_TOPIC}": f"{_RETENTION}, which verify.yml has found on the brokers",
        "functions with a new version": ", ".join(changed),
        "new service": f"{_NEW}, {_fed(world)} orders so far",
        "orders acknowledged meanwhile": str(sent["acknowledged"]),
        "calls of the generator that failed": str(sent["refused"]),
        **checks,
        **judged(world, result),
    }


def plan(site: Path) -> None:
    """Write the changes into a site's files. Again, they are as they were."""
    file = site / "topology.yaml"
    text = with_retention(file.read_text(encoding="utf-8"), _TOPIC, _RETENTION)
    file.write_text(with_service(text, _NEW, "    consumes: [order_placed]\n"), encoding="utf-8")
    code = site / "services" / _CHANGED / f"{_CHANGED}.py"
    source = code.read_text(encoding="utf-8").removesuffix(_VERSION)
    code.write_text(source + _VERSION, encoding="utf-8")
    folder = site / "services" / _NEW
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").write_text('"""Orders that a person should look at."""\n', encoding="utf-8")
    (folder / f"{_NEW}.py").write_text(_SERVICE, encoding="utf-8")


def _runs(world: World, built: dict[str, str]) -> bool:
    running = functions.status(world)["functions"]
    return all(running.get(f"{DEPLOYMENT}-{name}", {}).get("code_sha256") == built[name] for name in (_CHANGED, _NEW))


def _fed(world: World) -> int:
    mappings = functions.status(world)["mappings"].values()
    return sum(each["delivered"] for each in mappings if each["function"] == f"{DEPLOYMENT}-{_NEW}")


def _state(world: World) -> str:
    status = functions.status(world)
    return f"{status['problems'] or 'no problems are told'}, {functions.last_words(world)}"


def with_service(topology: str, name: str, body: str) -> str:
    """A topology file with one more service. Pure.

    Args:
        topology: The file's text.
        name: The service.
        body: Its lines, indented by four spaces.

    Raises:
        RehearsalError: The file has no services.
    """
    if f"\n  {name}:\n" in topology:
        return topology
    head, services, rest = topology.partition("\nservices:\n")
    if not services:
        raise RehearsalError(f"topology.yaml has no line `services:`: mend it, or {__name__}")
    return f"{head}{services}  {name}:\n{body}{rest}"


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

"""The phase change: the topology and the functions' code change while orders flow, and that is judged.

It is also where a deployment that is repeated must show that it changes nothing but what was changed.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from shopstream.aws.deploy import NOTHING_TO_DO
from shopstream.errors import RehearsalError
from shopstream.rehearsal.life import ansible_log, deploying, functions
from shopstream.rehearsal.life.flowing import add_acknowledged, by_hand, flowing, judged, quiet, start
from shopstream.rehearsal.life.preparing import rebuild, zip_hashes
from shopstream.rehearsal.life.world import DEPLOYMENT, wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from shopstream.rehearsal.life.record import Result
    from shopstream.rehearsal.life.world import World

_TOPIC, _RETENTION = "notifications", "3d"
_CHANGED = "notification_handler"
_NEW = "fraud_checker"
_VERSION = "\nVERSION = "
_TAKEN_UP_S = 60.0
_MAY_CHANGE = {"auditor", "kafka_topics"}
"""The roles that bring the topology to the hosts and to the cluster."""
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
    # Each zip holds the topology, so all of them are new versions.
    changed = sorted(name for name in after if name in before and after[name] != before[name])
    sent: dict[str, int] = {}
    with flowing(world, sent, pause=2.0):
        checks = _deploy(world)
        wait_for(lambda: _runs(world, after), _TAKEN_UP_S, lambda: f"what was deployed does not run: {_state(world)}")
        wait_for(lambda: _fed(world) > 0, _TAKEN_UP_S, lambda: f"{_NEW} is given no orders: {_state(world)}")
        time.sleep(3)
    sent["acknowledged"] += by_hand(world, 10)  # by the generator's new version, for sure
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


def _deploy(world: World) -> dict[str, str]:
    """Run the production's script once more; what it counts.

    Raises:
        RehearsalError: Ansible changed what the topology has no part in, or Terraform does not come to rest.
    """
    assert world.log is not None  # noqa: S101 - a phase runs
    ansible = deploying.ansible_log_of(world)
    size = ansible.stat().st_size
    counts = deploying.deploy(world)
    with ansible.open("rb") as file:
        file.seek(size)
        said = file.read().decode(errors="replace")
    changes = ansible_log.changes(said)
    if strange := {title: hosts for title, hosts in changes.items() if title.partition(" : ")[0] not in _MAY_CHANGE}:
        tasks = "; ".join(f"{title} on {', '.join(hosts)}" for title, hosts in strange.items())
        raise RehearsalError(f"nothing was changed for them, and these tasks change something again: {tasks}")
    # Terraform plans twice: with the change, and when the brokers have been verified.
    if NOTHING_TO_DO not in world.log.read_text(encoding="utf-8", errors="replace"):
        raise RehearsalError("Terraform has something to change again at once after it was applied: see the log")
    counts["tasks of Ansible that changed something"] = f"{len(changes)} of {len(ansible_log.tasks(said)[0])}"
    return counts


def plan(site: Path) -> None:
    """Write the changes into a site's files. Once more, the function's code gets one more version."""
    file = site / "topology.yaml"
    text = with_retention(file.read_text(encoding="utf-8"), _TOPIC, _RETENTION)
    file.write_text(with_service(text, _NEW, "    consumes: [order_placed]\n"), encoding="utf-8")
    code = site / "services" / _CHANGED / f"{_CHANGED}.py"
    source, _, version = code.read_text(encoding="utf-8").partition(_VERSION)
    code.write_text(f"{source}{_VERSION}{int(version or 1) + 1}\n", encoding="utf-8")
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
    told = [f"{name}: {text}" for name, text in status["problems"].items()] + functions.troubles(status)
    return "; ".join(told or [functions.last_words(world)])


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

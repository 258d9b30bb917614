"""Whether the deployed shop works: the auditor's verdict from the monitoring host, the functions' logs, the monitors.

The brokers' addresses are private, so the auditor runs where Ansible has installed it. Judging what came back is pure.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from shopstream.aws.account import code_of
from shopstream.aws.confirm import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment
    from shopstream.topology import Topology

PLAYBOOK = "judge.yml"
_AGAIN_S = 3.0
_LOOK_BACK_MS = 24 * 3600 * 1000
_RARE = 1e-9
"""The auditor's own limit for an observed rate: so unlikely by chance that it is called wrong."""


class Asks(Protocol):
    """What is needed of Ansible; `shopstream.aws.ansible.Ansible` has it."""

    def judge(self, outputs: Mapping[str, Any], *, patience_s: float) -> dict[str, Any]:
        """What judge.yml found."""


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        lines: One for each thing that was looked at.
        verdict: The auditor's, as `shopstream audit --json` has it.
        logs: For each function, the lines in its log group during the last day.
    """

    lines: tuple[Line, ...]
    verdict: dict[str, Any]
    logs: dict[str, int | None]

    @property
    def ok(self) -> bool:
        """Whether all is as it shall be."""
        return all(line.ok for line in self.lines)

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        checks = [line._asdict() for line in self.lines]
        return {"ok": self.ok, "checks": checks, "verdict": self.verdict, "logs": self.logs}


def verify(
    *,
    aws: Aws,
    deployment: Deployment,
    topology: Topology,
    outputs: Mapping[str, Any],
    ansible: Asks,
    tell: Callable[[str], None],
    wait_s: float = 120.0,
    patience_s: float = 60.0,
) -> Verification:
    """Look at the living shop, again while orders are still on their way.

    Args:
        aws: The account.
        deployment: Whose shop.
        topology: What it runs.
        outputs: Terraform's outputs by name.
        ansible: Asks the hosts.
        tell: Gets a line about each thing that is done.
        wait_s: How long to look again while orders are on their way.
        patience_s: How long an order may be without news before what it lacks is an anomaly.

    Raises:
        ShopstreamError: The hosts could not be asked.
    """
    inventory = outputs.get("inventory") or {}
    deadline = time.monotonic() + wait_s
    while True:
        found = ansible.judge(outputs, patience_s=patience_s)
        lines = (
            *shop_lines(found["audit"], topology),
            *target_lines(found["targets"], inventory),
            *center_lines(found["control_center"], len(inventory.get("kafka") or ())),
        )
        waited_for = [line.what for line in lines if not line.ok]
        # An anomaly stays one; what is on its way, or has just been started, needs a moment.
        if not waited_for or not found["audit"]["ok"] or time.monotonic() > deadline:
            break
        tell(f"looking again: {', '.join(waited_for[:3])}")
        time.sleep(_AGAIN_S)
    logs = {function: _logged(aws, function) for function in deployment.functions}
    return Verification((*lines, *log_lines(logs)), found["audit"], logs)


def shop_lines(verdict: Mapping[str, Any], topology: Topology) -> Iterator[Line]:
    """What the auditor says, thing by thing. Pure.

    Args:
        verdict: As `shopstream audit --json` has it.
        topology: The topics, and which events stand on them.
    """
    orders, pending = int(verdict["orders"]), int(verdict["pending"])
    anomalies = {name: each["count"] for name, each in verdict["anomalies"].items()}
    said = ", ".join(f"{count} {name}" for name, count in anomalies.items())
    if not verdict["ok"]:
        samples = [each for anomaly in verdict["anomalies"].values() for each in anomaly["samples"][:1]]
        said += "".join(f"; {each['order_id'] or each['topic']}: {each['detail']}" for each in samples[:3])
    yield Line("the auditor: every order has exactly one outcome", bool(verdict["ok"]), said or "no anomaly", "none")
    yield Line("orders", orders > 0, str(orders), "at least one: invoke order_generator, or enable its schedule")
    yield Line("orders on their way", pending == 0, str(pending), "none")
    funnel = verdict["funnel"]
    for name, topic in topology.topics.items():
        if topic.events:
            count = sum(funnel.get(event, 0) for event in topic.events)
            yield Line(f"events on {name}", count > 0 or not orders, str(count), "at least one")
    for name, rate in verdict["rates"].items():
        text = f"{rate['observed']:.1%} of {rate['decisions']}, configured {rate['expected']:.0%}"
        yield Line(f"rate of {name}", rate["tail"] > _RARE, text, "nearer to what is configured")


def log_lines(logs: Mapping[str, int | None]) -> Iterator[Line]:
    """Whether each function has written its log. Pure.

    Args:
        logs: The number of lines by function; None where there is no log group.
    """
    for function, count in logs.items():
        found = "no log group" if count is None else f"{count} lines"
        yield Line(f"log of {function}", bool(count), found, "lines of the last day")


def target_lines(targets: list[Mapping[str, Any]], inventory: Mapping[str, Any]) -> Iterator[Line]:
    """Whether Prometheus reaches every host, and the JMX exporters of brokers and ZooKeeper. Pure.

    Args:
        targets: `activeTargets` of its API.
        inventory: Terraform's output of that name.
    """
    health = {urlsplit(str(each.get("scrapeUrl"))).netloc: str(each.get("health")) for each in targets}
    for group, hosts in inventory.items():
        for host in hosts or ():
            if group == "bastion":
                continue
            for port in (9100, 7071) if group in {"kafka", "zookeeper"} else (9100,):
                found = health.get(f"{host['private_ip']}:{port}", "not asked")
                yield Line(f"Prometheus reaches {host['name']}:{port}", found == "up", found, "up")


def center_lines(center: Mapping[str, Any], brokers: int) -> Iterator[Line]:
    """Whether Control Center serves its page, and, where it tells, sees the brokers. Pure.

    Args:
        center: What judge.yml found.
        brokers: How many there are.
    """
    if center.get("status") is None:
        return
    yield Line("Control Center answers", int(center["status"]) == 200, str(center["status"]), "200")
    seen = center.get("brokers")
    if isinstance(seen, dict) and "brokers" in seen:
        count, reporting = len(seen["brokers"]), len(seen["with_metrics"])
        text = f"{count}, {reporting} of them with metrics"
        yield Line("brokers that Control Center sees", count == reporting == brokers, text, f"{brokers} with metrics")


def _logged(aws: Aws, function: str) -> int | None:
    group = f"/aws/lambda/{function}"
    since = int(time.time() * 1000) - _LOOK_BACK_MS
    client = aws.client("logs")
    try:
        settings = aws.client("lambda").get_function_configuration(FunctionName=function)
        group = str((settings.get("LoggingConfig") or {}).get("LogGroup") or group)
        answer = client.filter_log_events(logGroupName=group, startTime=since, limit=10_000)
        # A page may be empty and yet not be the last one.
        for _ in range(20):
            if answer.get("events") or not answer.get("nextToken"):
                break
            answer = client.filter_log_events(logGroupName=group, startTime=since, nextToken=answer["nextToken"])
        return len(answer.get("events") or ())
    except ClientError as error:
        if "NotFound" in code_of(error):
            return None
        raise

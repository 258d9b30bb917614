"""What is expected of a deployment, and one line of the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment
    from shopstream.topology import Topology

GROUPS = ("zookeeper", "kafka", "control_center", "monitoring")


class Host(NamedTuple):
    """An instance as it shall be."""

    role: str
    name: str
    private_ip: str
    instance_type: str


@dataclass(frozen=True)
class Expected:
    """What was deployed.

    Attributes:
        deployment: Whose things.
        topology: Services, topics and users.
        access: `public` or `bastion`.
        admin_cidr: The network that SSH is open to.
        hosts: Every instance.
        bootstrap_servers: The brokers, as functions see them.
        zips: Each service's zip.
        mappings_enabled: Whether Lambda shall poll Kafka.
        poller_mode: `on_demand` or `provisioned`.
    """

    deployment: Deployment
    topology: Topology
    access: str
    admin_cidr: str
    hosts: tuple[Host, ...]
    bootstrap_servers: str
    zips: Mapping[str, Path] = field(default_factory=dict)
    mappings_enabled: bool = False
    poller_mode: str = "on_demand"

    @classmethod
    def of(
        cls,
        deployment: Deployment,
        topology: Topology,
        outputs: Mapping[str, Any],
        variables: Mapping[str, Any],
        zips: Path,
    ) -> Expected:
        """What Terraform's outputs and the variables of its last plan say."""
        inventory = outputs.get("inventory") or {}
        hosts = tuple(
            Host(role, host["name"], host["private_ip"], host["instance_type"])
            for role, members in inventory.items()
            for host in members
        )
        return cls(
            deployment=deployment,
            topology=topology,
            access=str(variables.get("access", "public")),
            admin_cidr=str(variables.get("admin_cidr", "")),
            hosts=hosts,
            bootstrap_servers=str(outputs.get("bootstrap_servers", "")),
            zips={service: zips / f"{service}.zip" for service in deployment.services},
            mappings_enabled=str(variables.get("event_source_mappings_enabled", False)).lower() == "true",
            poller_mode=str(variables.get("poller_mode", "on_demand")),
        )


class Line(NamedTuple):
    """One thing that was looked at.

    Attributes:
        what: For example `bucket shopstream-artifacts-123456789012: versioned`.
        ok: Whether it is there and as it shall be.
        found: What AWS says.
        wanted: What was expected, when that is something else.
    """

    what: str
    ok: bool
    found: str
    wanted: str = ""


def compare(what: str, found: object, wanted: object) -> Line:
    """A line that is ok when both are equal."""
    ok = found == wanted
    return Line(what, ok, _text(found), "" if ok else _text(wanted))


def missing(what: str, wanted: str = "it exists") -> Line:
    """A line for what is not there."""
    return Line(what, False, "missing", wanted)


def _text(value: object) -> str:
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value) or "none"
    return str(value)


class Network(NamedTuple):
    """What the other checks need of the network.

    Attributes:
        vpc: Its id; empty when there is none.
        public: Ids of the subnets with a route to the internet gateway.
        private: Ids of the others.
        groups: Security groups, id by name.
    """

    vpc: str
    public: frozenset[str]
    private: frozenset[str]
    groups: dict[str, str]

    def group_name(self, identity: str) -> str:
        """A group's name by its id, or the id."""
        return next((name for name, each in self.groups.items() if each == identity), identity)


@dataclass(frozen=True)
class Check:
    """What a check works with."""

    aws: Aws
    expected: Expected
    network: Network

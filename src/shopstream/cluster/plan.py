"""What must change so that a cluster has what the topology declares. Pure: two descriptions in, a plan out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from collections.abc import Set as AbstractSet

    from shopstream.topology import Acl, Topology


@dataclass(frozen=True)
class TopicState:
    """A topic on a cluster: how many partitions and copies it has, and what was configured for it alone."""

    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True)
class ClusterState:
    """All that a topology decides about a cluster.

    Attributes:
        topics: The topics by name.
        users: The SCRAM users.
        acls: The permissions.
        foreign: What the names of topics begin with that operators make themselves: they may be there or not.
    """

    topics: Mapping[str, TopicState]
    users: AbstractSet[str]
    acls: AbstractSet[Acl]
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The steps from what a cluster has to what it shall have.

    Attributes:
        create: Topics that are missing.
        configure: For each topic, the settings to change; None takes the cluster's default again.
        reshape: Topics that have another number of partitions or copies. Kafka can change that only for an empty topic.
        users: Users that are missing.
        grant: ACLs that are missing.
        surplus: What the cluster has and nobody declares.
    """

    create: Mapping[str, TopicState] = field(default_factory=dict)
    configure: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    reshape: Mapping[str, TopicState] = field(default_factory=dict)
    users: tuple[str, ...] = ()
    grant: tuple[Acl, ...] = ()
    surplus: Surplus = field(default_factory=lambda: Surplus())


@dataclass(frozen=True)
class Surplus:
    """What a cluster has and the topology does not declare."""

    topics: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    acls: tuple[Acl, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.topics or self.users or self.acls)


def wanted(topology: Topology, brokers: int) -> ClusterState:
    """What the topology comes to on a cluster of so many brokers: no more copies than brokers."""
    topics = {}
    for topic in topology.topics.values():
        copies = min(topic.replication, brokers)
        config = dict(topic.config)
        if "min.insync.replicas" in config:
            config["min.insync.replicas"] = str(min(int(config["min.insync.replicas"]), copies))
        topics[topic.name] = TopicState(topic.partitions, copies, config)
    return ClusterState(topics, frozenset(topology.users), frozenset(topology.acls()), topology.owned_prefixes)


def compare(want: ClusterState, have: ClusterState, *, keep: Collection[str] = ()) -> Plan:
    """What to do about the difference.

    Args:
        want: What shall be.
        have: What is. Kafka's own topics must not be in it.
        keep: Users that are no surplus although nobody declares them, and neither are their permissions.
    """
    present = {name: (topic, have.topics[name]) for name, topic in want.topics.items() if name in have.topics}
    reshape = {
        name: new
        for name, (new, old) in present.items()
        if (new.partitions, new.replication) != (old.partitions, old.replication)
    }
    changes = {name: _changes(new.config, old.config) for name, (new, old) in present.items() if name not in reshape}
    return Plan(
        create={name: topic for name, topic in want.topics.items() if name not in have.topics},
        configure={name: change for name, change in changes.items() if change},
        reshape=reshape,
        users=tuple(sorted(want.users - have.users)),
        grant=tuple(sorted(want.acls - have.acls)),
        surplus=Surplus(
            tuple(sorted(t for t in have.topics.keys() - want.topics.keys() if not t.startswith(want.foreign))),
            tuple(sorted(have.users - want.users - set(keep))),
            tuple(sorted(acl for acl in have.acls - want.acls if acl.user not in keep)),
        ),
    )


def _changes(new: Mapping[str, str], old: Mapping[str, str]) -> dict[str, str | None]:
    return {key: new.get(key) for key in sorted(new.keys() | old.keys()) if new.get(key) != old.get(key)}

"""What a topology is, and what follows from it: users, routes and ACLs. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Resource = Literal["topic", "group", "transactional_id", "cluster"]
Pattern = Literal["literal", "prefixed"]
Option = int | float | str | bool

_OWNERS_RIGHTS = ("create", "delete", "describe_configs", "read", "write")
_FEEDERS_RIGHTS = ("create", "write")


@dataclass(frozen=True, order=True)
class Acl:
    """One permission: `user` may do `operation` on the resources that `name` and `pattern` select.

    Operations are Kafka's, in lower case: read, write, create, delete, describe, describe_configs. A permission to
    read or write a topic or a group includes describing it (Kafka's authorizer derives that), so no line of its own
    says so. The cluster's own name is `kafka-cluster`, as in Kafka.
    """

    user: str
    resource: Resource
    name: str
    pattern: Pattern
    operation: str


@dataclass(frozen=True)
class Topic:
    """A topic as it shall be on a cluster with enough brokers.

    Attributes:
        name: Its name in Kafka.
        about: What its records mean, in a few words.
        partitions: How many.
        replication: Copies of each partition; a smaller cluster uses as many as it has brokers.
        config: Kafka's topic configuration, by Kafka's names (`retention.ms`, `cleanup.policy`, …).
        events: The shop's event types that may stand on it. Empty for state and dead letters.
        own_events: Those that the one service which writes them declares in its own module; no other one reads them.
        sink: Whether it is read outside the shop only.
    """

    name: str
    about: str
    partitions: int
    replication: int
    config: Mapping[str, str]
    events: tuple[str, ...] = ()
    own_events: tuple[str, ...] = ()
    sink: bool = False

    @property
    def all_events(self) -> tuple[str, ...]:
        """All event types that may stand on it."""
        return self.events + self.own_events


class EventSource(NamedTuple):
    """What feeds a topic to a service that runs as a Lambda function: a mapping of its own, and so a group of its own.

    AWS takes one topic for each event source mapping, and a consumer group must be unique to its mapping.
    """

    topic: str
    group: str


@dataclass(frozen=True)
class Service:
    """A service: what it reads and writes, and as whom.

    Attributes:
        name: Also its SCRAM user.
        consumes: Topics that it reads as a member of its group.
        produces: Topics that it writes its events to.
        group: Its consumer group; None when it consumes nothing.
        state: The changelog topic of its join, if it keeps state.
        progress: The topic that holds how far a source of events has come, if it is one.
        dead_letters: Where it puts records that it cannot use; None when it consumes nothing.
        options: Keyword arguments for its core (rates, seed).
    """

    name: str
    consumes: tuple[str, ...]
    produces: tuple[str, ...]
    group: str | None
    state: str | None = None
    progress: str | None = None
    dead_letters: str | None = None
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))

    def transactional_id(self, instance: int) -> str:
        """An instance's (0, 1, …) transactional id: the same after a restart, so that Kafka fences the dead one."""
        return f"{self.transactional_id_prefix}{instance}"

    @property
    def lambda_handler(self) -> str:
        """What Lambda calls for the service as a function."""
        return f"shopstream.runtime.entry.{self.name}"

    @property
    def event_sources(self) -> tuple[EventSource, ...]:
        """One for each consumed topic, for the service as a Lambda function. Its group is `<service>.<topic>`."""
        return tuple(EventSource(topic, f"{self.name}.{topic}") for topic in self.consumes)

    @property
    def groups(self) -> tuple[str, ...]:
        """Every consumer group that it may be a member of: the workers' one, and one for each event source."""
        return (*((self.group,) if self.group else ()), *(source.group for source in self.event_sources))

    @property
    def transactional_id_prefix(self) -> str:
        """What all transactional ids of this service begin with, and what its ACL grants."""
        return f"{self.name}-"

    @property
    def writes(self) -> tuple[str, ...]:
        """Every topic that it may write to, its own bookkeeping included."""
        return (*self.produces, *(t for t in (self.state, self.progress, self.dead_letters) if t))

    @property
    def reads(self) -> tuple[str, ...]:
        """Every topic that it may read, its own bookkeeping included."""
        return (*self.consumes, *(t for t in (self.state, self.progress) if t))

    def acls(self) -> tuple[Acl, ...]:
        """The least that the service needs, sorted.

        A transactional producer needs WRITE and DESCRIBE on its transactional id, and sending offsets in a
        transaction needs READ on the group (Kafka's documentation, "Authorization and ACLs"). An event source mapping
        connects as the service's user; beyond reading topic and group, AWS asks for DescribeConfigs on the cluster
        ("Required Kafka ACL permissions" in Lambda's guide to self-managed Kafka).
        """
        acls = {Acl(self.name, "topic", topic, "literal", "read") for topic in self.reads}
        acls |= {Acl(self.name, "topic", topic, "literal", "write") for topic in self.writes}
        acls |= {
            Acl(self.name, "transactional_id", self.transactional_id_prefix, "prefixed", operation)
            for operation in ("describe", "write")
        }
        acls |= {Acl(self.name, "group", group, "literal", "read") for group in self.groups}
        if self.event_sources:
            acls.add(Acl(self.name, "cluster", "kafka-cluster", "literal", "describe_configs"))
        return tuple(sorted(acls))


@dataclass(frozen=True)
class Operator:
    """A person or a tool with a user of its own.

    Attributes:
        name: Its SCRAM user. Its own consumer groups begin with it, unless it owns a prefix.
        superuser: Whether it may do everything.
        reads: Topics that it may read.
        watches_groups: Whether it may see the committed offsets of the services' groups.
        inspects: Whether it may see the configuration of the cluster, of its brokers, and of the topics that it reads.
        owns: Topics and groups whose names begin with this are its own: it makes them itself. None if it owns none.
        feeds: Topics of another operator's prefix that it may write to, and make where they are missing.
    """

    name: str
    superuser: bool = False
    reads: tuple[str, ...] = ()
    watches_groups: bool = False
    inspects: bool = False
    owns: str | None = None
    feeds: tuple[str, ...] = ()

    @property
    def group_prefix(self) -> str:
        """What its consumer groups begin with, and what its ACL grants."""
        return self.owns or self.name

    def acls(self, groups: tuple[str, ...]) -> tuple[Acl, ...]:
        """What it may do, sorted. `groups` are the consumer groups of the services.

        The owner of a prefix gets what Confluent's `control-center-set-acls` grants for Control Center's topics and
        group ("Configure Control Center to work with Kafka ACLs"), and may delete: Kafka Streams, which Control Center
        is built on, purges its repartition topics ("Streams security"). To create a topic, CREATE on its name is
        enough: CREATE on the cluster would allow any name.
        """
        acls = {Acl(self.name, "topic", topic, "literal", "read") for topic in self.reads}
        if self.reads or self.owns:
            acls.add(Acl(self.name, "group", self.group_prefix, "prefixed", "read"))
        if self.owns:
            acls |= {Acl(self.name, "topic", self.owns, "prefixed", operation) for operation in _OWNERS_RIGHTS}
        if self.inspects:
            acls |= {Acl(self.name, "topic", topic, "literal", "describe_configs") for topic in self.reads}
            acls |= {
                Acl(self.name, "cluster", "kafka-cluster", "literal", operation)
                for operation in ("describe", "describe_configs")
            }
        acls |= {Acl(self.name, "topic", topic, "literal", right) for topic in self.feeds for right in _FEEDERS_RIGHTS}
        if self.watches_groups:
            acls |= {Acl(self.name, "group", group, "literal", "describe") for group in groups}
        return tuple(sorted(acls))


@dataclass(frozen=True)
class Topology:
    """Topics, services and operators, checked against each other. Made by `load` or `parse`."""

    topics: Mapping[str, Topic]
    services: Mapping[str, Service]
    operators: Mapping[str, Operator]
    dead_letters: str

    @property
    def users(self) -> tuple[str, ...]:
        """Every SCRAM user: the services', then the operators'."""
        return (*self.services, *self.operators)

    @property
    def superusers(self) -> tuple[str, ...]:
        """The users that need no ACL."""
        return tuple(name for name, operator in self.operators.items() if operator.superuser)

    @property
    def owned_prefixes(self) -> tuple[str, ...]:
        """What the names of the topics begin with that operators make themselves."""
        return tuple(operator.owns for operator in self.operators.values() if operator.owns)

    @property
    def groups(self) -> tuple[str, ...]:
        """The consumer groups of the services, as workers and as Lambda functions."""
        return tuple(group for service in self.services.values() for group in service.groups)

    @property
    def source(self) -> Service:
        """The service that starts the flow: the one with a progress topic. A valid topology has exactly one."""
        return next(service for service in self.services.values() if service.progress)

    @property
    def processors(self) -> tuple[Service, ...]:
        """The services that answer to records."""
        return tuple(service for service in self.services.values() if service.consumes)

    @property
    def onlookers(self) -> tuple[Service, ...]:
        """The processors that write none of the shop's events: no outcome waits for them, and no verdict shows them."""
        return tuple(
            service for service in self.processors if not any(self.topics[topic].events for topic in service.produces)
        )

    @cached_property
    def topic_of(self) -> Mapping[str, str]:
        """The topic that each event type belongs on."""
        return {event: topic.name for topic in self.topics.values() for event in topic.all_events}

    def acls(self) -> tuple[Acl, ...]:
        """Every ACL that the cluster shall have, users in the order of the file."""
        services = (acl for service in self.services.values() for acl in service.acls())
        operators = (acl for operator in self.operators.values() for acl in operator.acls(self.groups))
        return (*services, *operators)

    def user_of(self, role: Literal["auditor", "admin"]) -> str:
        """The user for one of shopstream's own tasks: a superuser for `admin`, a reader of everything for `auditor`."""
        if role == "admin":
            return self.superusers[0]
        return self.auditors[0]

    @property
    def auditors(self) -> tuple[str, ...]:
        """The operators that read everything and see the groups, and do nothing else."""
        return tuple(
            operator.name
            for operator in self.operators.values()
            if operator.watches_groups and set(operator.reads) == set(self.topics) and not operator.owns
        )

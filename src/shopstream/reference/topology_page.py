"""docs/reference/topology.md: topics, services, groups, users and ACLs, all derived from topology.yaml."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from shopstream.reference import markdown
from shopstream.reference.markdown import code, facts, table

if TYPE_CHECKING:
    from shopstream.topology import Acl, Service, Topic, Topology


class Audience(NamedTuple):
    """Who has to do with a topic, by name.

    Attributes:
        writers: Services that write to it.
        readers: Services that read it.
        operators: People and tools that may read it; superusers may do everything and are not among them.
    """

    writers: tuple[str, ...]
    readers: tuple[str, ...]
    operators: tuple[str, ...]


def audience(topology: Topology, topic: str) -> Audience:
    """Who writes and reads a topic."""
    services, operators = topology.services.values(), topology.operators.values()
    return Audience(
        tuple(service.name for service in services if topic in service.writes),
        tuple(service.name for service in services if topic in service.reads),
        tuple(operator.name for operator in operators if topic in operator.reads),
    )


def keeps(topic: Topic) -> str:
    """What a topic keeps, in words."""
    if topic.config["cleanup.policy"] == "compact":
        return "the latest of each key"
    hours = int(topic.config["retention.ms"]) / 3_600_000
    if hours < 0:
        return "everything"
    return f"{hours / 24:g} days" if hours >= 24 else f"{hours:g} hours"


def key_of(topology: Topology, topic: str) -> str:
    """What the records of a topic are keyed by."""
    if topic == topology.source.progress:
        return "the run's id"
    return "that of the record that could not be used" if topic == topology.dead_letters else "the order's id"


def render(topology: Topology) -> str:
    """The page."""
    return markdown.page(
        "The topology",
        "[topology.yaml](../../topology.yaml)",
        "`shopstream topology show` and `shopstream topology acls` tell the same of any topology file.",
        "## Topics",
        "A cluster with fewer brokers than a topic wants copies makes as many copies as it has brokers.",
        _topics(topology),
        *(_topic(topology, topic) for topic in topology.topics.values()),
        "## Services",
        "Each service is a user of its own, who logs in with SCRAM-SHA-512. As workers, its instances share one group, "
        "and each has a transactional id. As a Lambda function it has a group for each topic, because AWS takes one "
        "topic for each event source mapping; its state is then in DynamoDB, and it keeps no progress.",
        *(_service(service) for service in topology.services.values()),
        "## Consumer groups",
        _groups(topology),
        "## Users and their rights",
        "The right to read or write a topic or a group includes describing it: Kafka derives that. A name that ends in "
        "`*` stands for all names that begin so.",
        *(_rights(user, topology) for user in topology.users),
    )


def _topics(topology: Topology) -> str:
    def row(topic: Topic) -> tuple[str, ...]:
        who = audience(topology, topic.name)
        name = markdown.link(topic.name)
        return name, str(topic.partitions), keeps(topic), code(topic.all_events), code(who.writers), code(who.readers)

    head = ("topic", "partitions", "keeps", "events", "written by", "read by")
    return table(head, map(row, topology.topics.values()))


def _topic(topology: Topology, topic: Topic) -> str:
    who = audience(topology, topic.name)
    rows = {
        "key": key_of(topology, topic.name),
        "partitions": str(topic.partitions),
        "copies": str(topic.replication),
        "events": code(topic.all_events),
        "written by": code(who.writers),
        "read by": code(who.readers),
        "may be read by": code(who.operators),
        **{f"`{key}`": f"`{value}`" for key, value in topic.config.items()},
    }
    return f"### {topic.name}\n\n{markdown.sentence(topic.about)}\n\n{facts(rows)}"


def _service(service: Service) -> str:
    rows = {
        "reads": code(service.consumes),
        "writes": code(service.produces),
        "puts what it cannot use on": code([service.dead_letters] if service.dead_letters else []),
        "keeps its state on": code([service.state] if service.state else []),
        "keeps its progress on": code([service.progress] if service.progress else []),
        "group as workers": code([service.group] if service.group else []),
        "groups as a Lambda function": code(source.group for source in service.event_sources),
        "transactional ids": code(service.transactional_id(instance) for instance in range(2)) + ", …",
        "options": code(f"{name}: {value}" for name, value in service.options.items()),
    }
    return f"### {service.name}\n\n{facts(rows)}"


def _groups(topology: Topology) -> str:
    rows = []
    for service in topology.services.values():
        if service.group:
            rows.append((f"`{service.group}`", f"`{service.name}`", "its workers", code(service.consumes)))
        rows += [
            (f"`{source.group}`", f"`{service.name}`", "an event source mapping", f"`{source.topic}`")
            for source in service.event_sources
        ]
    rows += [
        (f"`{operator.group_prefix}*`", f"`{operator.name}`", "people and tools", "what the user may read")
        for operator in topology.operators.values()
        if operator.reads or operator.owns
    ]
    return table(("group", "user", "used by", "reads"), rows)


def _rights(user: str, topology: Topology) -> str:
    title = f"### User {user}\n\n"
    if user in topology.superusers:
        return f"{title}A superuser, who may do everything and needs no ACL."

    def kind(acl: Acl) -> tuple[str, str]:
        return acl.resource, acl.operation

    acls = sorted((acl for acl in topology.acls() if acl.user == user), key=kind)
    rows = [(operation, resource, code(map(_named, same))) for (resource, operation), same in groupby(acls, kind)]
    return title + table(("may", "on", "names"), rows)


def _named(acl: Acl) -> str:
    return f"{acl.name}*" if acl.pattern == "prefixed" else acl.name

"""Reads topology.yaml and says, line by line, what does not hold together and how to mend it."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shopstream.errors import TopologyError
from shopstream.events import EVENT_TYPES
from shopstream.topology.model import Operator, Service, Topic, Topology
from shopstream.topology.yaml_lines import Block, Problems, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

# Kafka refuses anything else (org.apache.kafka.common.internals.Topic).
_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_EVENT_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_DURATION = re.compile(r"(\d+)(m|h|d)")
_MILLISECONDS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
# Kafka's defaults (segments of 1 GiB, tombstones for a day) are made for large tables. A changelog is read whole when
# its owner changes, so it is kept short: segments are closed early, cleaned soon, and deletions forgotten in time.
_COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 << 20),
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": str(600_000),
}
_DEFAULTS = {
    "partitions": 6,
    "replication": 3,
    "min_insync_replicas": 2,
    "retention": "7d",
    "max_message_bytes": 1_048_576,
}


def default_path() -> Path:
    """The topology that comes with shopstream: the checkout's file, or the copy inside the installed package."""
    packaged = Path(str(files("shopstream"))) / "topology.yaml"
    return packaged if packaged.is_file() else packaged.parents[2] / packaged.name


def load(path: Path | None = None) -> Topology:
    """Read a topology file; without a path, the one that comes with shopstream.

    Raises:
        TopologyError: The file cannot be read or is not sound.
    """
    path = path or default_path()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TopologyError(f"{path}: cannot be read: {error}") from error
    return parse(text, str(path))


def parse(text: str, source: str = "topology.yaml") -> Topology:
    """Read a topology from text. `source` names it in messages.

    Raises:
        TopologyError: With one line for each problem: `source:line: what is wrong: what to do`.
    """
    problems = Problems(source)
    root = read_yaml(text, problems)
    root.only("defaults", "dead_letters", "topics", "services", "operators")
    defaults = _defaults(root.block("defaults"))
    topic_blocks = _named(root.block("topics", required=True))
    service_blocks = _named(root.block("services", required=True))
    operator_blocks = _named(root.block("operators", required=True))
    dead_letters = root.text("dead_letters", required=True)

    topics = {name: _topic(name, block, defaults) for name, block in topic_blocks.items()}
    services = {name: _service(name, block, dead_letters) for name, block in service_blocks.items()}
    operators = {name: _operator(name, block, topics) for name, block in operator_blocks.items()}
    topology = Topology(MappingProxyType(topics), MappingProxyType(services), MappingProxyType(operators), dead_letters)
    problems.stop_if_any()

    _check_references(topology, root, service_blocks, operator_blocks)
    _check_users(topology, service_blocks, operator_blocks)
    _check_prefixes(topology, operator_blocks)
    _check_operators(topology, root)
    problems.stop_if_any()
    _check_flow(topology, topic_blocks)
    _check_joins(topology, service_blocks)
    _check_sources(topology, root, service_blocks)
    problems.stop_if_any()
    return topology


def _named(block: Block) -> dict[str, Block]:
    blocks = {}
    for name in block:
        if not _LEGAL_NAME.fullmatch(name) or name in {".", ".."}:
            block.problem(
                name,
                f"Kafka refuses the name {name!r}",
                "use 1 to 249 of the letters a-z, A-Z, 0-9, '.', '_' and '-'",
            )
        blocks[name] = block.block(name)
    for alias, names in _collisions(blocks).items():
        block.problem(
            names[1],
            f"{names[0]!r} and {names[1]!r} are the same to Kafka's metrics ({alias})",
            "rename one: '.' and '_' are not told apart there",
        )
    return blocks


def _collisions(names: Iterable[str]) -> dict[str, list[str]]:
    by_alias: dict[str, list[str]] = {}
    for name in names:
        by_alias.setdefault(name.replace(".", "_"), []).append(name)
    return {alias: same for alias, same in by_alias.items() if len(same) > 1}


def _defaults(block: Block) -> dict[str, Any]:
    block.only(*_DEFAULTS)
    given: dict[str, int | str | None] = {key: block.integer(key) for key in _DEFAULTS if key != "retention"}
    given["retention"] = block.text("retention") or None
    return {key: given[key] if given[key] is not None else default for key, default in _DEFAULTS.items()}


def _topic(name: str, block: Block, defaults: dict[str, Any]) -> Topic:
    block.only(*_DEFAULTS, "about", "events", "own_events", "sink", "compacted")

    def number(key: str) -> int:
        own = block.integer(key)
        return int(defaults[key]) if own is None else own

    replication, insync = number("replication"), number("min_insync_replicas")
    if insync > replication:
        block.problem(
            "min_insync_replicas" if "min_insync_replicas" in block else None,
            f"topic {name!r} wants {insync} replicas in sync and has {replication}: nothing could be written",
            "lower min_insync_replicas or raise replication",
        )
    config = {"min.insync.replicas": str(insync), "max.message.bytes": str(number("max_message_bytes"))}
    if block.flag("compacted"):
        config |= _COMPACTED
        if "retention" in block:
            block.problem(
                "retention",
                f"topic {name!r} is compacted, so retention has no effect",
                "remove one of the two",
            )
    else:
        config["cleanup.policy"] = "delete"
        config["retention.ms"] = str(_milliseconds(block, block.text("retention") or defaults["retention"]))
    return Topic(
        name=name,
        about=block.text("about"),
        partitions=number("partitions"),
        replication=replication,
        config=MappingProxyType(dict(sorted(config.items()))),
        events=block.names("events"),
        own_events=block.names("own_events"),
        sink=block.flag("sink"),
    )


def _milliseconds(block: Block, duration: str) -> int:
    if duration == "forever":
        return -1  # Kafka's own word for it
    match = _DURATION.fullmatch(duration)
    if not match:
        block.problem(
            "retention",
            f"{duration!r} is no duration",
            "write a number and m, h or d (like 7d), or `forever`",
        )
        return -1
    return int(match[1]) * _MILLISECONDS[match[2]]


def _service(name: str, block: Block, dead_letters: str) -> Service:
    block.only("consumes", "produces", "group", "state", "progress", "options")
    consumes = block.names("consumes")
    group = block.text("group") or (name if consumes else None)
    if group and not consumes:
        block.problem("group", f"service {name!r} has a consumer group and consumes nothing", "remove the group")
    return Service(
        name=name,
        consumes=consumes,
        produces=block.names("produces"),
        group=group,
        state=block.text("state") or None,
        progress=block.text("progress") or None,
        dead_letters=dead_letters if consumes else None,
        options=MappingProxyType(block.scalars("options")),
    )


def _operator(name: str, block: Block, topics: dict[str, Topic]) -> Operator:
    block.only("superuser", "reads", "watches_groups", "inspects", "owns", "feeds")
    reads = tuple(topics) if block.is_text("reads", "all") else block.names("reads")
    owns = block.text("owns")
    if "owns" in block and not _LEGAL_NAME.fullmatch(owns):
        block.problem(
            "owns", f"no topic's name begins with {owns!r}", "write the beginning of the names, like _confluent"
        )
    return Operator(
        name,
        superuser=block.flag("superuser"),
        reads=reads,
        watches_groups=block.flag("watches_groups"),
        inspects=block.flag("inspects"),
        owns=owns or None,
        feeds=block.names("feeds"),
    )


def _check_references(topology: Topology, root: Block, services: dict[str, Block], operators: dict[str, Block]) -> None:
    def known(block: Block, key: str, topics: Iterable[str | None]) -> None:
        for topic in topics:
            if topic is not None and topic not in topology.topics:
                block.problem(key, f"unknown topic {topic!r}", f"declare it under topics, or use one of: {listed}")

    listed = ", ".join(topology.topics)
    known(root, "dead_letters", [topology.dead_letters])
    for service in topology.services.values():
        block = services[service.name]
        known(block, "consumes", service.consumes)
        known(block, "produces", service.produces)
        known(block, "state", [service.state])
        known(block, "progress", [service.progress])
    for operator in topology.operators.values():
        known(operators[operator.name], "reads", operator.reads)


def _check_users(topology: Topology, services: dict[str, Block], operators: dict[str, Block]) -> None:
    for name in topology.operators.keys() & topology.services.keys():
        operators[name].problem(None, f"{name!r} is both a service and an operator", "rename one: each is a user")
    for group, count in Counter(topology.groups).items():
        if count > 1:
            sharers = [s.name for s in topology.services.values() if group in s.groups]
            services[sharers[-1]].problem(
                "group",
                f"services {' and '.join(sharers)} share the group {group!r}: each would miss records",
                "give each a group of its own",
            )
    for operator in topology.operators.values():
        for service in topology.services.values():
            taken = next((group for group in service.groups if group.startswith(operator.group_prefix)), None)
            if operator.reads and not operator.owns and taken:
                services[service.name].problem(
                    "group",
                    f"{operator.name!r} may use every group that begins with its name: {taken!r} too",
                    "rename one",
                )
    for service in topology.services.values():
        for other in topology.services.values():
            if other is not service and other.name.startswith(service.transactional_id_prefix):
                services[other.name].problem(
                    None,
                    f"{service.name!r} may use every transactional id that begins with "
                    f"{service.transactional_id_prefix!r}: those of {other.name!r} too",
                    "rename one",
                )


def _check_prefixes(topology: Topology, operators: dict[str, Block]) -> None:
    for owner in topology.operators.values():
        if not (prefix := owner.owns):
            continue
        names = [*topology.topics, *topology.groups]
        names += [other.group_prefix for other in topology.operators.values() if other is not owner]
        shared = [name for name in names if name.startswith(prefix)]
        if shared:
            operators[owner.name].problem(
                "owns",
                f"{owner.name!r} may use every topic and group that begins with {prefix!r}: {shared[0]!r} too",
                "choose a longer prefix, or rename one",
            )
    for operator in topology.operators.values():
        for topic in operator.feeds:
            if topic in topology.topics:
                what, remedy = f"{topic!r} is a topic of the shop", "let a service produce it"
            elif not _LEGAL_NAME.fullmatch(topic) or not topic.startswith(topology.owned_prefixes):
                what, remedy = f"nobody owns topic {topic!r}", "let an operator own the beginning of its name (`owns`)"
            else:
                continue
            operators[operator.name].problem("feeds", what, remedy)


def _check_operators(topology: Topology, root: Block) -> None:
    if not topology.superusers:
        root.problem("operators", "no operator is a superuser", "give one `superuser: true`: it applies this file")
    if not topology.auditors:
        root.problem(
            "operators",
            "no operator can audit",
            "give one `reads: all` and `watches_groups: true`",
        )


def _check_flow(topology: Topology, topics: dict[str, Block]) -> None:
    services = topology.services.values()
    written = {topic for service in services for topic in service.writes}
    read = {topic for service in services for topic in service.reads}
    producers = Counter(topic for service in services for topic in service.produces)
    for topic in topology.topics.values():
        block = topics[topic.name]
        if topic.name not in written:
            block.problem(None, f"nobody produces topic {topic.name!r}", "name it in a service, or remove it")
        if topic.name not in read and not topic.sink:
            block.problem(
                None,
                f"nobody reads topic {topic.name!r}",
                "let a service consume it, or say `sink: true`, or remove it",
            )
        if topic.name in producers and not topic.events and not topic.own_events:
            block.problem(None, f"topic {topic.name!r} declares no events", "list the event types that stand on it")
        if topic.events and topic.name not in producers:
            block.problem("events", f"no service produces the events of {topic.name!r}", "remove them")
        if topic.own_events:
            _check_own_events(topology, topic, block)
    owners: dict[str, str] = {}
    for topic in topology.topics.values():
        for key, events in (("events", topic.events), ("own_events", topic.own_events)):
            for event in events:
                _check_event(event, key, topics[topic.name])
                if event in owners:
                    topics[topic.name].problem(
                        key,
                        f"event {event!r} is on {owners[event]!r} already",
                        "an event belongs on one topic",
                    )
                owners[event] = topic.name


def _check_event(event: str, key: str, block: Block) -> None:
    if key == "events" and event not in EVENT_TYPES:
        block.problem(
            key,
            f"unknown event {event!r}",
            f"use one of: {', '.join(EVENT_TYPES)}; or name it under own_events, and declare it in its service",
        )
    if key == "own_events" and event in EVENT_TYPES:
        block.problem(key, f"{event!r} is an event of the shop", "name it under events")
    if key == "own_events" and not _EVENT_NAME.fullmatch(event):
        block.problem(
            key, f"{event!r} names no event", "write it like order_suspected, for a class named OrderSuspected"
        )


def _check_own_events(topology: Topology, topic: Topic, block: Block) -> None:
    """An event that another service reads is part of the contract between them, and has no place in a module of one."""
    writers = [service.name for service in topology.services.values() if topic.name in service.produces]
    readers = [service.name for service in topology.services.values() if topic.name in service.consumes]
    if topic.events:
        block.problem(
            "own_events", f"topic {topic.name!r} has events of the shop, too", "give the own ones a topic of their own"
        )
    if len(writers) != 1:
        found = f"{' and '.join(writers)} produce" if writers else "no service produces"
        block.problem(
            "own_events", f"{found} the own events of {topic.name!r}", "name the topic in one service's produces"
        )
    if readers:
        block.problem(
            "own_events",
            f"{readers[0]!r} consumes {topic.name!r}, whose events only their own service knows",
            "declare what services tell each other in shopstream.events, and name it under events",
        )


def _check_joins(topology: Topology, services: dict[str, Block]) -> None:
    for service in topology.services.values():
        if not service.state:
            continue
        block = services[service.name]
        counts = {name: topology.topics[name].partitions for name in (*service.consumes, service.state)}
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{name} has {count}" for name, count in counts.items())
            block.problem(
                "state",
                f"{service.name!r} joins topics with different partition counts: {found}",
                "give them the same `partitions`, or the two halves of an order land in different instances",
            )
        if topology.topics[service.state].config["cleanup.policy"] != "compact":
            block.problem("state", f"the changelog {service.state!r} is not compacted", "say `compacted: true` there")


def _check_sources(topology: Topology, root: Block, services: dict[str, Block]) -> None:
    sources = [service for service in topology.services.values() if service.progress]
    if len(sources) != 1:
        root.problem(
            "services",
            f"{len(sources)} services have a progress topic",
            "give it to exactly one: the source of the orders",
        )
    for service in topology.services.values():
        if not service.consumes and not service.progress:
            services[service.name].problem(
                None,
                f"service {service.name!r} neither consumes nor has a progress topic",
                "nothing would start it",
            )
        progress = topology.topics[service.progress] if service.progress else None
        if progress and (progress.partitions != 1 or progress.config["cleanup.policy"] != "compact"):
            services[service.name].problem(
                "progress",
                f"the progress topic {progress.name!r} must be compacted and have one partition",
                "say `compacted: true` and `partitions: 1` there",
            )

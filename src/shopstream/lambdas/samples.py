"""A test event for each function: what AWS would send it, with records that the shop's own services made.

The records are those of a small run, made anew from the topology and the cores each time: they can't go stale.
"""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shopstream.events import encode
from shopstream.records import Record
from shopstream.runtime.memory import partition_for
from shopstream.runtime.processor import core_of, processor_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shopstream.events import Event
    from shopstream.topology import Topology

RUN_ID = "console-test"
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
"""The shop's clock at the first order."""

BOOTSTRAP_SERVERS = "kafka-0.shop.example.com:9094,kafka-1.shop.example.com:9094,kafka-2.shop.example.com:9094"

_ORDERS = 200  # to look through for every course that an order can take; the rarest is taken by one in fifty

Log = dict[tuple[str, int], list[Record]]


def sample_events(topology: Topology) -> dict[str, Any]:
    """Every test event by a name for it: that of the function, with an addition when there is more than one.

    A consuming service gets a batch with records of all its topics (a mapping of AWS's sends one topic at a time) and
    of as many orders as there are courses that an order can take.
    """
    source = topology.source.name
    orders = core_of(topology.source).generate_orders(0, _ORDERS, run_id=RUN_ID, start=START)
    log = run_shop(topology, one_of_each_course(topology, orders))
    return {
        "hello_world": {},
        source: {"orders": 3},
        f"{source}.scheduled": scheduled(f"shopstream-{source}"),
    } | {service.name: batch(log, service.consumes) for service in topology.processors}


def run_shop(topology: Topology, orders: Iterable[Event]) -> Log:
    """What stands on each partition when the services have dealt with orders, and nothing is on its way any more."""
    log: Log = defaultdict(list)
    processors = [processor_for(topology, service) for service in topology.processors]
    position: dict[tuple[str, str, int], int] = defaultdict(int)

    def append(topic: str, key: bytes, value: bytes, timestamp_ms: int) -> None:
        place = topic, partition_for(key, topology.topics[topic].partitions)
        log[place].append(Record(*place, len(log[place]), timestamp_ms, key, value))

    for order in orders:
        milliseconds = int(order.occurred_at.timestamp() * 1000)
        append(topology.topic_of[order.event_type], order.order_id.encode(), encode(order), milliseconds)
    moved = True
    while moved:
        moved = False
        for processor in processors:
            service = processor.service
            for topic, partition in sorted(place for place in log if place[0] in service.consumes):
                start = position[service.name, topic, partition]
                for record in log[topic, partition][start:]:
                    results = processor.process([record]).events
                    processor.accept()
                    for to, messages in results.items():
                        for key, value in messages:
                            append(to, key, value, record.timestamp_ms + 20)  # a service answers in such a time
                    moved = True
                position[service.name, topic, partition] = len(log[topic, partition])
    return log


def one_of_each_course(topology: Topology, orders: Iterable[Event]) -> list[Event]:
    """For every different set of topics and events that an order leads to, the first order that does."""
    events = {order.order_id: order for order in orders}
    course: dict[str, set[tuple[str, bytes]]] = {order: set() for order in events}
    for (topic, _), records in run_shop(topology, events.values()).items():
        for record in records:
            key, value = record.key or b"", record.value or b""
            # Every event begins with its type, so what stands before the first comma tells it.
            course[key.decode()].add((topic, value.partition(b",")[0]))
    first: dict[frozenset[tuple[str, bytes]], str] = {}
    for order, steps in course.items():
        first.setdefault(frozenset(steps), order)
    return [events[order] for order in first.values()]


def batch(log: Mapping[tuple[str, int], list[Record]], topics: Iterable[str]) -> dict[str, Any]:
    """Records as an event source mapping sends them ("Using Lambda with self-managed Apache Kafka", AWS)."""
    wanted = set(topics)
    return {
        "eventSource": "aws:SelfManagedKafka",
        "bootstrapServers": BOOTSTRAP_SERVERS,
        "records": {
            f"{topic}-{partition}": [_sent(record) for record in records]
            for (topic, partition), records in sorted(log.items())
            if topic in wanted
        },
    }


def _sent(record: Record) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        "timestampType": "CREATE_TIME",
        "key": b64encode(record.key or b"").decode(),
        "value": b64encode(record.value or b"").decode(),
        "headers": [],
    }


def scheduled(rule: str) -> dict[str, Any]:
    """What a rule of EventBridge with a schedule sends ("Amazon EventBridge events", AWS)."""
    return {
        "version": "0",
        "id": "7c0b6f0e-3d35-4c4e-9a53-0d8f4b1f6a21",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": START.isoformat().replace("+00:00", "Z"),
        "region": "us-east-1",
        "resources": [f"arn:aws:events:us-east-1:123456789012:rule/{rule}"],
        "detail": {},
    }

"""Orders that wait on their topic from a run with another seed.

The seed decides about every order. Under exactly-once an order that still waits has no answer yet, so whoever gives
it one gives the only one. Under at-least-once it may have one all the same: what a killed run had published without
committing is answered again by its successor. With another seed that answer may contradict the first one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from shopstream.errors import ClusterError, UsageError
from shopstream.events import split_order_id
from shopstream.offsets import EARLIEST, LATEST, committed_offsets, list_offsets, passes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from shopstream.runs import Platform, Run
    from shopstream.settings import ClientSettings
    from shopstream.topology import Service, Topology

_ANSWER_S = 10.0
# What a killed worker left open ends by itself: its transaction after 15 s, when the broker looks next.
_DECIDED_S = 45.0
_AT_ONCE = 10_000  # records


def refuse_another_seed(
    reader: ClientSettings, topology: Topology, platform: Platform, seed: int, seen: Mapping[str, Run]
) -> None:
    """Make sure that no order waits which somebody may have answered with another seed already.

    Args:
        reader: How to connect, as a user that may see the groups and read the source's topic.
        topology: The shop.
        platform: What runs the services.
        seed: What shall decide from now on.
        seen: Every run that the cluster knows, by its id.

    Raises:
        UsageError: There is one.
        ClusterError: The brokers refuse to tell.
    """
    seeds = {name: run.seed for name, run in seen.items() if run.guarantee == "at-least-once"}
    by_hand = default_seed(topology) if platform == "lambda" else seed  # workers answer nobody else's orders twice
    if {by_hand, *seeds.values()} == {seed}:
        return
    for group, topic in _groups(topology, platform):
        for run_id in _waiting(reader, group, topic, topology.topics[topic].partitions):
            before = seeds.get(run_id, seed if run_id in seen else by_hand)
            if before != seed:
                raise UsageError(
                    f"orders of {run_id!r} wait for {group}; their seed is {before}, and with {seed} some might be "
                    "decided a second time, and differently: finish that run first, or any other with "
                    f"--seed {before}, or begin afresh with `shopstream down --wipe`"
                )


def default_seed(topology: Topology) -> int:
    """The seed that decides where none is given."""
    return next((int(service.options["seed"]) for service in _deciding(topology)), 0)


def _deciding(topology: Topology) -> Iterator[Service]:
    """The services whose answer to an order depends on the seed."""
    return (service for service in topology.processors if "seed" in service.options)


def _groups(topology: Topology, platform: Platform) -> Iterator[tuple[str, str]]:
    """The groups of these services, and the topic on which orders wait for them."""
    for service in _deciding(topology):
        for source in service.event_sources:
            if source.topic in topology.source.produces:
                yield (source.group if platform == "lambda" else str(service.group)), source.topic


def _waiting(reader: ClientSettings, group: str, topic: str, partitions: int) -> Iterable[str]:
    """The runs of the orders that a group has not committed yet."""
    places = [(topic, number) for number in range(partitions)]
    config = {"group.id": group, "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 0}
    consumer = Consumer({**reader.to_librdkafka(), **config})
    try:
        admin = AdminClient({**reader.to_librdkafka(), "log_level": 0})
        ends, oldest = list_offsets(admin, places, LATEST), list_offsets(admin, places, EARLIEST)
        filled = [place for place in places if oldest[place] < ends[place]]
        committed = committed_offsets(consumer, filled, patience=_DECIDED_S) if filled else {}
        begins = {place: max(committed[place] or 0, oldest[place]) for place in filled}
        unread = {place: begins[place] for place in filled if begins[place] < ends[place]}
        consumer.assign([TopicPartition(*place, begin) for place, begin in unread.items()])
        found: dict[str, None] = {}
        failure: KafkaError | None = None
        deadline = time.monotonic() + _ANSWER_S
        while unread:
            for message in consumer.consume(_AT_ONCE, 0.2):
                error = message.error()
                if error is None:
                    order = split_order_id((message.key() or b"").decode(errors="replace"))
                    found |= {order[0]: None} if order else {}  # what is no order, nobody decides
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    unread.pop((topic, message.partition() or 0), None)
                elif not passes(error):
                    failure = error
                deadline = time.monotonic() + _ANSWER_S
            if failure or time.monotonic() > deadline:
                why = f": {failure.str()}" if failure else ""
                raise ClusterError(
                    f"topic {topic} could not be read to its end{why}: `shopstream status` may know more"
                )
    except KafkaException as error:
        raise ClusterError(f"the orders that wait for {group} cannot be read: {error.args[0].str()}") from error
    finally:
        consumer.close()
    return found

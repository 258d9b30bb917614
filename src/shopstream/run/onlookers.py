"""The services that no outcome waits for: have they read what a run brought?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

from shopstream.errors import ClusterError
from shopstream.offsets import passes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shopstream.runs import Platform
    from shopstream.settings import ClientSettings
    from shopstream.topology import Topology

_ANSWER_S = 10.0


class Onlookers:
    """How far the onlookers of a topology have come, by what their groups have committed. A context manager.

    Args:
        reader: How to connect, as a user that may see the groups.
        topology: The shop.
        platform: What runs the services: on Lambda each topic has a group of its own.
    """

    def __init__(self, reader: ClientSettings, topology: Topology, platform: Platform) -> None:
        self._reader = reader
        self._groups: dict[str, tuple[str, tuple[str, ...]]] = {}  # the service behind a group, and its topics
        for service in topology.onlookers:
            if platform == "lambda":
                self._groups |= {source.group: (service.name, (source.topic,)) for source in service.event_sources}
            else:
                self._groups[str(service.group)] = (service.name, service.consumes)
        self._consumers: dict[str, Consumer] = {}

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close all connections."""
        for consumer in self._consumers.values():
            consumer.close()

    def behind(self, read: Mapping[tuple[str, int], int]) -> dict[str, int]:
        """How many offsets each onlooker has still to go; those that have none to go are left out.

        Args:
            read: How far topics and partitions are to be read: the offset behind the last record.

        Raises:
            ClusterError: The brokers refuse to tell.
        """
        found: dict[str, int] = {}
        for group, (service, topics) in self._groups.items():
            ends = {place: end for place, end in read.items() if place[0] in topics}
            committed = self._committed(group, ends) if ends else {}
            left = sum(max(0, end - committed.get(place, 0)) for place, end in ends.items())
            if left:
                found[service] = found.get(service, 0) + left
        return found

    def _committed(self, group: str, ends: Mapping[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        """What a group has committed, as far as an answer came; it never joins the group."""
        if group not in self._consumers:
            never_joined = {"group.id": group, "enable.auto.commit": False, "log_level": 0}
            self._consumers[group] = Consumer({**self._reader.to_librdkafka(), **never_joined})
        try:
            answers = self._consumers[group].committed([TopicPartition(*place) for place in ends], timeout=_ANSWER_S)
        except KafkaException as error:
            if not passes(error.args[0]):
                raise ClusterError(f"the offsets of group {group} cannot be read: {error.args[0].str()}") from error
            return {}
        return {(answer.topic, answer.partition): answer.offset for answer in answers if answer.offset > 0}

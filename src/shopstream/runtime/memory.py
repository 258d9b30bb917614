"""Kafka in memory: the same seam, the same promises, no network. For tests, and for trying a service out.

It keeps what a worker can tell apart: partitions by key hash (murmur2, as Java's and our own producers place keys),
offsets with a gap after each transaction (the commit marker), consumer groups with co-partitioned assignment and
generations, and fencing by transactional id.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shopstream.errors import Abortable, Fenced
from shopstream.records import Record
from shopstream.runtime.transport import Partition, StateChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shopstream.records import Headers
    from shopstream.runtime.publisher import Message
    from shopstream.runtime.transport import Batch, Rebalance
    from shopstream.topology import Service, Topology


def murmur2(data: bytes) -> int:
    """The 32-bit hash by which Java's producer places keys (org.apache.kafka.common.utils.Utils.murmur2)."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_for(key: bytes | None, partitions: int) -> int:
    """The partition of a key. Without one, the first: nobody relies on where those go."""
    return 0 if key is None else (murmur2(key) & 0x7FFFFFFF) % partitions


@dataclass
class _Group:
    members: list[MemoryInput] = field(default_factory=list)
    generation: int = 0
    offsets: dict[Partition, int] = field(default_factory=dict)


class MemoryKafka:
    """A broker in memory, with the topics of a topology. Not for use by several threads."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._logs: dict[Partition, list[Record | None]] = {
            Partition(topic.name, number): []
            for topic in topology.topics.values()
            for number in range(topic.partitions)
        }
        self._groups: dict[str, _Group] = defaultdict(_Group)
        self._epochs: dict[str, int] = defaultdict(int)

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None = None,
        *,
        partition: int | None = None,
    ) -> Partition:
        """Write one record, visible at once. Returns where it stands."""
        if partition is None:
            partition = partition_for(key, self.topology.topics[topic].partitions)
        place = Partition(topic, partition)
        log = self._logs[place]
        log.append(Record(topic, partition, len(log), int(time.time() * 1000), key, value, headers))
        return place

    def records(self, topic: str) -> list[Record]:
        """All records of a topic, partition by partition."""
        partitions = range(self.topology.topics[topic].partitions)
        return [r for number in partitions for r in self._logs[Partition(topic, number)] if r is not None]

    def input(self, service: Service) -> MemoryInput:
        """A new member for the service's group; it joins with `subscribe`."""
        return MemoryInput(self, self._groups[service.group or service.name])

    def output(self, service: Service, instance: int = 0) -> MemoryOutput:
        """A transactional producer for an instance. It fences the one before it."""
        return MemoryOutput(self, service, service.transactional_id(instance))


class MemoryInput:
    """A member of a group in a `MemoryKafka`."""

    def __init__(self, kafka: MemoryKafka, group: _Group, most_records: int = 500) -> None:
        self._kafka = kafka
        self._group = group
        self._most_records = most_records
        self._topics: Sequence[str] = ()
        self._rebalance: Rebalance | None = None
        self._assigned: set[Partition] = set()
        self._positions: dict[Partition, int] = {}
        self._generation = -1

    def subscribe(self, topics: Sequence[str], rebalance: Rebalance) -> None:
        """Join the group; the others learn of it at their next poll."""
        self._topics, self._rebalance = topics, rebalance
        self._group.members.append(self)
        self._group.generation += 1

    def poll(self, timeout: float) -> list[Record]:  # noqa: ARG002 - there is nothing to wait for
        """What is there, from all partitions in turn. Never waits."""
        self._serve_rebalance()
        found: list[Record] = []
        for partition, position in self._positions.items():
            log = self._kafka._logs[partition]  # noqa: SLF001 - the members are the broker's own half
            for record in itertools.islice(log, position, position + self._most_records - len(found)):
                self._positions[partition] += 1
                if record is not None:
                    found.append(record)
        return found

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int | None]:
        """The group's committed offsets."""
        return {partition: self._group.offsets.get(partition) for partition in partitions}

    def start(self, positions: Mapping[Partition, int | None]) -> None:
        """Deliver from these offsets on."""
        for partition, offset in positions.items():
            self._positions[partition] = offset or 0

    def hold(self, partitions: Iterable[Partition]) -> None:
        """Deliver nothing from these."""
        for partition in partitions:
            self._positions.pop(partition, None)

    def read_log(self, topic: str, partitions: Iterable[int]) -> Iterator[StateChange]:
        """All records of the partitions."""
        for number in partitions:
            for record in self._kafka._logs[Partition(topic, number)]:  # noqa: SLF001
                if record is not None and record.key is not None:
                    yield StateChange(number, record.key, record.value)

    def group(self) -> tuple[_Group, int]:
        """The group, and the generation that this member knows."""
        return self._group, self._generation

    def close(self) -> None:
        """Leave the group."""
        if self in self._group.members:
            self._group.members.remove(self)
            self._group.generation += 1

    def _serve_rebalance(self) -> None:
        if self._rebalance is None or self._generation == self._group.generation:
            return
        # Like Kafka's range assignor: partition n of every topic goes to the same member.
        members = self._group.members
        mine = {
            Partition(topic, number)
            for topic in self._topics
            for number in range(self._kafka.topology.topics[topic].partitions)
            if members[number % len(members)] is self
        }
        gone, new = self._assigned - mine, mine - self._assigned
        # As in Kafka, nobody is given what another still holds; it is free once that one has polled.
        held = {p for member in members if member is not self for p in member._assigned}  # noqa: SLF001
        free = new - held
        self._assigned = (self._assigned - gone) | free
        for partition in gone:
            self._positions.pop(partition, None)
        if free == new:
            self._generation = self._group.generation
        if gone:
            self._rebalance.revoked(gone)
        if free:
            self._rebalance.assigned(free)


class MemoryOutput:
    """A transactional producer in a `MemoryKafka`."""

    def __init__(self, kafka: MemoryKafka, service: Service, transactional_id: str) -> None:
        self._kafka = kafka
        self._service = service
        self._id = transactional_id
        self._epoch = 0
        self.renew()

    def write(self, batch: Batch, group: tuple[_Group, int] | None = None) -> None:
        """Append the whole batch, or raise."""
        kafka = self._kafka
        if self._epoch != kafka._epochs[self._id]:  # noqa: SLF001
            raise Fenced(f"{self._id} has a newer producer")
        if batch.offsets:
            if group is None or group[1] != group[0].generation:
                raise Abortable("the group has a newer generation")
            group[0].offsets.update(batch.offsets)
        touched = set()
        for topic, messages in batch.events.items():
            touched |= {kafka.append(topic, key, value) for key, value in messages}
        for letter in batch.dead_letters:
            touched.add(kafka.append(str(self._service.dead_letters), letter.key, letter.value, letter.headers))
        log = self._service.state or self._service.progress
        for change in batch.state:
            touched.add(kafka.append(str(log), change.key, change.value, partition=change.partition))
        for partition in touched:
            kafka._logs[partition].append(None)  # noqa: SLF001 - the commit marker takes an offset, as in Kafka

    def renew(self) -> None:
        """A new epoch: whatever used the id before is fenced."""
        self._kafka._epochs[self._id] += 1  # noqa: SLF001
        self._epoch = self._kafka._epochs[self._id]  # noqa: SLF001

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryPublisher:
    """What a Lambda function writes with, into a `MemoryKafka`."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka

    def open(self) -> None:
        """Nothing to connect to."""

    def publish(self, messages: Sequence[Message], within: float) -> Mapping[int, str]:  # noqa: ARG002 - no waiting
        """Append them all."""
        for message in messages:
            self._kafka.append(message.topic, message.key, message.value, message.headers)
        return {}

"""The worker's input on a real Kafka: a member of a consumer group that reads committed records only."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from shopstream.errors import Fatal, Retriable
from shopstream.offsets import committed_offsets
from shopstream.records import Record
from shopstream.runtime.kafka_log import ANSWER_WITHIN, CONSUMER, HOPELESS, MOST_RECORDS, KafkaLog
from shopstream.runtime.transport import Partition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from confluent_kafka import Message

    from shopstream.runtime.transport import Rebalance, StateChange
    from shopstream.settings import ClientSettings

log = logging.getLogger(__name__)

# Once the first record is there, wait this long for company: a transaction costs the same for one record and for many.
_GATHER = 0.005  # seconds


class KafkaInput:
    """A member of a service's consumer group.

    Args:
        settings: How to connect, as the service's user.
        group: The consumer group.
        client_id: Names this instance in the brokers' logs.
    """

    def __init__(self, settings: ClientSettings, group: str, client_id: str) -> None:
        self._group = group
        # Range, in both protocols, gives partition n of every topic to the same member, as a join needs.
        protocol: dict[str, Any] = {"group.protocol": settings.group_protocol}
        if settings.group_protocol == "consumer":
            protocol["group.remote.assignor"] = "range"
        else:
            protocol |= {"partition.assignment.strategy": "range", "session.timeout.ms": 10_000}
        self._consumer = Consumer(
            {**settings.to_librdkafka(), **CONSUMER, **protocol, "group.id": group, "client.id": client_id}, logger=log
        )
        # With the classic protocol the range assignor takes everything away before it deals anew.
        self._cooperative = settings.group_protocol == "consumer"
        self._rebalance: Rebalance | None = None
        self._assignment: set[Partition] = set()
        self._assigning: dict[Partition, int | None] | None = None
        self._held: set[Partition] = set()
        self._log = KafkaLog(settings, client_id)

    def subscribe(self, topics: Sequence[str], rebalance: Rebalance) -> None:
        """Join the group."""
        self._rebalance = rebalance
        self._consumer.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def poll(self, timeout: float) -> list[Record]:
        """Up to `MOST_RECORDS` records; waits up to `timeout` seconds for the first."""
        first = self._consumer.poll(timeout)
        if first is None:
            return []
        # consume() may wait out its timeout although records are there, so it gets a short one.
        messages = [first, *self._consumer.consume(MOST_RECORDS - 1, _GATHER)]
        return [_record(message) for message in messages if _usable(message)]

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int | None]:
        """The group's committed offsets. Waits while a transaction may still move them.

        Raises:
            Retriable: The brokers gave no answer in time.
        """
        try:
            found = committed_offsets(self._consumer, partitions, patience=ANSWER_WITHIN)
        except KafkaException as error:
            raise Retriable(f"committed offsets of {self._group}: {error.args[0]}") from error
        return {Partition(*place): offset for place, offset in found.items()}

    def start(self, positions: Mapping[Partition, int | None]) -> None:
        """Deliver from these offsets on, dropping what was fetched before."""
        if self._assigning is not None:
            self._assigning.update(positions)
            self._held -= positions.keys()
            return
        for place in _places(positions):
            self._seek(place)
        if resumed := self._held & positions.keys():
            self._consumer.resume([TopicPartition(*partition) for partition in resumed])
            self._held -= resumed

    def hold(self, partitions: Iterable[Partition]) -> None:
        """Deliver nothing from these until `start` names them."""
        held = set(partitions)
        self._held |= held
        if held and self._assigning is None:
            self._consumer.pause([TopicPartition(*partition) for partition in held & self._assignment])

    def read_log(self, topic: str, partitions: Iterable[int]) -> Iterator[StateChange]:
        """All committed records of changelog partitions, up to what is there now."""
        return self._log.read(topic, partitions)

    def group(self) -> Any:
        """The member's id and epoch, for `Producer.send_offsets_to_transaction`."""
        return self._consumer.consumer_group_metadata()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets outside any transaction, and wait for the answer.

        Raises:
            KafkaException: It failed.
        """
        self._consumer.commit(offsets=_places(offsets), asynchronous=False)

    def close(self) -> None:
        """Leave the group."""
        self._rebalance = None
        self._consumer.close()
        self._log.close()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._rebalance is None:
            return
        new = {Partition(p.topic, p.partition) for p in partitions}
        self._assigning = dict.fromkeys(new)
        try:
            self._rebalance.assigned(new)
            places = _places({partition: self._assigning[partition] for partition in new})
            also = _places({p: offset for p, offset in self._assigning.items() if p not in new})
        finally:
            self._assigning = None
        if self._cooperative:
            consumer.incremental_assign(places)
            self._assignment |= new
        else:
            consumer.assign(places)
            self._assignment = new
        for place in also:
            self._seek(place)
        self._held &= self._assignment
        if self._held:
            consumer.pause([TopicPartition(*partition) for partition in self._held])
        if resumed := [TopicPartition(p.topic, p.partition) for p in also]:
            consumer.resume(resumed)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {Partition(p.topic, p.partition) for p in partitions}
        self._assignment -= gone
        self._held -= gone
        if self._cooperative:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()
        if self._rebalance is not None:
            self._rebalance.revoked(gone)

    def _seek(self, place: TopicPartition) -> None:
        """Seek, waiting while librdkafka still starts the partition, when it answers that its state does not fit."""
        deadline = time.monotonic() + ANSWER_WITHIN
        while True:
            try:
                self._consumer.seek(place)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._STATE or time.monotonic() > deadline:  # noqa: SLF001
                    raise
                time.sleep(0.005)
            else:
                return


def _places(positions: Mapping[Partition, int | None] | Mapping[Partition, int]) -> list[TopicPartition]:
    return [
        TopicPartition(partition.topic, partition.number, OFFSET_BEGINNING if offset is None else offset)
        for partition, offset in positions.items()
    ]


def _record(message: Any) -> Record:  # the stubs allow None where only an error has it
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        message.headers(),
    )


def _usable(message: Message) -> bool:
    """Whether it is a record; errors that pass are logged, those that do not are raised.

    Raises:
        Fatal: Going on would not mend it, for example a missing permission.
    """
    error = message.error()
    if error is None:
        return True
    if error.fatal() or error.code() in {*HOPELESS, KafkaError.GROUP_AUTHORIZATION_FAILED}:
        raise Fatal(f"reading {message.topic() or 'the group'}: {error.str()} ({error.name()})")
    log.warning("reading: %s", error)
    return False

"""A poller's source on a real Kafka, connected as its event source mapping says."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, cast

from confluent_kafka import (
    OFFSET_END,
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from shopstream.errors import UsageError
from shopstream.lambdas.connection import NO_CONNECTION, client_config, problem_of
from shopstream.lambdas.payload import Partition, Record
from shopstream.lambdas.source import SourceProblem

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from shopstream.lambdas.model import MappingConfig
    from shopstream.lambdas.secrets import Secrets
    from shopstream.settings import GroupProtocol

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # what matters is told; the client's own words are for those who ask for them

_Ends = tuple[int, int] | None  # None when nobody answered, which the stubs do not tell

_ANSWER_WITHIN = 10.0  # seconds for one answer of the brokers
_COMMIT_AGAIN = 0.5  # seconds
_LEAVE_WITHIN = 5.0  # seconds for the last commit and for leaving the group
_MOST_EARLY = 50  # records that are taken in while a function works; ten a second come
_TROUBLE_LASTS = 30.0  # seconds since a connection has failed; the client tries again every 10 at least

# The client library mends these by itself, once the brokers are there.
_CONNECTION = {KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE}  # noqa: SLF001


class KafkaSource:
    """A member of the mapping's consumer group.

    Args:
        mapping: What to read, and how to connect.
        secrets: Where its passwords and certificates are. They are read anew for each source.
        client_id: Names this poller in the brokers' logs.
        group_protocol: `classic`, as AWS's pollers speak it, or `consumer` (KIP-848).

    Raises:
        SourceProblem: It cannot even be tried.
    """

    def __init__(
        self, mapping: MappingConfig, secrets: Secrets, client_id: str, group_protocol: GroupProtocol = "classic"
    ) -> None:
        self._mapping = mapping
        self._problem: SourceProblem | None = None
        self._epochs: dict[int, int] = {}
        self._assigned: set[int] = set()
        self._committed: dict[int, int] = {}
        self._owed: dict[int, int] = {}
        self._sent: dict[int, int] = {}
        self._owed_since = 0.0
        self._early: deque[Record] = deque()
        self._halted = False
        self._partitions = 0
        self._failures = 0
        self._failed_at = 0.0
        # Each partition stays where it is when others move, so that a rebalance repeats as little as possible.
        protocol: dict[str, Any] = {"group.protocol": group_protocol}
        if group_protocol == "classic":
            protocol |= {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 10_000}
        try:
            self._consumer = Consumer(
                {
                    **client_config(mapping, secrets),
                    **protocol,
                    "group.id": mapping.group,
                    "client.id": client_id,
                    # For TRIM_HORIZON, and for a place whose records have expired; other positions are looked up.
                    "auto.offset.reset": "earliest",
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "allow.auto.create.topics": False,
                    "isolation.level": "read_committed",
                    "fetch.queue.backoff.ms": 5,
                    "queued.max.messages.kbytes": 32_768,
                    "fetch.message.max.bytes": 2_097_152,
                    "topic.metadata.refresh.interval.ms": 60_000,
                    "error_cb": self._on_error,
                    "on_commit": self._on_commit,
                },
                logger=log,
            )
        except UsageError as error:
            raise SourceProblem("PROBLEM: The secret of the mapping cannot be used.", str(error)) from error
        except (KafkaException, ValueError) as error:
            # OpenSSL refuses the certificate, or an address is none.
            raise SourceProblem("PROBLEM: Provided certificate or private key is invalid.", str(error)) from error
        self._consumer.subscribe(
            [mapping.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def fetch(self, timeout: float) -> Record | None:
        """The next record; None when there is none within `timeout` seconds."""
        while self._early:
            if self.holds(record := self._early.popleft()):
                return record
        self._flow()
        self._commit_owed()
        return self._poll(timeout)

    def keep_alive(self) -> None:
        """Take part in the group's life while no record is wanted."""
        if len(self._early) >= _MOST_EARLY:
            self._halt()
        if (record := self._poll(0)) is not None:
            self._early.append(record)
        self._commit_owed()

    def holds(self, record: Record) -> bool:
        """Whether the record's partition has been ours ever since it was read."""
        number = record.partition.number
        return number in self._assigned and self._epochs.get(number) == record.epoch

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit, without waiting for the answer. What fails is tried again while the partition is ours."""
        self._owed |= {p.number: offset for p, offset in offsets.items() if p.number in self._assigned}
        self._owed_since = 0.0
        self._commit_owed()

    def earliest(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The first offsets that the brokers still have, as far as they answer."""
        found = {}
        for partition in partitions:
            try:
                place = TopicPartition(*partition)
                ends = cast("_Ends", self._consumer.get_watermark_offsets(place, timeout=_ANSWER_WITHIN))
            except KafkaException:
                continue
            if ends is not None:
                found[partition] = ends[0]
        return found

    @property
    def assignment(self) -> frozenset[Partition]:
        """The partitions that are ours."""
        return frozenset(Partition(self._mapping.topic, number) for number in self._assigned)

    @property
    def partitions(self) -> int:
        """How many partitions the topic has; 0 while nobody knows."""
        if not self._partitions and self._assigned:
            try:
                topic = self._consumer.list_topics(self._mapping.topic, timeout=1.0).topics[self._mapping.topic]
            except KafkaException:
                return 0
            self._partitions = len(topic.partitions)
        return self._partitions

    @property
    def trouble(self) -> str:
        """Whether connections keep failing. One that is lost now and then is nothing to tell."""
        lasting = self._failures > 1 and time.monotonic() - self._failed_at < _TROUBLE_LASTS
        return NO_CONNECTION if lasting else ""

    def lag(self) -> int:
        """Records in our partitions that are not committed yet, as far as is known."""
        total = 0
        for number in self._assigned:
            place = TopicPartition(self._mapping.topic, number)
            ends = cast("_Ends", self._consumer.get_watermark_offsets(place, cached=True))
            if not ends or ends[1] < 0:
                continue
            total += max(0, ends[1] - self._committed.get(number, max(ends[0], 0)))
        return total

    def close(self) -> None:
        """Commit what is not answered for yet, and leave the group, as far as the brokers answer within seconds."""
        failures: list[Exception] = []

        def leave() -> None:
            try:
                self._leave()
            except Exception as error:  # noqa: BLE001 - for who closes it, not for this thread
                failures.append(error)

        # The client knows no limit for either: when a broker has just died, both wait for it for minutes. What is not
        # committed is delivered again, and the group does without a member that is silent. As a daemon, the thread
        # does not hold up the end of the program.
        leaving = threading.Thread(target=leave, name="lambda-leave", daemon=True)
        leaving.start()
        leaving.join(_LEAVE_WITHIN)
        if leaving.is_alive():
            log.warning("leaving the group of %s: no answer within %s s", self._mapping.topic, _LEAVE_WITHIN)
        if failures:
            raise failures[0]

    def _leave(self) -> None:
        if self._owed and self._problem is None and not self.trouble:
            try:
                self._consumer.commit(offsets=self._places(self._owed), asynchronous=False)
            except KafkaException as error:
                log.warning("committing %s at last: %s", self._mapping.topic, error)
        self._consumer.close()

    def _poll(self, timeout: float) -> Record | None:
        message = self._consumer.poll(timeout)
        if self._problem is not None:
            raise self._problem
        if message is None:
            return None
        if (error := message.error()) is not None:
            if (problem := problem_of(error)) is not None:
                raise problem
            log.warning("reading %s: %s", self._mapping.topic, error)
            return None
        self._failures = 0
        return self._record(message)

    def _record(self, message: Any) -> Record:  # the stubs allow None where only an error has it
        kind, timestamp = message.timestamp()
        name: Literal["CREATE_TIME", "LOG_APPEND_TIME", "NO_TIMESTAMP_TYPE"] = "CREATE_TIME"
        if kind == TIMESTAMP_LOG_APPEND_TIME:
            name = "LOG_APPEND_TIME"
        elif kind == TIMESTAMP_NOT_AVAILABLE:
            name = "NO_TIMESTAMP_TYPE"
        number = message.partition()
        return Record(
            Partition(message.topic(), number),
            message.offset(),
            timestamp,
            name,
            message.key(),
            message.value(),
            message.headers() or [],
            self._epochs.get(number, 0),
        )

    def _halt(self) -> None:
        """Let no record come, from partitions that are new among ours either: a batch may fail for hours."""
        self._consumer.pause(self._ours())
        self._halted = True

    def _flow(self) -> None:
        if self._halted:
            self._consumer.resume(self._ours())
            self._halted = False

    def _ours(self) -> list[TopicPartition]:
        return [TopicPartition(self._mapping.topic, number) for number in self._assigned]

    def _commit_owed(self) -> None:
        """Send what is to be committed, unless an answer is still to come: a commit that waits may wait for minutes."""
        if not self._owed or self._sent or time.monotonic() - self._owed_since < _COMMIT_AGAIN:
            return
        self._sent = dict(self._owed)
        try:
            self._consumer.commit(offsets=self._places(self._sent), asynchronous=True)
        except KafkaException as error:
            self._on_commit(error.args[0], [])

    def _on_commit(self, error: KafkaError | None, _: list[TopicPartition]) -> None:
        sent, self._sent = self._sent, {}
        if error is not None:
            # A rebalance or an election is under way. Partitions that leave us take their debt with them.
            log.warning("committing %s: %s", self._mapping.topic, error)
            self._owed_since = time.monotonic()
            return
        for number, offset in sent.items():
            if self._owed.get(number) == offset:
                del self._owed[number]
            if number in self._assigned:
                self._committed[number] = offset

    def _places(self, offsets: Mapping[int, int]) -> list[TopicPartition]:
        return [TopicPartition(self._mapping.topic, number, offset) for number, offset in offsets.items()]

    def _on_error(self, error: KafkaError) -> None:
        if (problem := problem_of(error)) is not None:
            self._problem = problem
        elif error.code() in _CONNECTION:
            self._failures += 1
            self._failed_at = time.monotonic()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            self._epochs[place.partition] = self._epochs.get(place.partition, 0) + 1
        self._assigned |= {place.partition for place in partitions}
        self._failures = 0
        consumer.incremental_assign(self._starts(consumer, partitions))
        self._commit_owed()

    def _starts(self, consumer: Consumer, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Where to begin: at the committed offset; without one, where the mapping says.

        What the mapping says is found out once and becomes the group's offset at once. Otherwise LATEST would be
        another place after each change of pollers, beyond the records that the function has not taken yet.
        """
        if not partitions:
            return []
        try:
            # An error is not "none committed": looking that up would overwrite what is.
            places = _sound(consumer.committed(partitions, timeout=_ANSWER_WITHIN))
            found = self._looked_up(consumer, [place for place in places if place.offset < 0])
        except KafkaException as error:
            self._problem = problem_of(error.args[0]) or SourceProblem(NO_CONNECTION, str(error))
            return partitions
        self._owed |= found
        self._owed_since = 0.0
        known = {place.partition: place.offset for place in places if place.offset >= 0} | found
        self._committed |= known
        return [TopicPartition(p.topic, p.partition, known.get(p.partition, p.offset)) for p in places]

    def _looked_up(self, consumer: Consumer, places: list[TopicPartition]) -> dict[int, int]:
        """The offsets where the mapping says to begin, by partition; none for TRIM_HORIZON, where nothing can be lost.

        Raises:
            KafkaException: The brokers did not tell.
        """
        if not places or self._mapping.starting_position == "TRIM_HORIZON":
            return {}
        # The ends first: a record that arrives meanwhile lies behind them, and not before.
        found = self._offsets(consumer, places, OFFSET_END)
        if (moment := self._mapping.starting_timestamp) is not None:
            since = self._offsets(consumer, places, moment)
            found |= {number: offset for number, offset in since.items() if offset >= 0}  # none: all are older
        return found

    def _offsets(self, consumer: Consumer, places: list[TopicPartition], moment: int) -> dict[int, int]:
        """The first offsets since a moment in milliseconds, by partition; `OFFSET_END` asks for the ends."""
        asked = [TopicPartition(place.topic, place.partition, moment) for place in places]
        answered = _sound(consumer.offsets_for_times(asked, timeout=_ANSWER_WITHIN))
        return {place.partition: place.offset for place in answered}

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = {place.partition for place in partitions}
        self._assigned -= gone
        for number in gone:
            self._owed.pop(number, None)
            self._committed.pop(number, None)
        consumer.incremental_unassign(partitions)


def _sound(answered: list[TopicPartition]) -> list[TopicPartition]:
    """What the brokers answered, if they did for each place.

    Raises:
        KafkaException: They did not for one.
    """
    for place in answered:
        if place.error is not None:
            raise KafkaException(place.error)
    return answered

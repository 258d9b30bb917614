"""Feeds an auditor from Kafka, in bounded memory.

Three things make the snapshot safe. Aborted transactions and those still open are not read (read_committed). The end
of the progress topic is taken first; then every transaction that has written anything by then is waited for, as Kafka
makes a commit visible in one partition after the other: so what progress acknowledges is there.
Dead letters' and effects' ends are taken before those of their causes, so that an audit of a running shop finds few
effects whose cause it does not see yet; it leaves those pending.

An order has the same partition number on every topic. So one partition number is read after the other, over all topics
at once, always from the topic whose last record is the oldest: few orders are then under way at the same time.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Self, cast

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from shopstream.errors import ClusterError
from shopstream.offsets import EARLIEST, LATEST, list_offsets, passes
from shopstream.records import Headers, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from confluent_kafka import Message

    from shopstream.audit.engine import Auditor
    from shopstream.settings import ClientSettings
    from shopstream.topology import Topology

_CHUNK = 2_000  # records that are read from one topic before another one has its turn
_QUEUE_KB = 4_096  # what librdkafka may fetch ahead, for each topic
_PATIENCE_S = 30.0  # without any answer from the brokers
_HANG_S = 10.0  # after which a consumer is given up
_NEW_S = 3.0  # a topic or a right that was made just now is not known to every broker at once
_AGAIN_S = 0.1
# For transactions that are still open. One that takes longer was left behind by a client that died: the broker will
# abort it in its own time, and what it holds back is pending until then.
_TRANSACTION_S = 5.0


class KafkaSource:
    """Reads what is new on the topics of a topology into an auditor. A context manager.

    Args:
        settings: How to connect, as a user that may read all topics.
        topology: Which topics there are.
        auditor: Who is fed.
        progress: Told how many offsets of how many have been read.

    Raises:
        ClusterError: The brokers cannot be reached, refuse the user, or lack a topic.
    """

    def __init__(
        self,
        settings: ClientSettings,
        topology: Topology,
        auditor: Auditor,
        *,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        self._settings = settings
        self._auditor = auditor
        self._report = progress
        self._seen: list[KafkaError] = []
        self._topics = reading_order(topology)
        events = [topic for topic in self._topics if topology.topics[topic].events]
        # Progress and dead letters are read first, one after the other; all topics of events together.
        self._alone = [topic for topic in self._topics if topic not in events]
        self._events = events
        self._positions: dict[tuple[str, int], int] = {}
        self._admin = AdminClient({**settings.to_librdkafka(), **self._quiet()})
        self._consumers = {topic: Consumer(self._consumer_config()) for topic in self._topics}
        for topic, consumer in self._consumers.items():
            # Asked for while it connects, a topic's leaders are known at once. Once connected, librdkafka looks for
            # those of a topic that is new to it only once a second.
            consumer.assign([TopicPartition(topic, 0, OFFSET_END)])
        try:
            self._partitions = self._find_partitions()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        self.close()

    def close(self) -> None:
        """Close all connections."""
        for consumer in self._consumers.values():
            _in_time(consumer.close)

    def skip(self) -> None:
        """Leave out what stands on the topics now: reading begins behind it."""
        for topic in self._topics:
            self._positions.update(self._offsets(self._places(topic), LATEST))

    def read_new(self) -> int:
        """Feed what has been committed since the last call, up to where the topics end now.

        Returns:
            How many records were fed.

        Raises:
            ClusterError: The brokers stopped answering, or refuse the user.
        """
        begins = self._offsets(self._all_places(), EARLIEST)
        ends = self._snapshot()
        tails: dict[tuple[str, int], _Tail] = {}
        for place, end in ends.items():
            position = self._positions.get(place)
            if position is None or position < begins[place]:
                self._auditor.begins_at(*place, begins[place])
                position = begins[place]
            if position < end:
                tails[place] = _Tail(*place, position, end)
        total = sum(tail.end - tail.position for tail in tails.values())
        groups = [[tails[place]] for topic in self._alone for place in self._places(topic) if place in tails]
        groups += (
            [tails[topic, number] for topic in self._events if (topic, number) in tails]
            for number in range(max(self._partitions.values()))
        )
        fed = done = 0
        for group in groups:
            before = sum(tail.position for tail in group)
            for tail in group:
                self._assign(tail)
            while waiting := [tail for tail in group if tail.position < tail.end]:
                fed += self._read_chunk(min(waiting, key=lambda tail: tail.newest_ms))
                self._report(done + sum(tail.position for tail in group) - before, total)
            done += sum(tail.position for tail in group) - before
            for tail in group:
                if not _in_time(self._consumers[tail.topic].unassign):
                    self._replace(tail.topic)
                self._positions[tail.topic, tail.number] = tail.position
        self._note_deleted(tails.values())
        return fed

    def _snapshot(self) -> dict[tuple[str, int], int]:
        """Where each partition ends, as far as it is committed. The order of the questions is what makes it safe."""
        progress, *others = self._topics
        self._wait_for_transactions()  # so that all that was committed before is seen
        ends = self._offsets(self._places(progress), LATEST)
        self._wait_for_transactions()  # so that all that this progress tells of is seen
        for topic in others:
            ends.update(self._offsets(self._places(topic), LATEST))
        return ends

    def _wait_for_transactions(self) -> None:
        """Wait until what stands on the topics now is committed or aborted in every partition, but not for long."""
        undecided = self._offsets(self._all_places(), LATEST, committed_only=False)
        deadline = time.monotonic() + _TRANSACTION_S
        while time.monotonic() < deadline:
            decided = self._offsets(list(undecided), LATEST)
            undecided = {place: end for place, end in undecided.items() if decided[place] < end}
            if not undecided:
                break
            time.sleep(0.01)

    def _read_chunk(self, tail: _Tail) -> int:
        """Feed some of what has been fetched of a partition; if nothing has, wait for it."""
        begun = time.monotonic()
        replaced = False
        while (first := self._consumers[tail.topic].poll(0.5)) is None:
            waited = time.monotonic() - begun
            if waited > _PATIENCE_S:
                raise self._unreachable(f"topic {tail.topic}, partition {tail.number}: nothing was read")
            if waited > _HANG_S and not replaced:
                replaced = True
                self._replace(tail.topic)
                self._assign(tail)
        consumer = self._consumers[tail.topic]
        # With a timeout of 0 this takes what is there; with any other it may wait it out for the last of the chunk.
        records = tail.take((first, *consumer.consume(_CHUNK - 1, 0)), self._explain)
        self._auditor.feed_many(records)
        return len(records)

    def _assign(self, tail: _Tail) -> None:
        place = TopicPartition(tail.topic, tail.number, tail.position)
        if not _in_time(lambda: self._consumers[tail.topic].assign([place])):
            self._replace(tail.topic)
            self._consumers[tail.topic].assign([place])

    def _replace(self, topic: str) -> None:
        """Go on with a new consumer: librdkafka's main thread can stop for ever when leaders change.

        Seen with librdkafka 2.16: while it handles the answer to OffsetForLeaderEpoch it waits for a lock of its own.
        Whatever is asked of that consumer then hangs. It holds nothing that we need: positions are ours.
        """
        # The thread that hangs keeps it alive: its destructor would hang, too.
        _in_time(self._consumers[topic].close, 0)
        self._consumers[topic] = Consumer(self._consumer_config())

    def _note_deleted(self, tails: Iterable[_Tail]) -> None:
        """Retention may have deleted the beginning of what was to be read, between looking and reading."""
        started = {(tail.topic, tail.number): tail for tail in tails}
        for place, begin in self._offsets(list(started), EARLIEST).items():
            tail = started[place]
            if tail.start < begin <= (tail.end if tail.first is None else tail.first):
                self._auditor.begins_at(*place, begin)

    def _places(self, topic: str) -> list[tuple[str, int]]:
        return [(topic, number) for number in range(self._partitions[topic])]

    def _all_places(self) -> list[tuple[str, int]]:
        return [place for topic in self._topics for place in self._places(topic)]

    def _find_partitions(self) -> dict[str, int]:
        deadline = time.monotonic() + _NEW_S
        while True:
            try:
                found = self._admin.list_topics(timeout=_PATIENCE_S).topics
            except KafkaException as error:
                self._admin.poll(0)  # delivers what the error callback has to say
                raise self._explain(error.args[0]) from error
            missing = [topic for topic in self._topics if topic not in found or found[topic].error]
            if not missing or time.monotonic() > deadline:
                break
            time.sleep(_AGAIN_S)
        if missing:
            # Kafka hides from a user what it may not see, so the two cannot be told apart here.
            raise ClusterError(
                f"{self._settings.bootstrap_servers} has no topic {', '.join(missing)} that user "
                f"{self._settings.username} may read: the topology has not been applied: run `shopstream up`"
            )
        return {topic: len(found[topic].partitions) for topic in self._topics}

    def _offsets(
        self, places: Sequence[tuple[str, int]], spec: Any, *, committed_only: bool = True
    ) -> dict[tuple[str, int], int]:
        """Offsets of partitions. The latest is the end of what is committed."""
        try:
            return list_offsets(self._admin, places, spec, committed_only=committed_only, patience=_PATIENCE_S)
        except KafkaException as error:
            self._admin.poll(0)
            raise self._explain(error.args[0]) from error

    def _consumer_config(self) -> dict[str, Any]:
        return {
            **self._settings.to_librdkafka(),
            **self._quiet(),
            # Nothing is ever committed; librdkafka asks for a name all the same, and a user may use its own.
            "group.id": self._settings.username or "shopstream-audit",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "queued.max.messages.kbytes": _QUEUE_KB,
            "fetch.wait.max.ms": 20,  # how long the end of a partition takes to be found
            "fetch.queue.backoff.ms": 5,
        }

    def _quiet(self) -> dict[str, Any]:
        return {
            "client.id": "shopstream-audit",
            "error_cb": self._seen.append,
            "log_level": 0,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1_000,
        }

    def _explain(self, error: KafkaError) -> ClusterError:
        """What Kafka says, in words that help."""
        settings = self._settings
        wrong_login = KafkaError._AUTHENTICATION  # noqa: SLF001 - librdkafka's own codes begin with an underscore
        if wrong_login in {error.code(), *(seen.code() for seen in self._seen)}:
            return ClusterError(
                f"user {settings.username} cannot log in at {settings.bootstrap_servers}: check its name and password "
                f"in its client properties file ({error.str()})"
            )
        if error.code() in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}:
            return ClusterError(
                f"user {settings.username} may not read all topics at {settings.bootstrap_servers}: audit as the "
                f"auditor, or apply the topology with `shopstream up` ({error.str()})"
            )
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return ClusterError(
                f"{settings.bootstrap_servers} lacks a topic: the topology has not been applied: run `shopstream up` "
                f"({error.str()})"
            )
        return self._unreachable(error.str())

    def _unreachable(self, what: str) -> ClusterError:
        last = f"; seen last: {self._seen[-1].str()}" if self._seen else ""
        return ClusterError(
            f"no answer from the brokers at {self._settings.bootstrap_servers}: check that they run "
            f"(`shopstream status` for the local ones) ({what}{last})"
        )


def _in_time(call: Callable[[], object], seconds: float | None = None) -> bool:
    """Make a call, and tell whether it returned in time. If not, it goes on in a thread that nobody waits for.

    Args:
        call: What to do. What it raises is raised here.
        seconds: How long to wait, by default as long as a healthy consumer may take.
    """
    raised: list[BaseException] = []

    def carry_out() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that asked
            raised.append(error)

    thread = threading.Thread(target=carry_out, daemon=True)
    thread.start()
    thread.join(_HANG_S if seconds is None else seconds)
    if raised:
        raise raised[0]
    return not thread.is_alive()


class _Tail:
    """What is to be read of one partition: from `position` to before `end`."""

    def __init__(self, topic: str, number: int, position: int, end: int) -> None:
        self.topic = topic
        self.number = number
        self.start = position
        self.position = position
        self.end = end
        self.first: int | None = None  # the offset of the first record that came
        self.newest_ms = 0  # its last record's timestamp

    def take(self, messages: Iterable[Message], explain: Callable[[KafkaError], ClusterError]) -> list[Record]:
        """The records before the end. Notes how far the partition has been read."""
        records: list[Record] = []
        topic, number, end = self.topic, self.number, self.end
        for message in messages:
            if error := message.error():
                if passes(error):
                    continue
                if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - as above
                    raise explain(error)
                # Behind the last record there may be marks of transactions, which are never delivered.
                if (message.offset() or 0) >= end:
                    self.position = end
                    break
                continue
            offset = message.offset()
            if offset is None or offset >= end:
                self.position = end
                break
            self.position = offset + 1
            headers = cast("Headers | None", message.headers())  # a consumer gets a list, with bytes
            timestamp_ms = message.timestamp()[1]
            records.append(Record(topic, number, offset, timestamp_ms, message.key(), message.value(), headers))
        if records:
            self.newest_ms = records[-1].timestamp_ms
            if self.first is None:
                self.first = records[0].offset
        return records


def reading_order(topology: Topology) -> list[str]:
    """The topics that an audit reads: progress, dead letters, then events, effects before their causes.

    Where effects go in a circle (a cancellation follows from a payment, a refund from a cancellation), the order is
    that of the shortest way from the source.
    """
    depth = dict.fromkeys(topology.source.produces, 0)
    reached = list(depth)
    for topic in reached:  # grows while it is walked: breadth first
        for service in topology.processors:
            if topic in service.consumes:
                for effect in service.produces:
                    if effect not in depth:
                        depth[effect] = depth[topic] + 1
                        reached.append(effect)
    progress = [topology.source.progress] if topology.source.progress else []
    return [*progress, topology.dead_letters, *reversed(reached)]

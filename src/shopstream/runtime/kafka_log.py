"""Reading a compacted topic to its end: a join's changelog, a generator's progress."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from shopstream.errors import Fatal, Retriable
from shopstream.offsets import LATEST, list_offsets
from shopstream.runtime.transport import StateChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shopstream.settings import ClientSettings

log = logging.getLogger(__name__)

MOST_RECORDS = 10_000
# For one answer of the brokers. An open transaction holds it up until its time-out (15 s) has been noticed (10 s).
ANSWER_WITHIN = 30.0  # seconds
_PAUSE = 0.01  # seconds between two looks at an open transaction

CONSUMER: dict[str, str | int | float | bool] = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "earliest",
    "allow.auto.create.topics": False,
    # The default of 1 s stalls a partition whose queue was full for a moment.
    "fetch.queue.backoff.ms": 5,
    "queued.max.messages.kbytes": 32_768,
    "fetch.message.max.bytes": 2_097_152,
}


# Errors that no waiting mends.
HOPELESS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - its public name
}


class KafkaLog:
    """Reads partitions from their beginning to what is there now, committed records only.

    Args:
        settings: How to connect, as the service's user.
        client_id: Names this reader in the brokers' logs.
    """

    def __init__(self, settings: ClientSettings, client_id: str) -> None:
        self._config = {**settings.to_librdkafka(), "client.id": f"{client_id}-log"}
        self._consumer: Consumer | None = None

    def read(self, topic: str, partitions: Iterable[int]) -> Iterator[StateChange]:
        """All records of the partitions, each in its order.

        A transaction that is not decided yet hides what follows it, so this waits until everything that is there now
        is decided: what a former owner committed last must not be missed.

        Raises:
            Retriable: The brokers gave no answer in time, or a transaction stays open.
            Fatal: Reading is not allowed.
        """
        ends = self._decided_ends(topic, list(partitions))
        missing = {number for number, end in ends.items() if end > 0}
        if not missing:
            return
        reader = self._reader()
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in missing])
        deadline = time.monotonic() + ANSWER_WITHIN
        while missing:
            if time.monotonic() > deadline:
                raise Retriable(f"{topic}: partitions {sorted(missing)} could not be read to their ends in time")
            for message in cast("list[Any]", reader.consume(MOST_RECORDS, 0.02)):
                error, number = message.error(), message.partition()
                if error is None:
                    deadline = time.monotonic() + ANSWER_WITHIN
                    if (key := message.key()) is not None:
                        yield StateChange(number, key, message.value())
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    if message.offset() >= ends[number]:
                        missing.discard(number)
                elif error.fatal() or error.code() in HOPELESS:
                    raise Fatal(f"reading {topic}: {error.str()} ({error.name()})")
        reader.unassign()

    def close(self) -> None:
        """Let go of the connection."""
        if self._consumer is not None:
            self._consumer.close()

    def _reader(self) -> Consumer:
        if self._consumer is None:
            # A consumer must name a group. This one never joins it, so being refused it (which librdkafka tells) is
            # of no consequence: a source of events has no group at all.
            never_joined = {"group.id": str(self._config["client.id"]), "enable.partition.eof": True}
            self._consumer = Consumer({**self._config, **CONSUMER, **never_joined}, logger=log)
        return self._consumer

    def _decided_ends(self, topic: str, numbers: list[int]) -> dict[int, int]:
        """The ends of the partitions now, once every transaction before them is decided."""
        admin = AdminClient(self._config, logger=log)
        places = [(topic, number) for number in numbers]
        deadline = time.monotonic() + ANSWER_WITHIN
        try:
            ends = list_offsets(admin, places, LATEST, committed_only=False, patience=ANSWER_WITHIN)
            while undecided := [
                place
                for place, end in list_offsets(admin, places, LATEST, patience=ANSWER_WITHIN).items()
                if end < ends[place]
            ]:
                if time.monotonic() > deadline:
                    raise Retriable(f"a transaction stays open on {undecided}")
                time.sleep(_PAUSE)
        except KafkaException as error:
            raise Retriable(f"{topic}: its end offsets cannot be read: {error.args[0].str()}") from error
        return {number: end for (_, number), end in ends.items()}

"""Asking the brokers where partitions begin and end, also while leaders change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined] # it is public all the same

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from confluent_kafka import Consumer
    from confluent_kafka.admin import AdminClient

EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]

_ATTEMPT_S = 5.0  # for one answer
_PAUSE = 0.1  # seconds between two attempts
_LOOK_AGAIN = 0.02  # seconds between two looks at committed offsets

# What passes by itself, though librdkafka does not always call it retriable: a leader dies, another is elected.
PASSING = {
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError._TRANSPORT,  # noqa: SLF001 - librdkafka's own codes begin with an underscore
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._NOENT,  # noqa: SLF001 - no partition of those asked for has a leader, as after a crash of all brokers
}


def passes(error: KafkaError) -> bool:
    """Whether an error passes by itself, so that asking again makes sense."""
    return error.retriable() or error.code() in PASSING


def list_offsets(
    admin: AdminClient,
    places: Sequence[tuple[str, int]],
    spec: Any,
    *,
    committed_only: bool = True,
    patience: float = 30.0,
) -> dict[tuple[str, int], int]:
    """The offsets of partitions, asked for at once.

    Args:
        admin: Who asks.
        places: Topics and partition numbers.
        spec: `EARLIEST` or `LATEST`.
        committed_only: Whether the latest is the end of what is committed or aborted, or of all that is written.
        patience: How long to go on asking while leaders change, in seconds.

    Raises:
        KafkaException: The brokers refuse, or gave no answer in time.
    """
    isolation = IsolationLevel.READ_COMMITTED if committed_only else IsolationLevel.READ_UNCOMMITTED
    asked = {TopicPartition(topic, number): spec for topic, number in places}
    found: dict[tuple[str, int], int] = {}
    deadline = time.monotonic() + patience
    while asked:
        # A broker that is down lets the partitions that it is believed to lead time out: that must not use up all
        # patience, because only new metadata tells of their new leaders.
        futures = admin.list_offsets(asked, isolation_level=isolation, request_timeout=min(patience, _ATTEMPT_S))
        for place, future in futures.items():
            try:
                found[place.topic, place.partition] = future.result().offset
            except KafkaException as error:
                if not passes(error.args[0]) or time.monotonic() > deadline:
                    raise
        asked = {place: each for place, each in asked.items() if (place.topic, place.partition) not in found}
        if asked:
            time.sleep(_PAUSE)
            _learn_of_new_leaders(admin)
    return found


def _learn_of_new_leaders(admin: AdminClient) -> None:
    """Fetch the metadata: list_offsets alone would go on asking the leaders that it knows."""
    try:
        admin.list_topics(timeout=5)
    except KafkaException as error:
        if not passes(error.args[0]):
            raise


def committed_offsets(
    consumer: Consumer, places: Iterable[tuple[str, int]], *, patience: float
) -> dict[tuple[str, int], int | None]:
    """The offsets that a consumer's group has committed, None where it has none.

    Waits while they may still move: a rebalance under way, an election, an undecided transaction. All of these pass.

    Args:
        consumer: A member of the group, or one that never joins it.
        places: Topics and partition numbers.
        patience: How long to go on asking, in seconds.

    Raises:
        KafkaException: The brokers gave no answer in time.
    """
    wanted = [TopicPartition(*place) for place in places]
    deadline = time.monotonic() + patience
    while True:
        try:
            answers = consumer.committed(wanted, timeout=patience)
        except KafkaException as error:
            failure = error.args[0]
        else:
            failure = next((answer.error for answer in answers if answer.error), None)
            if failure is None:
                return {(a.topic, a.partition): a.offset if a.offset >= 0 else None for a in answers}
        if time.monotonic() > deadline:
            raise KafkaException(failure)
        time.sleep(_LOOK_AGAIN)

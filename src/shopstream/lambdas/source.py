"""Where a poller gets records from, and how a batch is gathered from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from shopstream.errors import ShopstreamError
from shopstream.lambdas.payload import LARGEST, Partition, Record, rough_size

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping


class SourceProblem(ShopstreamError):  # noqa: N818 - named for what it is, as its neighbours in errors.py are
    """The source cannot be read until somebody mends something. Its text is what AWS shows as LastProcessingResult.

    Attributes:
        detail: What the client library says, for the one who mends it.
    """

    def __init__(self, text: str, detail: str) -> None:
        super().__init__(text)
        self.detail = detail


class Source(Protocol):
    """A member of a consumer group. Used by one thread only."""

    def fetch(self, timeout: float) -> Record | None:
        """The next record; None when there is none within `timeout` seconds.

        Raises:
            SourceProblem: Nothing will come until somebody mends something.
        """
        ...

    def keep_alive(self) -> None:
        """Take part in the group's life while no record is wanted. What arrives meanwhile is kept for `fetch`."""
        ...

    def holds(self, record: Record) -> bool:
        """Whether the record's partition has been ours ever since it was read."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit offsets of partitions that are ours, soon: what cannot be committed now is tried again later."""
        ...

    def earliest(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The first offsets that the brokers still have, as far as they answer."""
        ...

    @property
    def assignment(self) -> frozenset[Partition]:
        """The partitions that are ours."""
        ...

    @property
    def partitions(self) -> int:
        """How many partitions the topic has; 0 while nobody knows."""
        ...

    @property
    def trouble(self) -> str:
        """What is wrong at the moment and may pass by itself; empty when nothing is."""
        ...

    def lag(self) -> int:
        """Records in our partitions that are not committed yet, as far as is known."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


def gather(
    source: Source,
    most: int,
    window: float,
    *,
    wait: float,
    clock: Callable[[], float],
    stop: Callable[[], bool] = lambda: False,
    largest: int = LARGEST,
) -> list[Record]:
    """A batch: it is full, its window has passed, or it fills a payload ("Batching behavior").

    Args:
        source: Where from.
        most: Most records.
        window: Seconds from the first record on.
        wait: Seconds to wait for the first record.
        clock: Seconds that never go back.
        stop: Whether to be content with what is there.
        largest: Bytes of a payload.
    """
    first = source.fetch(wait)
    if first is None:
        return []
    batch, size = [first], rough_size(first)
    deadline = clock() + window
    while len(batch) < most and size < largest and not stop():
        # In short steps, so that a long window does not hold up who wants to stop.
        record = source.fetch(max(0.0, min(deadline - clock(), 0.2)))
        if record is not None:
            batch.append(record)
            size += rough_size(record)
        elif clock() >= deadline:
            break
    return batch

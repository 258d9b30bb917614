"""The seam between a worker and Kafka. Behind it stand `kafka_input.py` with `kafka_output.py`, and `memory.py`.

It speaks in whole batches, because that is what a transaction is: records come in, one `Batch` goes out, and the
offsets of the input go with it. What a worker may rely on:

- `Output.write` returns: everything in the batch is visible, and the input offsets are committed with it.
- It raises `Abortable`: nothing of the batch is or will be visible.
- It raises `Uncertain`: only the committed offsets can tell, after `Output.renew`.
- It raises `Fenced`: as `Uncertain`, and a newer producer exists; `Output.renew` takes the transactional id back.
- It raises `Fatal`: this output is of no further use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shopstream.records import Headers, Record


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int


class StateChange(NamedTuple):
    """A line of a changelog. A value of None deletes the key."""

    partition: int
    key: bytes
    value: bytes | None


class DeadLetter(NamedTuple):
    """A record that could not be used, with headers that tell why and where it came from."""

    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class Batch:
    """What one transaction writes.

    Attributes:
        events: For each topic, keys and values in the order in which they shall stand.
        dead_letters: Records for the dead-letter topic.
        state: Changes for the changelog or progress topic.
        offsets: For each input partition, the offset of the next record to read.
    """

    events: dict[str, list[tuple[bytes, bytes]]] = field(default_factory=dict)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    state: list[StateChange] = field(default_factory=list)
    offsets: dict[Partition, int] = field(default_factory=dict)


class Rebalance(Protocol):
    """What an input tells its worker. Both calls come from within `Input.poll`, so no transaction is open."""

    def assigned(self, partitions: Iterable[Partition]) -> None:
        """These are ours from now on. The worker answers with `Input.start`."""

    def revoked(self, partitions: Iterable[Partition]) -> None:
        """These are another's from now on."""


class Input(Protocol):
    """A member of a consumer group."""

    def subscribe(self, topics: Sequence[str], rebalance: Rebalance) -> None:
        """Join the group."""

    def poll(self, timeout: float) -> list[Record]:
        """Wait up to `timeout` seconds for records; return what is there. Serves rebalances."""

    def committed(self, partitions: Iterable[Partition]) -> dict[Partition, int | None]:
        """The group's committed offsets, None where there are none. Waits for transactions that may still move them."""

    def start(self, positions: Mapping[Partition, int | None]) -> None:
        """Deliver from these offsets on (None: from the beginning), dropping what was fetched before."""

    def hold(self, partitions: Iterable[Partition]) -> None:
        """Deliver nothing from these until `start` names them."""

    def read_log(self, topic: str, partitions: Iterable[int]) -> Iterator[StateChange]:
        """All committed records of changelog partitions, each in its order, up to what is there now."""

    def group(self) -> Any:
        """What proves to `Output.write` that this member still belongs to the group."""

    def close(self) -> None:
        """Leave the group."""


class Output(Protocol):
    """Where a worker writes."""

    def write(self, batch: Batch, group: Any = None) -> None:
        """Write a batch, all of it or nothing.

        Args:
            batch: What to write.
            group: `Input.group()` where the batch has offsets.

        Raises:
            Abortable: Nothing was written.
            Uncertain: Everything or nothing was written.
            Fenced: A newer producer exists: another instance, or the coordinator after a time-out.
            Fatal: This output can write no more.
        """

    def renew(self) -> None:
        """Start afresh under the same transactional id, so that nothing of an earlier write can happen any more."""

    def close(self) -> None:
        """Let go of everything."""

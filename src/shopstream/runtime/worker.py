"""The worker: reads a batch, decides, writes outputs, state and offsets as one, and goes on.

Whatever goes wrong is mended in one of two ways. A lost transaction (`Abortable`) goes back to where the last one
ended. After anything less clear (`Uncertain`, a rebalance) the committed offsets are asked for, and the state is read
again from its changelog: what Kafka holds is the truth, never what the worker remembers.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shopstream.errors import Abortable, Fenced, Uncertain
from shopstream.runtime.backoff import Backoff, Rivalry
from shopstream.runtime.transport import Partition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shopstream.records import Record
    from shopstream.runtime.processor import Processor
    from shopstream.runtime.transport import Batch, Input, Output

log = logging.getLogger(__name__)


@dataclass
class Counts:
    """What a worker has committed since it started, and what went wrong on the way.

    Attributes:
        partitions: How many are its own now; None before the first assignment.
        read: Records by topic.
        written: Events by topic.
        dead_letters: Records that could not be used.
        batches: Transactions.
        lost: Transactions that were aborted and done again.
        renewed: Times that the producer was replaced, because an outcome was unknown.
    """

    partitions: int | None = None
    read: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    batches: int = 0
    lost: int = 0
    renewed: int = 0


class Worker:
    """One instance of a service.

    Args:
        processor: The service's core, bound to its topics.
        source: Where records come from.
        sink: Where the batches go.
        clock: Seconds that never go back.
        sleep: Waits, in seconds.
    """

    def __init__(
        self,
        processor: Processor,
        source: Input,
        sink: Output,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.counts = Counts()
        self._processor = processor
        self._service = processor.service
        self._input = source
        self._output = sink
        self._owned: set[Partition] = set()
        self._positions: dict[Partition, int | None] = {}
        self._backoff = Backoff(self._service.name, sleep)
        self._rivalry = Rivalry(self._service.name, clock)

    def start(self) -> None:
        """Join the consumer group."""
        self._input.subscribe(self._service.consumes, self)

    def step(self, timeout: float = 0.5) -> int:
        """Process one batch, waiting up to `timeout` seconds for its first record.

        Returns:
            How many records were read and committed.

        Raises:
            Fenced: Another instance has taken over.
            Fatal: Something is wrong that going on would not mend.
        """
        records = self._fresh(self._input.poll(timeout))
        if not records:
            return 0
        batch = self._processor.process(records)
        try:
            self._output.write(batch, self._input.group())
        except Abortable as error:
            self._go_back(error)
            return 0
        except (Uncertain, Fenced) as error:
            if isinstance(error, Fenced):
                self._rivalry.fenced(error)
            self._ask_kafka(error)
            return 0
        self._processor.accept()
        self._positions.update(batch.offsets)
        self._backoff.succeeded()
        self._count(records, batch)
        return len(records)

    def run(self, stopping: Callable[[], bool], alive: Callable[[], None] = lambda: None) -> None:
        """Work until `stopping()` says so; call `alive()` in between.

        Raises:
            Fenced: Another instance has taken over.
            Fatal: Something is wrong that going on would not mend.
        """
        self.start()
        while not stopping():
            self.step()
            alive()

    def close(self) -> None:
        """Leave the group and let go of everything. What was read and not committed is another's to read."""
        self._input.close()
        self._output.close()

    # --- Rebalance: called from within poll, so between two batches ---

    def assigned(self, partitions: Iterable[Partition]) -> None:
        """Take partitions over: committed offsets first, then the state, which is then complete.

        Asking for the committed offsets waits until the former owner's transaction is decided, so whatever it wrote
        is in the changelog by then, and nothing that it tries afterwards can be committed.
        """
        before = self._usable()
        self._owned |= set(partitions)
        self.counts.partitions = len(self._owned)
        self._resume(self._usable() - before)
        self._input.hold(self._owned - self._usable())
        log.info("assigned: %d partitions in all", len(self._owned))

    def revoked(self, partitions: Iterable[Partition]) -> None:
        """Let partitions go, and what is useless without them."""
        before = self._usable()
        self._owned -= set(partitions)
        self.counts.partitions = len(self._owned)
        lost = before - self._usable()
        for number in {partition.number for partition in lost}:
            self._processor.forget(number)
        for partition in lost:
            self._positions.pop(partition, None)
        self._input.hold(lost & self._owned)
        log.info("revoked: %d partitions are left", len(self._owned))

    def _usable(self) -> set[Partition]:
        """The partitions that can be processed. A join needs the same partition of all its topics."""
        if not self._service.state:
            return set(self._owned)
        return {
            partition
            for partition in self._owned
            if all(Partition(topic, partition.number) in self._owned for topic in self._service.consumes)
        }

    def _resume(self, partitions: set[Partition]) -> None:
        """Go on from what Kafka holds."""
        if not partitions:
            return
        positions = self._input.committed(partitions)
        if self._service.state:
            numbers = sorted({partition.number for partition in partitions})
            self._processor.restore(numbers, self._input.read_log(self._service.state, numbers))
        self._positions.update(positions)
        self._input.start(positions)

    def _fresh(self, records: list[Record]) -> list[Record]:
        """The records that are due, each once: none fetched before a rewind or a revocation, none fetched twice."""
        due = self._positions.copy()
        fresh = []
        for record in records:
            partition = Partition(record.topic, record.partition)
            if partition not in due or record.offset < (due[partition] or 0):
                continue
            due[partition] = record.offset + 1
            fresh.append(record)
        return fresh

    # --- Trouble ---

    def _go_back(self, error: Abortable) -> None:
        self.counts.lost += 1
        log.warning("transaction lost, going back: %s", error)
        self._processor.discard()
        self._input.start(self._positions)
        self._backoff.failed(error)

    def _ask_kafka(self, error: Uncertain | Fenced) -> None:
        self.counts.renewed += 1
        log.warning("outcome unknown, asking Kafka: %s", error)
        self._processor.discard()
        self._output.renew()
        self._resume(self._usable())
        self._backoff.failed(error)

    def _count(self, records: list[Record], batch: Batch) -> None:
        counts = self.counts
        counts.batches += 1
        counts.read.update(record.topic for record in records)
        for topic, events in batch.events.items():
            counts.written[topic] += len(events)
        counts.dead_letters += len(batch.dead_letters)

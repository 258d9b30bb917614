"""The source of the flow: commits orders together with how far it has come, so that a crash neither loses nor doubles.

The run's progress record is written in the transaction of the orders that it counts. After a crash, or when the
outcome of a commit is unknown, that record says where to go on.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from shopstream.errors import Abortable, Fenced, Uncertain, UsageError
from shopstream.events import encode
from shopstream.runs import Run, decode_run, encode_run
from shopstream.runtime.backoff import Backoff, Rivalry
from shopstream.runtime.transport import Batch, StateChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from shopstream.events import Event
    from shopstream.runs import Platform
    from shopstream.runtime.transport import Output
    from shopstream.topology import Topology

    Generate = Callable[[Run, int, int], Iterable[Event]]

log = logging.getLogger(__name__)

_PLATFORMS = {"worker": "workers", "lambda": "Lambda functions"}

MOST_ORDERS = 2_000  # a transaction of this many takes a fraction of a second
_TICK = 0.02  # seconds between two transactions at a given rate


class Log(Protocol):
    """Where progress records are read from."""

    def read(self, topic: str, partitions: Iterable[int]) -> Iterator[StateChange]:
        """All committed records of the partitions."""


def read_runs(progress: Log, topology: Topology) -> dict[str, Run]:
    """Every run that the cluster has seen, by its id."""
    runs = {}
    for _, _, value in progress.read(str(topology.source.progress), [0]):
        if value is not None:
            run = decode_run(value)
            runs[run.run_id] = run
    return runs


def check_run(wanted: Run, seen: dict[str, Run]) -> Run | None:
    """The run of that id that the cluster knows, if it is the very run that is wanted; None if it knows none.

    Raises:
        UsageError: The run of that id was another, or the cluster's runs had their services run by something else.
    """
    check_platform(wanted.platform, seen)
    before = seen.get(wanted.run_id)
    if before is not None and msgspec.structs.replace(before, committed=0) != wanted:
        raise UsageError(
            f"run {wanted.run_id!r} is on this cluster already, with --orders {before.orders} --seed {before.seed} "
            f"--start {before.start.isoformat()} --guarantee {before.guarantee} and {before.shop_rate:g} orders/s on "
            "the shop's clock: give the same to finish it, or choose another --run-id"
        )
    return before


def check_platform(platform: Platform, seen: dict[str, Run]) -> None:
    """Make sure that the services of every run so far were run by what shall run them now.

    Raises:
        UsageError: They were not.
    """
    other = next((run for run in seen.values() if run.platform != platform), None)
    if other is not None:
        raise UsageError(
            f"the orders on this cluster were processed by {_PLATFORMS[other.platform]}, those of run {other.run_id!r} "
            f"for one; {_PLATFORMS[platform]} have consumer groups of their own and would process them all "
            f"again: go on with --on {other.platform}, or begin afresh with `shopstream down --wipe`"
        )


class Generator:
    """Brings a run's orders onto their topic.

    Args:
        topology: The shop's topics.
        run: What to bring. How much of it is there already is read from the progress topic.
        generate: Makes orders: (run, number of the first, how many).
        sink: Where they go.
        progress: Reads the progress topic.
        rate: Orders a second; None for as fast as possible.
        acknowledged: Told after each commit how many orders are on the topic for good.
        clock: Seconds that never go back.
        sleep: Waits, in seconds.
    """

    def __init__(
        self,
        topology: Topology,
        run: Run,
        generate: Generate,
        sink: Output,
        progress: Log,
        *,
        rate: float | None = None,
        acknowledged: Callable[[Run], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.done = run
        self.batches = 0
        self._topology = topology
        self._topic_of = topology.topic_of
        self._generate = generate
        self._output = sink
        self._progress = progress
        self._rate = rate
        self._acknowledged = acknowledged
        self._clock, self._sleep = clock, sleep
        self._began: tuple[float, int] | None = None
        self._unannounced = False
        self._backoff = Backoff(f"run {run.run_id}", sleep)
        self._rivalry = Rivalry(topology.source.name, clock)

    def run(self, stopping: Callable[[], bool], alive: Callable[[], None] = lambda: None) -> None:
        """Work until all orders are committed or `stopping()` says so; call `alive()` in between.

        Raises:
            Fenced: Another generator has taken over.
            Fatal: Something is wrong that going on would not mend.
        """
        self._ask_kafka()
        while not self.done.finished and not stopping():
            self.step()
            alive()

    def step(self) -> int:
        """Commit the orders that are due, or wait a moment if none is. Returns how many it committed."""
        count = 0 if self._unannounced else self._due()
        if not count and not self._unannounced:
            self._sleep(_TICK)
            return 0
        after = msgspec.structs.replace(self.done, committed=self.done.committed + count)
        try:
            self._output.write(self._batch(after, count))
        except Abortable as error:
            self._backoff.failed(error)
            return 0
        except (Uncertain, Fenced) as error:
            if isinstance(error, Fenced):
                self._rivalry.fenced(error)
            log.warning("outcome unknown, asking Kafka: %s", error)
            self._output.renew()
            self._ask_kafka()
            self._backoff.failed(error)
            return 0
        self.done = after
        self._unannounced = False
        self.batches += 1
        self._backoff.succeeded()
        self._acknowledged(after)
        return count

    def close(self) -> None:
        """Let go of everything."""
        self._output.close()

    def _due(self) -> int:
        left = self.done.orders - self.done.committed
        if self._rate is None:
            return min(MOST_ORDERS, left)
        now = self._clock()
        began, already = self._began = self._began or (now, self.done.committed)
        return max(0, min(MOST_ORDERS, left, already + 1 + int((now - began) * self._rate) - self.done.committed))

    def _batch(self, after: Run, count: int) -> Batch:
        batch = Batch()
        for event in self._generate(self.done, self.done.committed, count):
            message = (event.order_id.encode(), encode(event))
            batch.events.setdefault(self._topic_of[event.event_type], []).append(message)
        batch.state.append(StateChange(0, after.run_id.encode(), encode_run(after)))
        return batch

    def _ask_kafka(self) -> None:
        """Go on from what is committed. The output is there by now, so nothing of an earlier process can follow."""
        known = read_runs(self._progress, self._topology).get(self.done.run_id)
        self.done = known or msgspec.structs.replace(self.done, committed=0)
        # At least once, orders are on their topic before the note that counts them. So a note that counts none goes
        # ahead of them: whoever comes after a crash knows whose orders wait there, and their seed.
        self._unannounced = known is None and self.done.guarantee == "at-least-once"

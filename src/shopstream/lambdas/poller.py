"""An event poller: a thread that gathers batches from its source and delivers them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import TYPE_CHECKING

from shopstream.errors import ShopstreamError
from shopstream.lambdas.delivery import Abandoned, Delivery
from shopstream.lambdas.source import Source, SourceProblem, gather

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from shopstream.lambdas.bookkeeping import FaultDraw, Tally
    from shopstream.lambdas.delivery import Discarded
    from shopstream.lambdas.function import Function
    from shopstream.lambdas.model import MappingConfig
    from shopstream.lambdas.payload import Partition, Record
    from shopstream.lambdas.results import Invocation

_WAIT = 0.2  # seconds for a first record, and so at most until a wish to stop is heard
_STEP = 0.1  # seconds between two signs of life to the group while a function runs
_LOOK = 1.0  # seconds between two looks at the lag
_FIRST_RETRY, _LONGEST_RETRY = 0.5, 10.0  # seconds until a source that failed is tried again


class Poller:
    """Feeds one function from one source, one batch at a time.

    Args:
        mapping: The rules.
        open_source: Joins the group; called again when the source has failed.
        function: The function.
        tally: Where it is counted.
        draw: Which batches meet with a fault.
        discard: Told about records that were given up.
        tell: Told in a line what has gone wrong, and that it is mended.
        name: Names its thread.
    """

    def __init__(
        self,
        mapping: MappingConfig,
        open_source: Callable[[], Source],
        function: Function,
        tally: Tally,
        draw: FaultDraw,
        *,
        discard: Callable[[Discarded], None],
        tell: Callable[[str], None],
        name: str,
    ) -> None:
        self._mapping = mapping
        self._open = open_source
        self._function = function
        self._tally = tally
        self._tell = tell
        self._discard = discard
        self._delivery = Delivery(mapping, self, tally, draw)
        self._source: Source | None = None
        self._wake = threading.Event()
        self._stopping = False
        self._restarting = False
        self._problem = ""
        self._looked = self._opened = 0.0
        self._executor = ThreadPoolExecutor(1, f"{name}-invoke")
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.assignment: frozenset[Partition] = frozenset()
        self.partitions = 0
        self.lag = 0

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end once its invocation is done. `join` waits for that."""
        self._stopping = True
        self._wake.set()

    def restart(self) -> None:
        """Drop the batch at hand, leave the group and join it anew, as when AWS replaces a poller.

        The function is not stopped: it may still work on the batch while another poller delivers it again.
        """
        self._restarting = True
        self._wake.set()

    def join(self, timeout: float) -> bool:
        """Wait for its end; False when it has not come in time."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @property
    def trouble(self) -> str:
        """What keeps it from polling; empty when nothing does."""
        return self._problem or (self._source.trouble if self._source else "")

    # What a delivery needs.

    def invoke(self, payload: bytes) -> Invocation:
        """Run the function, and take part in the group's life meanwhile."""
        source = self._source
        running = self._executor.submit(self._function.invoke, payload)
        while True:
            try:
                return running.result(_STEP)
            except NotYet:
                self._live(source)
                if self._restarting:
                    # Another thread for what comes next: this one is still at work.
                    self._executor.shutdown(wait=False)
                    self._executor = ThreadPoolExecutor(1, self._thread.name)
                    raise Abandoned from None

    def pause(self, seconds: float) -> bool:
        """Wait between two attempts; False when it is to stop."""
        deadline = time.monotonic() + seconds
        while not self._stopping:
            if self._restarting:
                raise Abandoned
            if (left := deadline - time.monotonic()) <= 0:
                return True
            self._wake.wait(min(left, _STEP))
            self._live(self._source)
        return False

    def holds(self, record: Record) -> bool:
        """Whether the record's partition is still ours."""
        return self._source is not None and self._source.holds(record)

    def earliest(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The first offsets that the brokers still have."""
        return self._source.earliest(partitions) if self._source is not None else {}

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Commit, unless the batch is to be dropped."""
        if self._restarting:
            raise Abandoned
        if self._source is not None:
            self._source.commit(offsets)

    def discard(self, discarded: Discarded) -> None:
        """Pass on what was given up."""
        self._discard(discarded)

    def kill(self, environment: int) -> None:
        """End an environment of the function."""
        self._function.kill(environment)

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def _run(self) -> None:
        delay = _FIRST_RETRY
        while not self._stopping:
            begun = time.monotonic()
            try:
                self._poll_until_told()
            except SourceProblem as problem:
                self._stuck(str(problem), problem.detail)
            except ShopstreamError as error:
                self._stuck(f"PROBLEM: {error}", "")
            except Exception as error:  # noqa: BLE001 - whatever it is, it must be seen, and polling goes on
                self._stuck(f"PROBLEM: {type(error).__name__}: {error}", "the poller itself failed")
            finally:
                self._leave()
            if self._problem:
                if time.monotonic() - begun > _LONGEST_RETRY:
                    delay = _FIRST_RETRY  # it had worked for a while
                self._wake.wait(delay)
                delay = min(_LONGEST_RETRY, delay * 2)
        self._executor.shutdown(wait=False)

    def _poll_until_told(self) -> None:
        self._restarting = False
        if not self._stopping:
            self._wake.clear()
        source = self._source = self._open()
        self._opened = time.monotonic()
        try:
            while not self._told():
                batch = gather(
                    source,
                    self._mapping.batch_size,
                    self._mapping.window,
                    wait=_WAIT,
                    clock=time.monotonic,
                    stop=self._wake.is_set,
                )
                self._look(source)
                if batch and not self._told():
                    self._delivery.deliver(batch)
        except Abandoned:
            pass

    def _told(self) -> bool:
        return self._stopping or self._restarting

    def _live(self, source: Source | None) -> None:
        """Give a sign of life while a batch takes its time, and see what happens to the group meanwhile."""
        if source is not None:
            source.keep_alive()
            self._look(source)

    def _look(self, source: Source) -> None:
        self.assignment = source.assignment
        now = time.monotonic()
        if source.trouble:
            self._stuck(source.trouble, f"no answer from {', '.join(self._mapping.bootstrap_servers)}")
        # Where there are more pollers than partitions, some never get one: for them, no trouble for a while will do.
        elif self._problem and (self.assignment or now - self._opened > _LONGEST_RETRY):
            self._tell(f"{self._mapping.topic} → {self._mapping.function}: polling again")
            self._problem = ""
        if now - self._looked > _LOOK or self.partitions == 0:
            self._looked = now
            self.partitions = source.partitions
            self.lag = source.lag()

    def _stuck(self, problem: str, detail: str) -> None:
        if problem != self._problem:
            about = f" ({detail})" if detail else ""
            self._tell(f"{self._mapping.topic} → {self._mapping.function}: {problem}{about}")
        self._problem = problem

    def _leave(self) -> None:
        source, self._source = self._source, None
        self.assignment = frozenset()
        if source is not None:
            try:
                source.close()
            except Exception as error:  # noqa: BLE001 - the poller must live on, and what happened must be seen
                self._stuck(f"PROBLEM: {type(error).__name__}: {error}", "leaving the consumer group failed")

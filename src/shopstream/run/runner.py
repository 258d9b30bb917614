"""Starts the services, sends the orders, waits for the last outcome, and has the auditor judge it."""

from __future__ import annotations

import fcntl
import json
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from shopstream.audit import Auditor, configured_rates
from shopstream.audit.source import KafkaSource
from shopstream.errors import ClusterError, UsageError
from shopstream.run.fleet import make_workers
from shopstream.run.onlookers import Onlookers
from shopstream.run.waiting import refuse_another_seed
from shopstream.runtime.generator import check_run, read_runs
from shopstream.runtime.kafka_log import KafkaLog
from shopstream.runtime.ledger import read_ledger
from shopstream.runtime.process import WATCHDOG
from shopstream.settings import for_user_or_itself

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path

    from shopstream.audit import Verdict
    from shopstream.run.fleet import Fleet, MakeFleet
    from shopstream.run.plan import Plan
    from shopstream.topology import Topology

_TICK = 0.05  # seconds between two looks at the processes
# Nothing has been reported for so long: the last batches are probably through, and a look at the topics is worth it.
_QUIET = 0.4  # seconds; the processes report every 0.25 s
_LOOK_EVERY = 5.0  # seconds
_LOOK_AT_ONLOOKERS = 0.25  # seconds
# Longer than everything that mends itself: a time-out, a rebalance, a watchdog that ends a process and what follows.
STALLED = WATCHDOG + 45.0  # seconds without any change
_FOR_EVER = 1e9  # seconds


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        verdict: The auditor's.
        planned: How many orders there should be.
        seconds: From the start of the source to the last outcome.
    """

    verdict: Verdict
    planned: int
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, and all is there."""
        return self.verdict.ok and self.verdict.settled and self.verdict.orders >= self.planned

    def to_data(self) -> dict[str, Any]:
        """The verdict as data, with what was planned and how long it took."""
        return {
            **self.verdict.to_data(),
            "ok": self.ok,
            "planned": self.planned,
            "seconds": round(self.seconds, 3),
        }


class Watcher(Protocol):
    """Who is told how a run goes."""

    def phase(self, text: str) -> None:
        """A new part begins."""

    def event(self, text: str) -> None:
        """Something unexpected happened, and was dealt with."""

    def counts(self, counts: dict[str, dict[str, Counter[str]]]) -> None:
        """How far the services have come: for each, records `read` and events `written`, by topic."""

    def audited(self, done: int, total: int) -> None:
        """How much of the topics has been read."""


class Runner:
    """Carries out one plan.

    Args:
        plan: What to do.
        topology: The shop.
        watcher: Who is told.
        make_fleet: Makes what runs the services.
    """

    def __init__(self, plan: Plan, topology: Topology, watcher: Watcher, make_fleet: MakeFleet = make_workers) -> None:
        self._make_fleet = make_fleet
        self._plan = plan
        self._topology = topology
        self._watcher = watcher
        self._reader = for_user_or_itself(plan.cluster, topology.user_of("auditor"))
        self._auditor = Auditor(
            topology, expected_rates=configured_rates(topology), run_id=plan.run.run_id, guarantee=plan.run.guarantee
        )
        self._pids = plan.home / "run.json"
        self._noted: dict[str, int] = {}

    def run(self) -> Result:
        """Run, wait, judge. All processes have ended afterwards, whatever happens.

        Raises:
            UsageError: The run id is used up.
            ClusterError: The cluster cannot be reached, or a service cannot be kept alive.
        """
        with (
            only_run_in(self._plan.home),
            KafkaSource(self._reader, self._topology, self._auditor, progress=self._watcher.audited) as source,
        ):
            resumes = self._make_way(source)
            fleet = self._make_fleet(self._plan, self._topology, self._watcher.event, resumes)
            try:
                self._watcher.phase("starting the services")
                fleet.start()
                self._wait_until_ready(fleet)
                started = time.monotonic()
                fleet.start_source()
                self._note(fleet.pids)
                self._watcher.phase(f"run {self._plan.run.run_id}: {self._plan.run.orders:,} orders")
                ended = self._wait(fleet, source)
                if self._topology.onlookers:
                    self._wait_for_onlookers(fleet)
            finally:
                with uninterrupted():
                    fleet.stop()
                    self._pids.unlink(missing_ok=True)
            self._watcher.phase("reading the topics")
            source.read_new()
            self._auditor.acknowledge(self._plan.run.run_id, read_ledger(self._plan.ledger))
            return Result(self._verdict(patience=0), self._plan.run.orders, ended - started)

    def _make_way(self, source: KafkaSource) -> bool:
        """Make sure that the run is a new one, or one that was left unfinished.

        Returns:
            Whether it was left unfinished.

        Raises:
            UsageError: It is neither.
        """
        progress = KafkaLog(self._reader, "run")
        try:
            seen = read_runs(progress, self._topology)
            before = check_run(self._plan.run, seen)
            refuse_another_seed(self._reader, self._topology, self._plan.run.platform, self._plan.run.seed, seen)
        finally:
            progress.close()
        if before is None:
            source.skip()  # whatever stands on the topics now is not of this run
            self._plan.ledger.unlink(missing_ok=True)  # one of that name was of a cluster that has been wiped
            return False
        source.read_new()
        # However long it was left alone: an order without an outcome waits for this run to give it one.
        if before.finished and self._verdict(patience=_FOR_EVER).settled:
            raise UsageError(
                f"run {before.run_id!r} is on this cluster already, with all its {before.orders:,} orders: choose "
                "another --run-id, or begin afresh with `shopstream down --wipe`"
            )
        self._watcher.phase(f"run {before.run_id} goes on at order {before.committed:,}")
        return True

    def _wait_until_ready(self, fleet: Fleet) -> None:
        """Wait until every service has its partitions, so that the first orders do not wait for the last service."""
        deadline = time.monotonic() + STALLED
        while not fleet.ready:
            fleet.check()
            if time.monotonic() > deadline:
                raise ClusterError(f"the services got no partitions in {STALLED:.0f} s: see {self._plan.logs}")
            time.sleep(_TICK)

    def _wait(self, fleet: Fleet, source: KafkaSource) -> float:
        """Wait until the topics show an outcome for every order, or nothing moves any more.

        Returns:
            The monotonic time of the last change.
        """
        last_counts = None
        changed = looked = time.monotonic()
        while True:
            self._look_after(fleet)
            counts = fleet.counts()
            now = time.monotonic()
            if counts != last_counts:
                last_counts, changed = counts, now
                self._watcher.counts(counts)
            # Somebody else's records may keep the counts moving for ever, so it looks now and then all the same.
            if fleet.source_finished and now - looked > (_QUIET if now - changed > _QUIET else _LOOK_EVERY):
                source.read_new()
                if self._verdict(patience=fleet.patience).settled:
                    return changed
                looked = time.monotonic()
            if now - changed > STALLED + (1 / self._plan.rate if self._plan.rate else 0):
                self._watcher.event(f"nothing has moved for {now - changed:.0f} s; judging what is there")
                return changed
            time.sleep(_TICK)

    def _wait_for_onlookers(self, fleet: Fleet) -> None:
        """Wait until the services that no outcome waits for have read the run's records, too."""
        last: dict[str, int] = {}
        changed = time.monotonic()
        with Onlookers(self._reader, self._topology, self._plan.run.platform) as onlookers:
            while behind := onlookers.behind(self._auditor.read_up_to):
                self._look_after(fleet)
                self._watcher.counts(fleet.counts())
                now = time.monotonic()
                if behind.keys() != last.keys():
                    self._watcher.phase(f"waiting for {', '.join(behind)}")
                if behind != last:
                    last, changed = behind, now
                if now - changed > STALLED:
                    names = ", ".join(f"{name} ({left:,} offsets to go)" for name, left in behind.items())
                    self._watcher.event(f"no longer waiting for {names}: see {self._plan.logs}")
                    return
                time.sleep(_LOOK_AT_ONLOOKERS)

    def _look_after(self, fleet: Fleet) -> None:
        """Let the fleet mend what can be mended, and note who is at work then."""
        fleet.check()
        if fleet.pids != self._noted:
            self._note(fleet.pids)

    def _note(self, pids: dict[str, int]) -> None:
        """Leave the process ids where somebody who wants to kill one finds them."""
        self._noted = pids
        self._pids.write_text(
            json.dumps({"run_id": self._plan.run.run_id, "pids": pids}, indent=2) + "\n", encoding="utf-8"
        )

    def _verdict(self, patience: float) -> Verdict:
        return self._auditor.verdict(int(time.time() * 1000), int(patience * 1000))


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits: what is being ended is ended in order. For what takes a bounded time."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def only_run_in(home: Path) -> Iterator[None]:
    """Hold the place of the one run that may work from a state directory.

    Raises:
        ClusterError: Another one is at work.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ClusterError("another `shopstream run` is at work here: wait until it is done, or end it") from error
        yield

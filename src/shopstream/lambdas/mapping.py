"""A running event source mapping: as many pollers as it needs, and what became of its records."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from shopstream.lambdas.bookkeeping import FaultDraw, Tally
from shopstream.lambdas.poller import Poller
from shopstream.lambdas.results import MappingCounts

if TYPE_CHECKING:
    from collections.abc import Callable

    from shopstream.lambdas.delivery import Discarded
    from shopstream.lambdas.destination import Destinations
    from shopstream.lambdas.function import Function
    from shopstream.lambdas.model import Faults, MappingConfig
    from shopstream.lambdas.source import Source

ON_DEMAND_EVERY, PROVISIONED_EVERY = 10.0, 2.0
"""Seconds between two decisions. AWS looks every minute in on-demand mode; provisioned mode it calls responsive."""
BACKLOG = 10
"""Batches that may wait for each poller before another poller is added."""
QUIET = 3
"""Decisions in a row without any lag until a poller is removed."""


def wanted(pollers: int, *, least: int, most: int, lag: int, batch_size: int, quiet: int) -> int:
    """How many pollers there should be.

    One more when each has more than `BACKLOG` batches before it, one less after `QUIET` decisions without lag. AWS
    does not publish its own rule.

    Args:
        pollers: How many there are.
        least: The fewest.
        most: The most: never more than the topic has partitions.
        lag: Records that wait.
        batch_size: Most records in a batch.
        quiet: Decisions in a row without lag.
    """
    if lag > pollers * batch_size * BACKLOG:
        pollers += 1
    elif quiet >= QUIET:
        pollers -= 1
    return max(1, least, min(pollers, most)) if most >= least else max(1, most)


class RunningMapping:
    """A mapping while it runs.

    Args:
        config: The mapping.
        function: The function that it feeds.
        open_source: Joins its group as the poller with the given number.
        tell: Told in a line what has gone wrong.
        faults: What goes wrong on purpose.
        destinations: Where what is given up can be sent.
        most_pollers: The most pollers in on-demand mode.
        previous: The mapping whose place this one takes, with the same uuid: it goes on with its
            counts and its faults.
    """

    def __init__(
        self,
        config: MappingConfig,
        function: Function,
        open_source: Callable[[int], Source],
        *,
        tell: Callable[[str], None],
        faults: Faults,
        destinations: Destinations | None,
        most_pollers: int,
        previous: RunningMapping | None = None,
    ) -> None:
        self.config = config
        self._function = function
        self._open_source = open_source
        self._tell = tell
        self._destinations = destinations
        self._most_pollers = most_pollers
        self._tally: Tally = previous._tally if previous else Tally()  # noqa: SLF001 - one of ours
        self._draw: FaultDraw = previous._draw if previous else FaultDraw(faults, config.uuid)  # noqa: SLF001
        self._lock = threading.Lock()
        self._pollers: list[Poller] = []
        self._leaving: list[Poller] = []
        self._made = 0
        self._decided = time.monotonic()
        self._quiet = 0
        self._throttled = 0

    def start(self) -> None:
        """Begin to poll, if it is enabled."""
        if self.config.enabled:
            pollers = self.config.provisioned.minimum_pollers if self.config.provisioned else 1
            # More than there are partitions would have nothing to do; how many there are shows only later.
            self._resize(min(pollers, self._most_pollers) if self.config.provisioned else 1)

    def stop(self) -> None:
        """Ask all pollers to end after the invocation at hand."""
        with self._lock:
            self._leaving += self._pollers
            self._pollers = []
            leaving = list(self._leaving)
        for poller in leaving:
            poller.stop()

    def join(self, timeout: float) -> bool:
        """Wait until they have ended; False when they have not in time."""
        deadline = time.monotonic() + timeout
        ended = [poller.join(max(0.0, deadline - time.monotonic())) for poller in self._leaving]
        return all(ended)

    def change_faults(self, faults: Faults) -> None:
        """Let this go wrong from the next batch on, instead of what has gone wrong so far."""
        self._draw.change(faults)

    def restart(self) -> None:
        """Replace every poller at once, whatever it is at."""
        with self._lock:
            pollers = list(self._pollers)
        for poller in pollers:
            poller.restart()

    @property
    def ready(self) -> bool:
        """Whether every partition of the topic has a poller. A disabled mapping has nothing to wait for."""
        if not self.config.enabled:
            return True
        with self._lock:
            held = [partition for poller in self._pollers for partition in poller.assignment]
            partitions = max((poller.partitions for poller in self._pollers), default=0)
        return 0 < partitions <= len(set(held))

    def decide(self, now: float) -> None:
        """Add or remove a poller, when it is time for a decision. `now` is in seconds that never go back."""
        provisioned = self.config.provisioned
        if not self._pollers or now - self._decided < (PROVISIONED_EVERY if provisioned else ON_DEMAND_EVERY):
            return
        self._decided = now
        partitions = max(poller.partitions for poller in self._pollers)
        lag = sum(poller.lag for poller in self._pollers)
        throttled, self._throttled = self._tally.throttled - self._throttled, self._tally.throttled
        self._quiet = 0 if lag else self._quiet + 1
        if not partitions or not self.ready:
            return
        most = min(partitions, provisioned.maximum_pollers if provisioned else self._most_pollers)
        number = wanted(
            len(self._pollers),
            least=min(provisioned.minimum_pollers, partitions) if provisioned else 1,
            most=max(1, len(self._pollers) - 1) if throttled and not provisioned else most,
            lag=lag,
            batch_size=self.config.batch_size,
            quiet=self._quiet,
        )
        if number != len(self._pollers):
            self._quiet = 0
            self._resize(number)

    def counts(self) -> MappingCounts:
        """What it has done so far, and how it is."""
        tally = self._tally
        with self._lock:
            trouble = next((poller.trouble for poller in self._pollers if poller.trouble), "")
            lag, pollers = sum(poller.lag for poller in self._pollers), len(self._pollers)
        return MappingCounts(
            function=self.config.function,
            topic=self.config.topic,
            delivered=tally.delivered,
            batches=tally.batches,
            invocations=tally.invocations,
            failures=tally.failures,
            retries=tally.retries,
            redelivered=tally.redelivered,
            discarded=tally.discarded,
            throttled=tally.throttled,
            lag=lag,
            pollers=pollers,
            state="Enabled" if self.config.enabled else "Disabled",
            last_result=trouble or tally.last_result,
        )

    def _resize(self, number: int) -> None:
        with self._lock:
            while len(self._pollers) > number:
                poller = self._pollers.pop()
                poller.stop()
                self._leaving.append(poller)
            while len(self._pollers) < number:
                self._pollers.append(self._new())

    def _new(self) -> Poller:
        number = self._made
        self._made += 1
        poller = Poller(
            self.config,
            lambda: self._open_source(number),
            self._function,
            self._tally,
            self._draw,
            discard=self._discarded,
            tell=self._tell,
            name=f"poller-{self.config.function}-{self.config.topic}-{number}",
        )
        poller.start()
        return poller

    def _discarded(self, discarded: Discarded) -> None:
        first = discarded.records[0]
        destination = self.config.on_failure
        self._tell(
            f"{self.config.topic} → {self.config.function}: {discarded.condition}: gave up {len(discarded.records)} "
            f"records from {first.partition} offset {first.offset} on"
            + (f", told {destination}" if destination and self._destinations else "")
        )
        if destination and self._destinations:
            self._destinations.send(self.config, self._function.config, discarded)

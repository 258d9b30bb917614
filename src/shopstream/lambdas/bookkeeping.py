"""What the pollers of one mapping share: its counts, and the draw of its faults."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from shopstream.lambdas.model import Faults

Fault = Literal["fail", "crash", "redeliver"]


class FaultDraw:
    """Draws which batches meet with a fault.

    Args:
        faults: How often.
        salt: Sets one mapping's sequence apart from another's.
    """

    def __init__(self, faults: Faults, salt: str) -> None:
        self._salt = salt
        self._lock = threading.Lock()
        self.change(faults)

    def change(self, faults: Faults) -> None:
        """Draw by these from the next batch on, from the beginning of their sequence."""
        shares: dict[Fault, float] = {"fail": faults.fail, "crash": faults.crash, "redeliver": faults.redeliver}
        with self._lock:
            self._shares = shares
            self._chance = random.Random(f"{faults.seed}:{self._salt}")  # noqa: S311 - no secret depends on it

    def __call__(self) -> Fault | None:
        """The fault of the next batch. Always as many draws, so that one share does not move another's sequence."""
        with self._lock:
            drawn = {fault: self._chance.random() < share for fault, share in self._shares.items()}
        return next((fault for fault, hit in drawn.items() if hit), None)


@dataclass
class Tally:
    """Counts of one mapping, added to by all its pollers."""

    delivered: int = 0
    batches: int = 0
    invocations: int = 0
    failures: int = 0
    retries: int = 0
    redelivered: int = 0
    discarded: int = 0
    throttled: int = 0
    last_result: str = "No records processed"

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def add(self, **counts: int) -> None:
        """Add to some of the counts."""
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)

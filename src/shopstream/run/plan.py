"""What a run shall be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from shopstream.runs import Run


@dataclass(frozen=True)
class Plan:
    """What a run shall be.

    Attributes:
        run: The orders.
        cluster: A client properties file of the cluster; each user's own lies beside it.
        home: Where logs and the ledger go.
        workers: Instances of each service that answers to records; of no meaning for Lambda functions.
        rate: Orders a second; None for as fast as possible.
        topology_file: None for the topology that comes with shopstream.
    """

    run: Run
    cluster: Path
    home: Path
    workers: int = 1
    rate: float | None = None
    topology_file: Path | None = None

    @property
    def logs(self) -> Path:
        """Where the services log."""
        return self.home / "logs"

    @property
    def ledger(self) -> Path:
        """Where the source notes, apart from Kafka, what was acknowledged."""
        return self.home / "runs" / f"{self.run.run_id}.jsonl"

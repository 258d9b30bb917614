"""What the source of events noted as acknowledged, on disk and so apart from Kafka: what must be found there later."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from shopstream.runs import Run


class Ledger:
    """Notes how many orders of a run were acknowledged.

    Args:
        path: The file, which is added to.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def note(self, run: Run) -> None:
        """Note how far a run is; on disk when this returns."""
        self._file.write(json.dumps({"run_id": run.run_id, "committed": run.committed}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_ledger(path: Path) -> int:
    """How many orders were noted as acknowledged; 0 without a ledger. A torn last line counts for nothing."""
    committed = 0
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                committed = max(committed, int(json.loads(line)["committed"]))
    return committed

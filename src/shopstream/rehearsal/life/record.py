"""What is remembered of a rehearsal between two commands, and what its report is made of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from shopstream.cluster.home import write_private
from shopstream.errors import RehearsalError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE = "rehearsal.json"


@dataclass
class Result:
    """How a phase went.

    Attributes:
        name: Which.
        began: When, in seconds since 1970.
        seconds: How long it took.
        ok: Whether it succeeded.
        error: Why not.
        log: The file with what was said in it.
        counts: What it counted, by a label for people.
        data: What the report and later phases need of it.
    """

    name: str
    began: float
    seconds: float = 0.0
    ok: bool = False
    error: str = ""
    log: str = ""
    counts: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class Record:
    """A rehearsal so far.

    Attributes:
        path: The file.
        results: Of each phase the last one, in the order in which they were run.
    """

    path: Path
    results: dict[str, Result] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path) -> Record:
        """Read it; empty when there is none.

        Raises:
            RehearsalError: The file is damaged.
        """
        path = directory / FILE
        try:
            listed = json.loads(path.read_text(encoding="utf-8"))["results"]
            return cls(path, {each["name"]: Result(**each) for each in listed})
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RehearsalError(f"{path} cannot be read ({error}): delete it, and rehearse without --from") from error

    @property
    def done(self) -> frozenset[str]:
        """The phases that succeeded."""
        return frozenset(name for name, result in self.results.items() if result.ok)

    def put(self, result: Result) -> None:
        """Keep a result in place of an earlier one of its phase."""
        self.results.pop(result.name, None)
        self.results[result.name] = result
        self.write()

    def forget(self, phases: Iterable[str]) -> None:
        """Drop the results of phases, whose work is gone."""
        for name in phases:
            self.results.pop(name, None)

    def data(self, phase: str) -> dict[str, Any]:
        """What a phase has left for others; empty when it was not run."""
        result = self.results.get(phase)
        return result.data if result else {}

    def write(self) -> None:
        """Keep it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = {"results": [asdict(each) for each in self.results.values()]}
        write_private(self.path, json.dumps(data, indent=2) + "\n")

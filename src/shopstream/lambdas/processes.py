"""The processes that a function has started, wherever they went: Lambda ends them with their environment."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TEMPORARY = "TMPDIR"
"""The variable with an environment's directory for temporary files, which no other environment has."""
_ROUNDS = 5


def descendants(pid: int) -> list[psutil.Process]:
    """The children of a process, their children and so on; none of a process that is gone."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes, as far as they are there."""
    for process in processes:
        with contextlib.suppress(psutil.Error):  # it also refuses another process that has got the id meanwhile
            process.kill()


def kill_users(scratch: Path) -> None:
    """Kill every process that has an environment's directory in its variables.

    These are what a function's processes have started too, and whose parents are gone: nothing else leads to them.
    """
    for _ in range(_ROUNDS):  # one may start another meanwhile
        if not (found := _users(scratch)):
            return
        kill(found)
        psutil.wait_procs(found, timeout=1.0)


def _users(scratch: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(TEMPORARY) == str(scratch):
                found.append(process)
    return found

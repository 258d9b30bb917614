"""Directories that belong to one process, and what is left of them when it was killed.

Their names have the id of that process behind a prefix: `PREFIX` + `ID-…`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

_LONG_AGO = 86_400.0  # seconds: for names without a process's id


def sweep(place: Path, prefix: str, before: Callable[[Path], None] = lambda _: None) -> None:
    """Remove what processes that are gone have left.

    Args:
        place: Where such directories are. It need not exist.
        prefix: What their names begin with.
        before: Called with each before it is removed.
    """
    for directory in place.glob(f"{prefix}*"):
        if _abandoned(directory, directory.name.removeprefix(prefix).partition("-")[0]):
            before(directory)
            remove(directory)


def remove(directory: Path) -> None:
    """Remove a directory with all that is in it, what is read-only too. What cannot be removed stays."""
    if directory.is_symlink():  # what it leads to is somebody else's
        return
    # Nothing can be taken out of a directory that is read-only, unless by root.
    with contextlib.suppress(OSError):
        directory.chmod(0o700)
    for path, names, _ in os.walk(directory):
        for each in (Path(path, name) for name in names):
            with contextlib.suppress(OSError):
                if not each.is_symlink():
                    each.chmod(0o700)
    shutil.rmtree(directory, ignore_errors=True)


def _abandoned(directory: Path, owner: str) -> bool:
    if owner.isdecimal():
        return not psutil.pid_exists(int(owner))
    try:
        return time.time() - directory.stat().st_mtime > _LONG_AGO
    except OSError:  # another process was quicker
        return False

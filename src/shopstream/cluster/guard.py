"""At most one process at a time changes a directory."""

from __future__ import annotations

import contextlib
import fcntl
from typing import TYPE_CHECKING

from shopstream.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@contextlib.contextmanager
def exclusive(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock for the length of a `with` block. The system frees it when the process ends, however it ends.

    Args:
        path: The file to lock; it is made when it does not exist, and stays.
        waiting: Called before waiting for another holder; None refuses to wait.

    Raises:
        ClusterError: Another process holds it.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if waiting is None:
                raise ClusterError(
                    f"another `shopstream up` or `down` is at work in {path.parent}: try again when it is done"
                ) from error
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

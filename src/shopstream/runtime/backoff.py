"""Waiting a little longer after each failure in a row, and giving up in the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shopstream.errors import Fatal

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_FAILURES = 20  # in a row; with these pauses, about 15 seconds
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 1.0  # seconds


class Backoff:
    """Counts failures in a row.

    Args:
        what: What keeps failing, for the message.
        sleep: Waits, in seconds.
    """

    def __init__(self, what: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._what = what
        self._sleep = sleep
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """Wait before the next attempt.

        Raises:
            Fatal: There have been too many: its supervisor shall start a new process.
        """
        self._failures += 1
        if self._failures > MOST_FAILURES:
            raise Fatal(f"{self._what}: {self._failures} transactions in a row failed: {error}") from error
        self._sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**self._failures))

    def succeeded(self) -> None:
        """The row is broken."""
        self._failures = 0

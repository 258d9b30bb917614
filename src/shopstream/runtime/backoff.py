"""When to try again, and when to give up: after failures in a row, and after being fenced."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from shopstream.errors import Fatal, Fenced

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


class Rivalry:
    """Tells a producer's own time-out from a second instance: both look like being fenced.

    A producer whose transaction timed out is fenced although nobody took over, and may take its id back. Being fenced
    again soon after that is no accident.

    Args:
        what: Who is fenced, for the message.
        clock: Seconds that never go back.
    """

    AGAIN_WITHIN = 30.0  # seconds

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._clock = clock
        self._fenced_at: float | None = None

    def fenced(self, error: Fenced) -> None:
        """Take note of it.

        Raises:
            Fenced: It is the second time: another instance is alive.
        """
        now = self._clock()
        if self._fenced_at is not None and now - self._fenced_at < self.AGAIN_WITHIN:
            raise Fenced(f"{self._what}: another instance uses the same transactional id: {error}") from error
        self._fenced_at = now

"""The functions' lines, in CloudWatch Logs."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shopstream.errors import AwsError
from shopstream.rehearsal.cloud.account import NoLogGroupError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shopstream.rehearsal.cloud.account import Account

# Of one call ("PutLogEvents"): events, bytes, and what each event costs beside its text.
_MOST_EVENTS, _MOST_BYTES, _EACH = 10_000, 1_048_576, 26
_LONGEST = 262_144 - _EACH  # bytes of one event
_MOST_WAITING = 100_000  # lines of one function; the oldest give way
_STREAM = "\tLog Stream: "


@dataclass
class _Log:
    group: str
    stream: str = ""
    waiting: deque[tuple[str, int, str]] = field(default_factory=deque)  # stream, time, text
    missing: bool = False


class LogSender:
    """Sends lines in batches, from a thread of its own.

    What cannot be sent waits; without a log group it waits for one and is never the reason that one is made.

    Args:
        account: Where to.
        tell: Told in a line when lines cannot be sent, and when they can be again.
        every: Seconds between two batches.
        now: Seconds since 1970.
    """

    def __init__(
        self, account: Account, tell: Callable[[str], None], *, every: float = 1.0, now: Callable[[], float] = time.time
    ) -> None:
        self._account = account
        self._tell = tell
        self._every = every
        self._now = now
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._logs: dict[str, _Log] = {}
        self._trouble = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-sender", daemon=True)
        self.sent = self.lost = 0

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send what is left, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    def groups(self, groups: Mapping[str, str]) -> None:
        """Say which function's lines go to which group, from now on."""
        with self._lock:
            for function, group in groups.items():
                log = self._logs.setdefault(function, _Log(group))
                if log.group != group:
                    log.group, log.missing = group, False

    def take(self, function: str, line: str) -> None:
        """Take a line. Called from several threads."""
        at = int(self._now() * 1000)
        with self._lock:
            log = self._logs.setdefault(function, _Log(f"/aws/lambda/{function}"))
            if line.startswith("INIT_START") and _STREAM in line:
                log.stream = line.partition(_STREAM)[2]
            log.waiting.append((log.stream or "unknown", at, line))
            if len(log.waiting) > _MOST_WAITING:
                log.waiting.popleft()
                self.lost += 1

    @property
    def waiting(self) -> int:
        """Lines that are not sent yet."""
        with self._lock:
            return sum(len(log.waiting) for log in self._logs.values())

    def flush(self) -> None:
        """Send all that waits, as far as it can be sent."""
        with self._sending:
            for function in list(self._logs):
                while self._send(function):
                    pass

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.flush()

    def _send(self, function: str) -> bool:
        """Send one batch; False when nothing is left, or nothing can be sent."""
        log = self._logs[function]
        with self._lock:
            stream, batch = _batch(log.waiting)
        if not batch:
            return False
        try:
            self._account.put_lines(log.group, stream, batch)
        except NoLogGroupError as error:
            if not log.missing:
                self._tell(f"{error}; the lines of {function} wait for it")
            log.missing = True
            return False
        except AwsError as error:
            if not self._trouble:
                self._tell(f"log lines cannot be sent: {error}")
            self._trouble = str(error)
            return False
        if log.missing or self._trouble:
            self._tell(f"log lines of {function} are sent again")
        log.missing, self._trouble = False, ""
        with self._lock:
            for _ in batch[: len(log.waiting)]:
                log.waiting.popleft()
            self.sent += len(batch)
        return True


def _batch(waiting: deque[tuple[str, int, str]]) -> tuple[str, list[tuple[int, str]]]:
    """As many of the first lines as one call takes, all of one stream."""
    batch: list[tuple[int, str]] = []
    size, stream = 0, waiting[0][0] if waiting else ""
    for where, at, line in waiting:
        text = line or " "  # CloudWatch takes no empty event
        encoded = text.encode()
        if len(encoded) > _LONGEST:
            text = encoded[:_LONGEST].decode(errors="ignore")
        size += len(text.encode()) + _EACH
        if where != stream or len(batch) == _MOST_EVENTS or size > _MOST_BYTES:
            break
        batch.append((at, text))
    return stream, batch

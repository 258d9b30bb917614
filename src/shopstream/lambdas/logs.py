"""What CloudWatch Logs would hold: a function's own output between Lambda's START, END and REPORT lines."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CHUNK = 1 << 16


class FunctionLog:
    """One file for all environments of a function, whole lines only.

    Args:
        path: The file; lines are appended.
        listener: Called with each line as well; called from several threads.
    """

    def __init__(self, path: Path, listener: Callable[[str], None] | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._listener = listener
        self._lock = threading.Lock()

    def write(self, *lines: str) -> None:
        """Append lines, together."""
        text = "".join(f"{line}\n" for line in lines).encode(errors="replace")
        with self._lock:
            if self._file >= 0:
                os.write(self._file, text)
        if self._listener:
            for line in lines:
                self._listener(line)

    def close(self) -> None:
        """Let go of the file. Lines that come later are lost."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1


class OutputReader:
    """Brings the output of one environment's processes into the log.

    A thread reads whenever something comes, so that the function never waits for us. `drain` takes what lies in the
    pipe at once, so that all that a handler wrote stands before its END line.
    """

    def __init__(self, log: FunctionLog) -> None:
        self._log = log
        self._read, self.write_end = os.pipe()
        os.set_blocking(self._read, False)
        self._stop = os.eventfd(0)
        self._rest = b""
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, name="lambda-output", daemon=True)
        self._thread.start()

    def started(self) -> None:
        """The environment holds the other end now: ours is closed."""
        os.close(self.write_end)
        self.write_end = -1

    def drain(self, *, whole: bool = False) -> None:
        """Log what has been written so far. `whole` takes an unfinished line as finished."""
        with self._lock:
            if self._closed:
                return
            self._take()
            if whole and self._rest:
                self._log.write(_text(self._rest))
                self._rest = b""

    def close(self) -> None:
        """Log the rest, and stop."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        self.drain(whole=True)
        with self._lock:
            self._closed = True
            if self.write_end >= 0:
                os.close(self.write_end)
            os.close(self._read)
            os.close(self._stop)

    def _follow(self) -> None:
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while True:
            events = dict(poll.poll())
            if self._stop in events:
                return
            with self._lock:
                alive = self._take()
            if not alive:
                return

    def _take(self) -> bool:
        """Read until nothing is left for now; False at the end of all output."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._read, _CHUNK):
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                if lines:
                    self._log.write(*map(_text, lines))
            return False
        return True


def _text(line: bytes) -> str:
    # The runtime ends the lines of a traceback with carriage returns, so that CloudWatch keeps them in one event.
    return line.decode(errors="replace").rstrip("\r").replace("\r", "\n")

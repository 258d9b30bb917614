"""A child process: what it writes into its log is shown while it writes, and its group is interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Follower:
    """Reads a growing file, hands on its complete lines, and keeps the text.

    Args:
        file: Open for reading bytes, where the new text will begin.
        tell: Gets each line.

    Attributes:
        text: All that was read.
    """

    def __init__(self, file: Any, tell: Callable[[str], None]) -> None:
        self._file = file
        self._tell = tell
        self._rest = b""
        self.text = ""

    def follow(self) -> None:
        """Hand on what has come since the last time."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", errors="replace")
            self.text += text + "\n"
            self._tell(text)


def end(child: subprocess.Popen[bytes], within_s: float) -> None:
    """Interrupt a child's process group, and wait; kill what does not go.

    Args:
        child: The leader of a process group of its own.
        within_s: Seconds that it has before it is killed.
    """
    for number, limit in ((signal.SIGINT, within_s), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(limit)
            return

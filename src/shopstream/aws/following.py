"""Shows what a child process writes into its log, while it writes."""

from __future__ import annotations

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

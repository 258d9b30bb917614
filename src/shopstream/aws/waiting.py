"""How long to wait between two looks at something that AWS is doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_S = 1.0


def pauses(longest_s: float) -> Iterator[float]:
    """Seconds to wait, without end: a short time at first, since much is done at once, then longer and longer.

    Args:
        longest_s: What no pause exceeds.
    """
    pause_s = min(_FIRST_S, longest_s)
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, longest_s)

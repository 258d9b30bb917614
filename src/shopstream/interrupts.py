"""Ctrl-C and SIGTERM as exceptions: a polite end is taken like Ctrl-C, so that what was started is ended in order.

They are classes of our own. Of KeyboardInterrupt itself CPython remembers that it went through `exec` of a text, as
dataclasses have it while they are imported. Then `python -m` ends by the signal, whoever has dealt with it
(`_Py_UnhandledKeyboardInterrupt`).
"""

from __future__ import annotations

import signal
from typing import NoReturn


class Interrupt(KeyboardInterrupt):
    """Ctrl-C."""


class Terminated(Interrupt):
    """SIGTERM: from somebody who will not wait long."""


def interrupt(number: int, _: object) -> NoReturn:
    """The handler of both signals."""
    raise (Terminated if number == signal.SIGTERM else Interrupt)(number)


def take() -> None:
    """Let both raise their exception; Ctrl-C only where it is not ignored, as a shell has it in the background."""
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)

"""The line with which the stand-in for AWS logs a call that it could not answer; written and read here."""

from __future__ import annotations

_MARK = "UNSUPPORTED "


def line(service: str, operation: str, why: str) -> str:
    """The log line of one such call.

    Args:
        service: As AWS calls it in its signatures, for example "lambda".
        operation: AWS's name of the operation, or method and path where it has none that is known.
        why: In one line, what the server said.
    """
    return f"{_MARK}{service}.{operation}: {' '.join(why.split())}"


def unsupported_in(log: str) -> list[str]:
    """The calls that a log tells of, each once, in order.

    Args:
        log: The text of the log.
    """
    return list(dict.fromkeys(each.removeprefix(_MARK) for each in log.splitlines() if each.startswith(_MARK)))

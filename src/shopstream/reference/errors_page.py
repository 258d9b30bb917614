"""docs/reference/errors.md: the tree of errors with what they mean, exit codes, and why a record cannot be used."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from shopstream import errors
from shopstream.errors import ShopstreamError, UsageError
from shopstream.reference import markdown
from shopstream.reference.meanings import REASONS
from shopstream.reference.reading import attributes_of, reasons, summary_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def tree() -> Iterator[tuple[int, type[ShopstreamError]]]:
    """Every error of `errors.py` and how far below the root it stands, in the order of the file."""

    def below(parent: type[ShopstreamError], depth: int) -> Iterator[tuple[int, type[ShopstreamError]]]:
        yield depth, parent
        for found in vars(errors).values():
            if inspect.isclass(found) and issubclass(found, ShopstreamError) and parent in found.__bases__:
                yield from below(found, depth + 1)

    return below(ShopstreamError, 0)


def render() -> str:
    """The page."""
    return markdown.page(
        "Errors and exit codes",
        "`src/shopstream/errors.py`, and from the places where a record is refused",
        "What shopstream raises on purpose is one of these. Its text is for the user: what was expected, what was "
        "found, what to do.",
        markdown.table(("error", "exit code", "what it means"), [_row(*found) for found in tree()]),
        "↳ is a kind of the error above it that stands further left. A kind that only one module knows is not listed: "
        "it counts as the error that it is derived from.",
        _attributes(),
        "## Exit codes",
        markdown.table(("code", "meaning"), _exit_codes()),
        "## Why a record cannot be used",
        "A `BadRecord` has one of these reasons. When it was a service that read the record, the record goes to the "
        "dead letters, with the reason [in its headers](events.md#dead-letters).",
        markdown.table(("reason", "meaning", "raised in"), _reasons()),
    )


def _row(depth: int, error: type[ShopstreamError]) -> tuple[str, str, str]:
    name = f"{'&emsp;' * (depth - 1)}{'↳ ' if depth else ''}`{error.__name__}`"
    return name, str(error.exit_code), summary_of(error)


def _attributes() -> str:
    rows = [
        (f"`{error.__name__}.{name}`", meaning) for _, error in tree() for name, meaning in attributes_of(error).items()
    ]
    return markdown.table(("attribute", "what it holds"), rows)


def _exit_codes() -> list[tuple[str, str]]:
    from shopstream.cli.main import EXIT_INTERRUPTED

    return [
        ("0", "all is well"),
        (str(ShopstreamError.exit_code), "the check failed, or the work did"),
        (str(UsageError.exit_code), "wrong use: an unknown option, an unusable argument or file"),
        (str(EXIT_INTERRUPTED), "interrupted by Ctrl-C or SIGTERM"),
    ]


def _reasons() -> list[tuple[str, str, str]]:
    return [(f"`{reason}`", REASONS[reason], markdown.code(modules)) for reason, modules in reasons().items()]

"""How the results look on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shopstream.aws.confirm import Line
    from shopstream.aws.leftovers import Inventory


def checklist(lines: Iterable[Line]) -> Iterator[str]:
    """The check after a deployment, one line for each thing."""
    lines = list(lines)
    width = max((len(line.what) for line in lines), default=0)
    for line in lines:
        mark = "ok  " if line.ok else "MISS" if line.found == "missing" else "DIFF"
        wanted = "" if line.ok else f"   <- expected: {line.wanted}"
        yield f"{mark}  {line.what.ljust(width)}  {line.found}{wanted}"
    wrong = sum(not line.ok for line in lines)
    yield f"{len(lines)} things looked at, " + (f"{wrong} missing or different" if wrong else "all as they shall be")


def inventory(found: Inventory) -> Iterator[str]:
    """What is there, what goes away by itself, and what could not be asked."""
    kinds = [each.kind for each in found.found] + [each.kind for each in found.unasked]
    width = max(map(len, kinds), default=0)
    for each in found.left:
        yield f"is there     {each.kind.ljust(width)}  {each.identity}" + (f"  ({each.detail})" if each.detail else "")
    for each in found.ending:
        yield f"ends itself  {each.kind.ljust(width)}  {each.identity}  ({each.ends})"
    for kind, reason in found.unasked:
        yield f"not asked    {kind.ljust(width)}  {reason}"

"""All files of the reference: made, written, and compared with what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shopstream.reference import (
    asyncapi,
    commands,
    errors_page,
    events_page,
    flow,
    markdown,
    meanings,
    schema,
    topology_page,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from shopstream.topology import Topology


class Stale(NamedTuple):
    """A file that is not what it should be, and why."""

    path: Path
    why: str


def render(topology: Topology) -> dict[str, str]:
    """The text of every file of the reference, by its name.

    Raises:
        ShopstreamError: A field or a reason is not explained in `meanings.py`.
    """
    meanings.check(schema.shown_fields())
    seen = flow.observe(topology)
    return {
        "cli.md": commands.render(),
        "topology.md": topology_page.render(topology),
        "events.md": events_page.render(topology, seen),
        "errors.md": errors_page.render(),
        "events.schema.json": markdown.pretty(schema.document(tuple(seen.kinds.values()))) + "\n",
        "asyncapi.json": asyncapi.render(topology, seen),
    }


def stale(folder: Path, pages: Mapping[str, str]) -> list[Stale]:
    """The files of the folder that are missing, differ from the pages, or are none of them, sorted by name."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    found = []
    for name in sorted(pages.keys() | there):
        path = folder / name
        if name not in there:
            found.append(Stale(path, "is missing"))
        elif name not in pages:
            found.append(Stale(path, "is not a page of the reference"))
        elif path.read_bytes() != pages[name].encode():
            found.append(Stale(path, "is stale"))
    return found


def write(folder: Path, pages: Mapping[str, str]) -> list[Path]:
    """Bring the folder to the pages. Returns what was written or removed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = stale(folder, pages)
    for path, _ in changed:
        if path.name in pages:
            path.write_bytes(pages[path.name].encode())
        else:
            path.unlink()
    return [path for path, _ in changed]

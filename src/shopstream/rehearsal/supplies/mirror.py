"""Which Debian mirror to use: the one that this machine's own apt sources name, or one named in the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shopstream.errors import RehearsalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RELEASE = "bookworm"
VARIABLE = "SHOPSTREAM_DEBIAN_MIRROR"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SUITES = (RELEASE, f"{RELEASE}-updates", f"{RELEASE}-security")
_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)$")


@dataclass(frozen=True)
class Source:
    """One suite of a repository, with `main` among its components."""

    uri: str
    suite: str

    def line(self) -> str:
        """As sources.list takes it."""
        return f"deb [signed-by={KEYRING}] {self.uri} {self.suite} main\n"


def sources(apt: Path) -> tuple[Source, ...]:
    """The sources of the release that the guests run, the release's own suite first.

    Args:
        apt: apt's configuration directory, /etc/apt.

    Raises:
        RehearsalError: None is named.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return (Source(named, RELEASE),)
    found = {source.suite: source for source in reversed([*_named(apt)])}
    if RELEASE not in found:
        raise RehearsalError(
            f"{apt}: expected a source of Debian's {RELEASE} with the component main, found none: "
            f"name a mirror in {VARIABLE}, for example the address that debootstrap would use"
        )
    return tuple(found[suite] for suite in _SUITES if suite in found)


def _named(apt: Path) -> Iterator[Source]:
    directory = apt / "sources.list.d"
    for path in (apt / "sources.list", *sorted(directory.glob("*.list"))):
        if path.is_file():
            yield from _of_lines(path.read_text(encoding="utf-8"))
    for path in sorted(directory.glob("*.sources")):
        yield from _of_stanzas(path.read_text(encoding="utf-8"))


def _of_lines(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = _ONE_LINE.match(line.partition("#")[0].strip())
        if match and match["suite"] in _SUITES and "main" in match["components"].split():
            yield Source(match["uri"], match["suite"])


def _of_stanzas(text: str) -> Iterator[Source]:
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, list[str]] = {}
        last = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if not line[:1].isspace():
                last, _, line = line.partition(":")
            fields.setdefault(last.strip().lower(), []).extend(line.split())
        usable = "deb" in fields.get("types", []) and fields.get("enabled") != ["no"]
        if usable and "main" in fields.get("components", []):
            for suite in fields.get("suites", []):
                if suite in _SUITES:
                    yield Source(fields["uris"][0], suite)

"""What Ansible's default output tells: which tasks ran, and which of them changed something. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TITLE = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.*)\] \**$")
_DONE = re.compile(r"^(ok|changed|fatal|failed|skipping|included): ?\[?([^\]]*)")


def tasks(text: str) -> tuple[set[str], set[str]]:
    """The titles of tasks that ran on a host, and of those that were skipped on all."""
    ran: set[str] = set()
    met: set[str] = set()
    for title, word, _ in _outcomes(text):
        met.add(title)
        if word not in {"", "skipping"}:
            ran.add(title)
    return ran, met - ran


def changes(text: str) -> dict[str, list[str]]:
    """The titles of tasks that changed something, each with the hosts where they did."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for title, word, host in _outcomes(text):
        if word == "changed" and host not in found[title]:
            found[title].append(host)
    return {title: hosts for title, hosts in found.items() if hosts}


def _outcomes(text: str) -> Iterator[tuple[str, str, str]]:
    """Title, outcome and host, line by line; the outcome is "" where a title is first met."""
    title = ""
    for line in text.splitlines():
        if found := _TITLE.match(line):
            title = found[1]
            yield title, "", ""
        elif title and (said := _DONE.match(line)):
            yield title, said[1], said[2].partition(" ")[0]

"""The little Markdown that the reference pages are made of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def page(title: str, source: str, *parts: str) -> str:
    """A whole page: its title, what it is made from, and its parts with an empty line between two."""
    made = f"Made by `python scripts/reference.py` from {source}. Do not edit it: change what it is made from."
    return "\n\n".join((f"# {title}", made, *(part.strip("\n") for part in parts))) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. A `|` in a cell does not end it."""
    lines = [_row(head), _row(["---"] * len(head))]
    lines += [_row([cell.replace("|", "\\|").replace("\n", " ") for cell in row]) for row in rows]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def facts(rows: Mapping[str, str]) -> str:
    """A table without a head: names, and what there is to say of each. What is '' is left out."""
    return table(("", ""), [row for row in rows.items() if row[1]])


def fence(text: str, language: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def code(names: Iterable[str]) -> str:
    """Names as code, separated by commas; '' when there are none."""
    return ", ".join(f"`{name}`" for name in names)


def link(name: str) -> str:
    """A name as code that leads to the heading of that name on the same page."""
    return f"[`{name}`](#{anchor(name)})"


def anchor(heading: str) -> str:
    """How GitHub and others call the place of a heading: lower case, dashes for spaces, no punctuation."""
    kept = "".join(letter for letter in heading.strip().lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def sentence(text: str) -> str:
    """A few words as a sentence: with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def pretty(data: Any) -> str:
    """JSON for people: two spaces, letters as they are, keys in their order."""
    return json.dumps(data, indent=2, ensure_ascii=False)

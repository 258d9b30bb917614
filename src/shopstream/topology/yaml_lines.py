"""YAML with line numbers: typed access to mappings, and a list of problems that each name their line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from shopstream.errors import TopologyError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRUTH = {"true": True, "false": False}


@dataclass
class Problems:
    """What is wrong with a file, in the order of its lines."""

    source: str
    found: set[tuple[int, str]] = field(default_factory=set)

    def add(self, line: int, what: str, remedy: str) -> None:
        """Note a problem on a line (from 1) and how to mend it."""
        self.found.add((line, f"{self.source}:{line}: {what}: {remedy}"))

    def stop_if_any(self) -> None:
        """Raise everything that was found, one line each.

        Raises:
            TopologyError: Something was found.
        """
        if self.found:
            raise TopologyError("\n".join(text for _, text in sorted(self.found)))


class Block:
    """A YAML mapping whose values are read by type. What does not fit becomes a problem, and a neutral value."""

    def __init__(self, node: yaml.MappingNode | None, line: int, problems: Problems) -> None:
        self._problems = problems
        self._line = line
        self._lines: dict[str, int] = {}
        self._nodes: dict[str, yaml.Node] = {}
        for key, value in node.value if node else ():
            name, line = str(key.value), key.start_mark.line + 1
            if name in self._nodes:
                problems.add(
                    line,
                    f"{name!r} is declared twice",
                    f"remove one (the first is on line {self._lines[name]})",
                )
                continue
            self._lines[name] = line
            self._nodes[name] = value

    def __iter__(self) -> Iterator[str]:
        """The keys, in the order of the file."""
        return iter(self._nodes)

    def __contains__(self, key: str) -> bool:
        """Whether the file has this key."""
        return key in self._nodes

    def problem(self, key: str | None, what: str, remedy: str) -> None:
        """Note a problem at a key's line, or at the block's own."""
        self._problems.add(self._lines.get(key, self._line) if key else self._line, what, remedy)

    def only(self, *allowed: str) -> None:
        """Every other key is a problem: a misspelt one would be ignored in silence."""
        for key in self._nodes:
            if key not in allowed:
                self.problem(key, f"unknown key {key!r}", f"use one of: {', '.join(allowed)}")

    def block(self, key: str, *, required: bool = False) -> Block:
        """The mapping under a key; an empty one if it is missing or null."""
        node = self._nodes.get(key)
        if isinstance(node, yaml.MappingNode):
            return Block(node, self._lines[key], self._problems)
        empty = node is None or (isinstance(node, yaml.ScalarNode) and node.value in {"", "null", "~"})
        if required and empty:
            self.problem(key, f"{key!r} is missing or empty", "add it")
        elif not empty:
            self.problem(key, f"{key!r} is not a mapping", "indent its entries below it, as `name: value`")
        return Block(None, self._lines.get(key, self._line), self._problems)

    def _scalar(self, key: str, expected: str) -> str | None:
        node = self._nodes.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.ScalarNode):
            self.problem(key, f"{key!r} is not {expected}", f"write {expected}")
            return None
        return str(node.value)

    def text(self, key: str, *, required: bool = False) -> str:
        """The text under a key, '' if there is none."""
        value = self._scalar(key, "a text")
        if required and not value:
            self.problem(key, f"{key!r} is missing", "add it")
        return value or ""

    def is_text(self, key: str, expected: str) -> bool:
        """Whether just this word stands under the key."""
        node = self._nodes.get(key)
        return isinstance(node, yaml.ScalarNode) and node.value == expected

    def integer(self, key: str) -> int | None:
        """The positive whole number under a key, None if there is none."""
        value = self._scalar(key, "a whole number above 0")
        if value is None:
            return None
        if not value.isdecimal() or int(value) < 1:
            self.problem(key, f"{key!r} is {value!r}", "write a whole number above 0")
            return None
        return int(value)

    def flag(self, key: str) -> bool:
        """The truth value under a key, False if there is none."""
        value = self._scalar(key, "true or false")
        if value is None:
            return False
        if value.lower() not in _TRUTH:
            self.problem(key, f"{key!r} is {value!r}", "write true or false")
        return _TRUTH.get(value.lower(), False)

    def names(self, key: str) -> tuple[str, ...]:
        """The list of names under a key, empty if there is none; one that stands twice is a problem."""
        node = self._nodes.get(key)
        if node is None:
            return ()
        if not isinstance(node, yaml.SequenceNode) or not all(isinstance(n, yaml.ScalarNode) for n in node.value):
            self.problem(key, f"{key!r} is not a list of names", "write it as [a, b]")
            return ()
        names: list[str] = []
        for item in node.value:
            if item.value in names:
                self._problems.add(item.start_mark.line + 1, f"{item.value!r} stands twice in {key!r}", "remove one")
            else:
                names.append(item.value)
        return tuple(names)

    def scalars(self, key: str) -> dict[str, Any]:
        """The mapping of names to numbers, texts or truth values under a key."""
        options: dict[str, Any] = {}
        block = self.block(key)
        for name, node in block._nodes.items():  # noqa: SLF001 - another instance of this very class
            value = yaml.safe_load(yaml.serialize(node))
            if isinstance(value, int | float | str | bool):
                options[name] = value
            else:
                block.problem(name, f"{name!r} is not a number, a text, true or false", "write one of these")
        return options


def read_yaml(text: str, problems: Problems) -> Block:
    """The mapping at the root of a YAML text.

    Raises:
        TopologyError: It is not YAML, or not a mapping.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = str(getattr(error, "problem", None) or error)
        problems.add(mark.line + 1 if mark else 1, f"not valid YAML: {what}", "mend the syntax")
        node = None
    else:
        if not isinstance(node, yaml.MappingNode):
            problems.add(1, "the file holds no mapping", "begin with `topics:`, `services:` and `operators:`")
    problems.stop_if_any()
    return Block(node if isinstance(node, yaml.MappingNode) else None, 1, problems)

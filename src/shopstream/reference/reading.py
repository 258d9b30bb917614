"""What the sources say of themselves: docstrings, and the reasons for which a record is refused."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import shopstream

_ATTRIBUTES = "\n\nAttributes:\n"


def summary_of(thing: type) -> str:
    """What a class's docstring says before its list of attributes, as one paragraph."""
    return " ".join((inspect.getdoc(thing) or "").partition(_ATTRIBUTES)[0].split())


def title_of(thing: type) -> str:
    """The first sentence of a class's docstring, without its full stop."""
    return summary_of(thing).partition(". ")[0].rstrip(".")


def attributes_of(thing: type) -> dict[str, str]:
    """What a class's own docstring says of each attribute, in Google's style; empty where it lists none."""
    told: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(thing.__doc__ or "").partition(_ATTRIBUTES)[2].splitlines():
        if not line.startswith("    "):
            break
        if line.startswith("     "):
            told[name] += f" {line.strip()}"
        else:
            name, _, meaning = line.strip().partition(": ")
            told[name] = meaning
    return told


def reasons(package: Path = Path(shopstream.__file__).parent) -> dict[str, tuple[str, ...]]:
    """Every reason that the sources give a `BadRecord`, with the modules that give it, sorted."""
    found: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "BadRecord(" not in text:
            continue
        module = ".".join((package.name, *path.relative_to(package).with_suffix("").parts))
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "BadRecord"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                found.setdefault(str(node.args[0].value), set()).add(module)
    return {reason: tuple(sorted(modules)) for reason, modules in sorted(found.items())}

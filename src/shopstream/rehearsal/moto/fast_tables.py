"""The same answers of DynamoDB in half the time.

moto: parses an update expression three times a request, copies its tree with `copy.deepcopy`, asks `isinstance` of an
abstract class for every node and every pass, and lists the directory of its own package and the methods of a class
anew for each request.

Here: trees are parsed once and copied by hand, the classes of nodes are looked up, the lists are made once. Nothing is
left out: the validators that see a tree see the same tree.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from moto import backends
from moto.core import responses
from moto.dynamodb.parsing import ast_nodes, expressions

from shopstream.rehearsal.moto.patching import around, replaced

if TYPE_CHECKING:
    from collections.abc import Callable

_TREES: Any = ast_nodes  # moto has no types for them
_PARSERS: Any = expressions
_KEPT_EXPRESSIONS = 1000

# What is known of the classes of nodes, of which there are a few dozen.
_CLAUSES: dict[Any, bool] = {}
_NODES: dict[Any, bool] = {}
_HANDLED: dict[tuple[tuple[Any, ...], Any], Any] = {}


def apply() -> None:
    """Speed up moto's tables."""
    replaced(_TREES.Node, "__deepcopy__", _copy)
    replaced(_TREES.Node, "find_clauses", _find)
    replaced(_TREES.DepthFirstTraverser, "traverse_node_recursively", _traverse)
    modules = tuple(backends.list_of_moto_modules())
    replaced(backends, "list_of_moto_modules", lambda: modules)
    around(responses, "method_names_from_class", cache(lambda original, kind: original(kind)))
    parsed: dict[str, Any] = {}

    def make(original: Callable[[str], Any], text: str) -> Any:
        # Whoever changes a tree copies it first: the validators do.
        tree = parsed.get(text)
        if tree is None:
            tree = original(text)
            if len(parsed) < _KEPT_EXPRESSIONS:
                parsed[text] = tree
        return tree

    around(_PARSERS.UpdateExpressionParser, "make", make)


def _copy(node: Any, memo: dict[int, Any]) -> Any:
    """A copy of a tree. What is not a node is text or a number, and is shared."""
    del memo
    twin = object.__new__(type(node))
    twin.__dict__.update(node.__dict__)
    twin.parent = None
    if node.children is not None:
        twin.children = [_copy(child, {}) if isinstance(child, _TREES.Node) else child for child in node.children]
        for child in twin.children:
            if isinstance(child, _TREES.Node):
                child.parent = twin
    return twin


def _has_clauses(kind: Any) -> bool:
    """Whether a class's objects may have clauses among their children."""
    known = _CLAUSES.get(kind)
    if known is None:
        known = _CLAUSES[kind] = issubclass(kind, _TREES.Expression | _TREES.UpdateExpressionFunction)
    return known


def _is_node(kind: Any) -> bool:
    known = _NODES.get(kind)
    if known is None:
        known = _NODES[kind] = issubclass(kind, _TREES.Node)
    return known


def _find(node: Any, kinds: list[type]) -> list[Any]:
    found: list[Any] = []
    for child in node.children or ():
        kind = type(child)
        if kind in kinds:
            found.append(child)
        elif _has_clauses(kind):
            found.extend(_find(child, kinds))
    return found


def _handled(handled: tuple[Any, ...], kind: Any) -> Any:
    """The class by which a traverser handles a node, or None. The first that fits, as in moto."""
    key = (handled, kind)
    if key not in _HANDLED:
        _HANDLED[key] = next((each for each in handled if issubclass(kind, each)), None)
    return _HANDLED[key]


def _traverse(traverser: Any, node: Any, child_id: int = -1) -> Any:
    if not _is_node(type(node)):
        return node
    processors = traverser.__dict__.get("processors")
    if processors is None:
        processors = traverser.__dict__["processors"] = traverser._processing_map()  # noqa: SLF001 - moto's own
    parent = node.parent
    if node.children is not None:
        for position, child in enumerate(node.children):
            traverser.pre_processing_of_child(node, position)
            _traverse(traverser, child, position)
    kind = _handled(tuple(processors), type(node))
    if kind is not None:
        node = processors[kind](node)
        node.parent = parent
        if parent:
            parent.children[child_id] = node
    return node

"""The JSON Schema of the events, as msgspec derives it from their types, with what each field means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from shopstream.events import EVENT_TYPES, Address, Customer, Event, Line
from shopstream.reference.meanings import meaning_of
from shopstream.reference.reading import summary_of
from shopstream.runs import Run

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

PARTS: tuple[type, ...] = (Customer, Address, Line)
"""What events are made of."""

LOCAL = "#/$defs/{name}"
"""How a schema of `document` refers to another one."""

COMMON = ("event_type", *Event.__struct_fields__)
"""The fields that every event has, in their sequence."""


def components(kinds: Iterable[type], ref_template: str = LOCAL) -> dict[str, Any]:
    """The schema of each type and of what it is made of, by the type's name.

    Args:
        kinds: Structs.
        ref_template: How a schema refers to another one, with `{name}` in it.
    """
    kinds = tuple(kinds)
    by_name = {kind.__name__: kind for kind in (*kinds, *PARTS)}
    made: dict[str, Any] = msgspec.json.schema_components(kinds, ref_template=ref_template)[1]
    for name, schema in made.items():
        schema["description"] = summary_of(by_name[name])
        for field, of_field in schema["properties"].items():
            # Beside a reference, some readers of JSON Schema ignore everything.
            meaning = meaning_of(by_name[name], field)
            if meaning and "$ref" not in of_field:
                of_field["description"] = meaning
    return made


def document(kinds: Collection[type[Event]]) -> dict[str, Any]:
    """One schema for all events: a value is valid if it is one of them.

    Args:
        kinds: Their types.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": "Made by `python scripts/reference.py` from src/shopstream/events/model.py.",
        "title": "The events of shopstream",
        "description": "The value of a record on a topic with events. Unknown fields are to be ignored.",
        "oneOf": [{"$ref": LOCAL.format(name=kind.__name__)} for kind in kinds],
        "$defs": components(kinds),
    }


def shown_fields() -> dict[type, tuple[str, ...]]:
    """The fields of every type that the pages show."""
    made = components((*EVENT_TYPES.values(), Run))
    kinds = (*EVENT_TYPES.values(), *PARTS, Run)
    return {kind: tuple(made[kind.__name__]["properties"]) for kind in kinds}


def in_words(schema: dict[str, Any]) -> str:
    """A field's type and limits in words, with a link to the type where it is one of the shop's."""
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return f"[{name}](#{name.lower()})"
    if "enum" in schema:
        return " or ".join(f"`{msgspec.json.encode(value).decode()}`" for value in schema["enum"])
    kind = str(schema["type"])
    if kind == "array":
        count = _between(schema.get("minItems", 0), schema.get("maxItems"))
        return f"array of {count}: {in_words(schema['items'])}"
    if kind == "string":
        if schema.get("format") == "date-time":
            return "string: a time with its offset from UTC, RFC 3339"
        low, high = schema.get("minLength", 0), schema.get("maxLength")
        return f"string of {_between(low, high)} characters" if high else "string"
    if "exclusiveMinimum" in schema:
        return f"{kind} above {schema['exclusiveMinimum']:,}"
    if "minimum" in schema:
        return f"{kind}, {_between(schema['minimum'], schema.get('maximum'))}"
    return kind


def _between(low: int, high: int | None) -> str:
    if high is None:
        return f"{low:,} or more"
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"

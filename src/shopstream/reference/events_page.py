"""docs/reference/events.md: every event type, field by field, who writes and reads it, and a real one of each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from shopstream import deadletter
from shopstream.events import EVENT_TYPES, MAX_EVENT_BYTES
from shopstream.reference import flow, markdown
from shopstream.reference.markdown import code, facts, fence, table
from shopstream.reference.meanings import meaning_of
from shopstream.reference.reading import summary_of
from shopstream.reference.schema import COMMON, PARTS, components, in_words
from shopstream.reference.topology_page import audience
from shopstream.runs import Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from shopstream.events import Event
    from shopstream.topology import Topology

HEADERS = {
    deadletter.REASON: "why it could not be used, a short constant",
    deadletter.DETAIL: "what exactly is wrong, for people",
    deadletter.SERVICE: "the service that could not use it",
    deadletter.TOPIC: "the topic that it stood on",
    deadletter.PARTITION: "its partition there",
    deadletter.OFFSET: "its offset there",
    deadletter.TIMESTAMP: "its Kafka timestamp, in milliseconds since 1970",
}
"""The headers that a dead letter gets behind its own, each a text in UTF-8."""


class Readers(NamedTuple):
    """The services that read an event type's topic.

    Attributes:
        answering: Those that write something after an event of this type.
        ignoring: Those that do not.
    """

    answering: tuple[str, ...]
    ignoring: tuple[str, ...]


def readers(topology: Topology, seen: flow.Flow, event_type: str) -> Readers:
    """Who reads an event type, by what was seen."""
    consumers = audience(topology, topology.topic_of[event_type]).readers
    answering = tuple(name for name in consumers if event_type in seen.answers[name])
    return Readers(answering, tuple(name for name in consumers if name not in answering))


def render(topology: Topology, seen: flow.Flow) -> str:
    """The page. `seen` is what a few orders led to."""
    schemas = components((*seen.kinds.values(), Run))
    of_all = {field: schemas["OrderPlaced"]["properties"][field] for field in COMMON}
    of_all["event_type"] = {"type": "string"}
    return markdown.page(
        "Events",
        "`src/shopstream/events/model.py`, from [topology.yaml](../../topology.yaml), and from what the services made "
        "of a few orders",
        f"The value of a record is one event: JSON in UTF-8 without spaces, at most {MAX_EVENT_BYTES:,} bytes. Its key "
        "is the `order_id`. A reader ignores fields that it does not know. Amounts are whole numbers of minor units "
        "(cents). The same as JSON Schema: [events.schema.json](events.schema.json); with topics, services and headers "
        "as AsyncAPI: [asyncapi.json](asyncapi.json).",
        _overview(topology, seen),
        "## What every event has",
        _fields(EVENT_TYPES["order_placed"], {"properties": of_all, "required": COMMON}),
        *(_event(topology, seen, kind, schemas[kind.__name__]) for kind in seen.kinds.values()),
        *(f"## {kind.__name__}\n\n{summary_of(kind)}\n\n{_fields(kind, schemas[kind.__name__])}" for kind in PARTS),
        "## Headers",
        "Workers write events without headers. A Lambda function hands the header `traceparent` (W3C Trace Context) of "
        "a record on to what follows from it, if it is valid.",
        *_dead_letters(topology),
        *_bookkeeping(topology, seen, schemas["Run"]),
    )


def _overview(topology: Topology, seen: flow.Flow) -> str:
    rows = []
    for name in seen.kinds:
        topic = topology.topic_of[name]
        written = code(audience(topology, topic).writers)
        rows.append((markdown.link(name), f"`{topic}`", written, *map(code, readers(topology, seen, name))))
    return table(("event", "topic", "written by", "answered by", "read and ignored by"), rows)


def _fields(kind: type, schema: Mapping[str, Any], without: Iterable[str] = ()) -> str:
    rows = []
    for name, of_field in schema["properties"].items():
        if name not in without:
            missing = "" if name in schema["required"] else "; may be missing"
            rows.append((f"`{name}`", in_words(of_field) + missing, meaning_of(kind, name)))
    return table(("field", "type", "meaning"), rows)


def _event(topology: Topology, seen: flow.Flow, kind: type[Event], schema: Mapping[str, Any]) -> str:
    name = kind.event_type
    topic = topology.topic_of[name]
    read_by = readers(topology, seen, name)
    who = {
        "topic": f"[`{topic}`](topology.md#{markdown.anchor(topic)})",
        "written by": code(audience(topology, topic).writers),
        "answered by": code(read_by.answering),
        "read and ignored by": code(read_by.ignoring),
    }
    parts = [f"## {name}", summary_of(kind), facts(who), _fields(kind, schema, COMMON)]
    if name in seen.examples:
        parts.append(fence(markdown.pretty(json.loads(seen.examples[name].value or b"")), "json"))
    return "\n\n".join(parts)


def _dead_letters(topology: Topology) -> list[str]:
    letter = flow.dead_letter(topology)
    rows = [(f"`{name}`", HEADERS[name], f"`{(value or b'').decode()}`") for name, value in letter.headers]
    about = (
        f"`{topology.dead_letters}` has the records that a service could not use: key, value and headers as they were, "
        "with these headers behind. There is one for each service that could not use the record. "
        "[What the reasons mean](errors.md#why-a-record-cannot-be-used)."
    )
    return ["## Dead letters", about, table(("header", "what it tells", "for example"), rows)]


def _bookkeeping(topology: Topology, seen: flow.Flow, run: Mapping[str, Any]) -> list[str]:
    parts = ["## State and progress"]
    for service in topology.processors:
        if service.state:
            halves = code(kind for kind in EVENT_TYPES if kind in seen.waits[service.name])
            parts.append(
                f"`{service.state}` is the state of `{service.name}`: what of {halves} came first, until the order's "
                "other half comes. The key is the order's id. A record without a value says that the order is decided."
            )
    parts.append(
        f"`{topology.source.progress}` tells how far `{topology.source.name}` has come. The key is the run's id."
    )
    return [*parts, _fields(Run, run), fence(markdown.pretty(flow.progress_data()), "json")]

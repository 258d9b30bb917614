"""docs/reference/asyncapi.json: the whole shop as an AsyncAPI 3.0 document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from shopstream.cluster.layout import DEFAULT_PORT
from shopstream.events import EVENT_TYPES, SCHEMA_VERSION
from shopstream.reference import flow, markdown
from shopstream.reference.events_page import HEADERS, readers
from shopstream.reference.reading import summary_of, title_of
from shopstream.reference.schema import components
from shopstream.runs import Run

if TYPE_CHECKING:
    from shopstream.topology import Service, Topic, Topology

_KAFKA = "0.5.0"  # the version of AsyncAPI's Kafka bindings
_SCHEMA = "#/components/schemas/{name}"
_JSON = "application/json"

Json = dict[str, Any]


def document(topology: Topology, seen: flow.Flow) -> Json:
    """The document. `seen` is what a few orders led to; its records are the examples."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "shopstream",
            "version": str(SCHEMA_VERSION),
            "description": (
                "A simulated web shop on Apache Kafka. This document describes all its services at once: an operation "
                "belongs to the service that its tag names, which logs in as the user of that name. The version is "
                "the one of the events. Made by `python scripts/reference.py` from topology.yaml and the events' types."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": name} for name in topology.services],
        },
        "defaultContentType": _JSON,
        "servers": _servers(),
        "channels": {topic.name: _channel(topology, topic) for topic in topology.topics.values()},
        "operations": _operations(topology, seen),
        "components": {
            "messages": _messages(topology, seen),
            "schemas": _schemas(seen),
            "securitySchemes": {
                "scram": {
                    "type": "scramSha512",
                    "description": "Each service and each operator is a user of its own.",
                }
            },
            "correlationIds": {"order": {"description": "The order.", "location": "$message.payload#/order_id"}},
        },
    }


def render(topology: Topology, seen: flow.Flow) -> str:
    """The document's text."""
    return markdown.pretty(document(topology, seen)) + "\n"


def messages_of(topology: Topology, topic: str) -> tuple[str, ...]:
    """The names of a topic's messages: its event types, or one name for what else stands on it."""
    if events := topology.topics[topic].all_events:
        return events
    return ("dead_letter" if topic == topology.dead_letters else f"{topic}_record",)


def _ref(*path: str) -> Json:
    return {"$ref": "#/" + "/".join(path)}


def _bindings(**kafka: Any) -> Json:
    return {"kafka": {**kafka, "bindingVersion": _KAFKA}}


def _servers() -> Json:
    from shopstream.aws.clients import OPERATORS_PORT, SERVICES_PORT

    common = {"protocol": "kafka-secure", "security": [_ref("components", "securitySchemes", "scram")]}
    return {
        "local": {
            "host": f"127.0.0.1:{DEFAULT_PORT}",
            **common,
            "title": "The Kafka of `shopstream up`",
            "description": (
                "SASL_SSL with SCRAM-SHA-512 on loopback, one broker, or three on ports that follow. `shopstream env` "
                "says where it really is, and where each user's client properties lie."
            ),
        },
        "aws": {
            "host": f"{{broker}}:{SERVICES_PORT}",
            **common,
            "title": "The brokers on AWS",
            "description": (
                f"SASL_SSL with SCRAM-SHA-512. This port is for services; operators have {OPERATORS_PORT}. "
                "`python -m shopstream.aws clients` writes each user's client properties."
            ),
            "variables": {
                "broker": {"description": "A broker's private address, of Terraform's output `kafka_private_ips`."}
            },
        },
    }


def _channel(topology: Topology, topic: Topic) -> Json:
    config: Json = {key: int(value) if value.lstrip("-").isdigit() else value for key, value in topic.config.items()}
    config["cleanup.policy"] = [topic.config["cleanup.policy"]]
    return {
        "address": topic.name,
        "description": markdown.sentence(topic.about),
        "messages": {name: _ref("components", "messages", name) for name in messages_of(topology, topic.name)},
        "bindings": _bindings(partitions=topic.partitions, replicas=topic.replication, topicConfiguration=config),
    }


def _operations(topology: Topology, seen: flow.Flow) -> Json:
    made: Json = {}
    for service in topology.services.values():
        for topic in service.reads:
            made[f"{service.name}_receives_{topic}"] = _receive(topology, seen, service, topic)
        for topic in service.writes:
            made[f"{service.name}_sends_{topic}"] = _send(topology, service, topic)
    return made


def _operation(topology: Topology, service: Service, topic: str, action: str, about: str) -> Json:
    return {
        "action": action,
        "channel": _ref("channels", topic),
        "title": f"{service.name} {action}s {topic}",
        **({"description": about} if about else {}),
        "tags": [{"name": service.name}],
        "messages": [_ref("channels", topic, "messages", name) for name in messages_of(topology, topic)],
    }


def _receive(topology: Topology, seen: flow.Flow, service: Service, topic: str) -> Json:
    about = "Its own records, to go on from after a start. As a worker only."
    if topic in service.consumes:
        kinds = topology.topics[topic].events
        ignored = [kind for kind in kinds if service.name in readers(topology, seen, kind).ignoring]
        about = f"Ignores {', '.join(ignored)}." if ignored else ""
    made = _operation(topology, service, topic, "receive", about)
    groups = [service.group, *(source.group for source in service.event_sources if source.topic == topic)]
    if topic in service.consumes:
        made["bindings"] = _bindings(
            groupId={
                "type": "string",
                "enum": groups,
                "description": "As workers; as a Lambda function, through an event source mapping.",
            }
        )
    return made


def _send(topology: Topology, service: Service, topic: str) -> Json:
    about = ""
    if topic == service.dead_letters:
        about = "What it cannot use of the records that it receives."
    elif topic not in service.produces:
        about = "Its own records, in the transaction of what they belong to. As a worker only."
    made = _operation(topology, service, topic, "send", about)
    made["bindings"] = _bindings(
        clientId={
            "type": "string",
            "pattern": f"^{service.transactional_id_prefix}([0-9]+|lambda)$",
            "description": "A worker's, which is its transactional id, too; or the Lambda function's.",
        }
    )
    return made


def _messages(topology: Topology, seen: flow.Flow) -> Json:
    key = {**components([EVENT_TYPES["order_placed"]])["OrderPlaced"]["properties"]["order_id"]}
    made: Json = {}
    for name, kind in seen.kinds.items():
        made[name] = {
            "name": name,
            "title": title_of(kind),
            "summary": summary_of(kind),
            "contentType": _JSON,
            "correlationId": _ref("components", "correlationIds", "order"),
            "headers": _ref("components", "schemas", "EventHeaders"),
            "payload": _ref("components", "schemas", kind.__name__),
            "bindings": _bindings(key=key),
        }
        if name in seen.examples:
            made[name]["examples"] = [{"name": "example", "payload": json.loads(seen.examples[name].value or b"")}]
    made |= _bookkeeping(topology, seen, key)
    letter = flow.dead_letter(topology)
    (name,) = messages_of(topology, topology.dead_letters)
    made[name] = {
        "name": name,
        "title": "A record that a service could not use",
        "summary": "Key, value and headers as they were, with the reason and the origin in more headers.",
        "contentType": "application/octet-stream",
        "headers": _ref("components", "schemas", "DeadLetterHeaders"),
        "payload": {"description": "Whatever the record held; it need not be JSON, and may be nothing."},
        "bindings": _bindings(key={"type": ["string", "null"], "description": "The record's key, if it had one."}),
        "examples": [
            {
                "name": "an order that was cut off",
                "headers": {header: (value or b"").decode() for header, value in letter.headers},
                "payload": (letter.value or b"").decode(),
            }
        ],
    }
    return made


def _bookkeeping(topology: Topology, seen: flow.Flow, key: Json) -> Json:
    made: Json = {}
    for service in topology.services.values():
        if service.state:
            (name,) = messages_of(topology, service.state)
            waiting = next(kind for kind in EVENT_TYPES if kind in seen.waits[service.name])
            made[name] = {
                "name": name,
                "title": f"What {service.name} has of an order that waits",
                "summary": "The half that came first; no value when the order is decided.",
                "contentType": _JSON,
                "payload": _ref("components", "schemas", "WaitingHalf"),
                "bindings": _bindings(key=key),
                "examples": [{"name": "example", "payload": json.loads(seen.examples[waiting].value or b"")}],
            }
        if service.progress:
            (name,) = messages_of(topology, service.progress)
            made[name] = {
                "name": name,
                "title": title_of(Run),
                "summary": f"Of {service.name}, in the transaction of the orders that it counts.",
                "contentType": _JSON,
                "payload": _ref("components", "schemas", "Run"),
                "bindings": _bindings(key={"type": "string", "description": "The run's id."}),
                "examples": [{"name": "example", "payload": flow.progress_data()}],
            }
    return made


def _schemas(seen: flow.Flow) -> Json:
    waiting = {kind for kinds in seen.waits.values() for kind in kinds}
    halves = [_ref("components", "schemas", kind.__name__) for name, kind in EVENT_TYPES.items() if name in waiting]
    return {
        **components((*seen.kinds.values(), Run), _SCHEMA),
        "WaitingHalf": {"oneOf": [*halves, {"type": "null"}]},
        "EventHeaders": {
            "type": "object",
            "description": "The workers write none.",
            "properties": {
                "traceparent": {
                    "type": "string",
                    "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
                    "description": "W3C Trace Context: a Lambda function hands on that of the record that it answers.",
                }
            },
        },
        "DeadLetterHeaders": {
            "type": "object",
            "description": "Behind the record's own headers; of two with one name, the last counts. Texts in UTF-8.",
            "required": list(HEADERS),
            "properties": {
                name: {"type": "string", "description": markdown.sentence(about)} for name, about in HEADERS.items()
            },
        },
    }

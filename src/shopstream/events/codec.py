"""Events to bytes and back. What cannot be read becomes a `BadRecord` with the reason, never a crash."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Union

import msgspec

from shopstream.errors import BadRecord
from shopstream.events.identity import event_id
from shopstream.events.model import EVENT_TYPES, SCHEMA_VERSION, Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# A basket of 50 lines is about 10 kB, and 150 kB at the very most. Whatever is larger is not an event of this shop, and
# is not parsed.
MAX_EVENT_BYTES = 256 * 1024

_DETAIL_LIMIT = 300  # characters: a header, not a copy of the record

encode = msgspec.json.Encoder().encode
"""An event as compact JSON in UTF-8, fields in the order of its type: equal events give equal bytes."""


class EventReader:
    """Reads the records of one topic.

    Args:
        event_types: The types that may stand on the topic. Any other is a bad record.
        own: Types that a service has declared for itself, by name; those of the shop are known.
    """

    def __init__(self, event_types: Iterable[str], own: Mapping[str, type[Event]] = MappingProxyType({})) -> None:
        self._types = tuple(event_types)
        self._known = {**EVENT_TYPES, **own}
        kinds = tuple(self._known[name] for name in self._types)
        decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Union[kinds])  # noqa: UP007 - a union of many
        self._decode = decoder.decode

    def read(self, key: bytes | None, value: bytes | None) -> Event:
        """The event in a record.

        Raises:
            BadRecord: The record holds no event that may stand here.
        """
        if not value:
            raise BadRecord("empty", "the record has no value")
        if len(value) > MAX_EVENT_BYTES:
            raise BadRecord("too_large", f"{len(value)} bytes; an event has at most {MAX_EVENT_BYTES}")
        try:
            event = self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._explain(value, error) from error
        if key is None:
            raise BadRecord("no_key", "the record has no key; it must be the order_id")
        if key != event.order_id.encode():
            raise BadRecord("wrong_key", "the record's key is not its order_id")
        if event.event_id != event_id(event.order_id, event.event_type):
            raise BadRecord("wrong_event_id", "event_id is not <order_id>:<event_type>")
        return event

    def _explain(self, value: bytes, error: Exception) -> BadRecord:
        """Find out what is wrong, from the coarse to the fine. Off the fast path, so it may parse again."""
        try:
            found: Any = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as broken:
            return BadRecord("not_json", str(broken)[:_DETAIL_LIMIT])
        except RecursionError:
            return BadRecord("not_json", "nested too deeply")
        if not isinstance(found, dict):
            return BadRecord("not_an_object", f"a JSON {type(found).__name__}; an event is an object")
        event_type = found.get("event_type")
        if event_type is None:
            return BadRecord("missing_field", "event_type is missing")
        if not isinstance(event_type, str) or event_type not in self._known:
            return BadRecord("unknown_event_type", f"known are {', '.join(self._known)}")
        if event_type not in self._types:
            return BadRecord("wrong_topic", f"{event_type} does not stand on this topic: {', '.join(self._types)} do")
        version = found.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION or isinstance(version, bool):
            return BadRecord("unknown_version", f"schema_version is not {SCHEMA_VERSION}")
        text = str(error)[:_DETAIL_LIMIT]
        if "missing required field" in text:
            return BadRecord("missing_field", text)
        if "sum of the lines" in text:
            return BadRecord("wrong_total", text)
        return BadRecord("wrong_type", text)

"""What a Lambda function tells about its work: lines of JSON on standard output, which go to CloudWatch Logs as such.

- One line for each event made and each record that could not be used: service, outcome, event type, order, and the ids
  by which invocation and trace are found. Nothing in them tells of the customer.
- One line for each invocation, in CloudWatch's embedded metric format ("Specification: Embedded metric format"), from
  which CloudWatch makes the metrics of `METRICS` in the namespace METRICS_NAMESPACE, with the one dimension `service`.

The trace id is the root of AWS X-Ray's header for the invocation. A record's own `traceparent` (W3C Trace Context) is
handed on to the records that follow from it, as a header, and logged with them; none is made where there is none.
"""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from shopstream import deadletter
from shopstream.errors import ShopstreamError
from shopstream.events import EventReader, split_order_id
from shopstream.runtime.processor import own_events_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from shopstream.events import Event
    from shopstream.records import Headers
    from shopstream.runtime.publisher import Message
    from shopstream.topology import Service, Topology

METRICS = {
    "RecordsRead": "Count",
    "EventsWritten": "Count",
    "DeadLetters": "Count",
    "RecordsFailed": "Count",
    "ProcessingTime": "Milliseconds",
    "ColdStart": "Count",
}
"""Every metric with its unit, one value of each for an invocation.

RecordsRead: entries of the batch. EventsWritten and DeadLetters: what the brokers acknowledged. RecordsFailed: entries
that AWS will deliver again (all of them when the invocation fails). ProcessingTime: from the handler's call to its end.
ColdStart: 1 for the first invocation of an environment, otherwise 0.
"""

DIMENSION = "service"

TRACE_HEADER = "_X_AMZN_TRACE_ID"
_ROOT = re.compile(r"(?:^|;)\s*Root=([^;\s]+)")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

# How long an invocation without a context may take, in seconds: one that is called by hand in Python.
_WITHOUT_CONTEXT = 60.0


def traceparent(headers: Headers | None) -> Headers:
    """The `traceparent` among a record's headers, as headers for what follows from it; none if it is not valid."""
    found = dict(headers or ()).get("traceparent")
    return [("traceparent", found)] if found and _TRACEPARENT.fullmatch(found) else []


def outcome(event: Event) -> str:
    """How an event turned out, in a word: its reason or kind if it has one, otherwise its verb, such as `approved`."""
    for field in ("reason", "kind"):
        if word := getattr(event, field, None):
            return str(word)
    return event.event_type.rpartition("_")[2]


class Telemetry:
    """What a function tells, over all its invocations.

    Args:
        topology: The shop's topics.
        service: The service.
        namespace: Where CloudWatch puts the metrics.
        environ: The environment; its X-Ray header changes with each invocation.
        write: Writes a line; without it, to standard output.
        now: Seconds since 1970.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        topology: Topology,
        service: Service,
        namespace: str,
        environ: Mapping[str, str],
        *,
        write: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service = service
        self.namespace = namespace
        self.now, self.clock = now, clock
        self.write = _print if write is None else write
        self._environ = environ
        self._cold = True
        own, topics = own_events_of(topology, service), [topology.topics[name] for name in service.produces]
        self._readers = {topic.name: EventReader(topic.all_events, own) for topic in topics}

    def begin(self, context: Any) -> Invocation:
        """An invocation begins. `context` is Lambda's; None where the function is called by hand."""
        root = _ROOT.search(self._environ.get(TRACE_HEADER, ""))
        invocation = Invocation(self, context, root[1] if root else None, cold=self._cold)
        self._cold = False
        return invocation

    def event_of(self, message: Message) -> Event:
        """The event in a message to one of the service's topics."""
        return self._readers[message.topic].read(message.key, message.value)


class Invocation:
    """What a function tells about one invocation."""

    def __init__(self, telemetry: Telemetry, context: Any, trace_id: str | None, *, cold: bool) -> None:
        self.trace_id = trace_id
        self.request_id: str | None = getattr(context, "aws_request_id", None)
        self.counts: dict[str, float] = {**dict.fromkeys(METRICS, 0), "ColdStart": int(cold)}
        self._telemetry = telemetry
        self._context = context
        self._began = telemetry.clock()

    def time_left(self) -> float:
        """Seconds until AWS ends the invocation."""
        if self._context is None:
            return _WITHOUT_CONTEXT - (self._telemetry.clock() - self._began)
        return float(self._context.get_remaining_time_in_millis()) / 1000

    def written(self, messages: Iterable[Message]) -> None:
        """The brokers have acknowledged these."""
        for message in messages:
            if message.topic == self._telemetry.service.dead_letters:
                self.counts["DeadLetters"] += 1
                self._dead_letter(message)
            else:
                self.counts["EventsWritten"] += 1
                self._event(message)

    def failed(self, error: Exception, **more: object) -> None:
        """Something will have to be done again."""
        # Only our own errors are sure to say nothing of a customer.
        detail = str(error) if isinstance(error, ShopstreamError) else None
        self._log(outcome="failed", reason=type(error).__name__, detail=detail, **more)

    def end(self) -> None:
        """Write the metrics."""
        telemetry = self._telemetry
        self.counts["ProcessingTime"] = round((telemetry.clock() - self._began) * 1000, 3)
        directive = {
            "Namespace": telemetry.namespace,
            "Dimensions": [[DIMENSION]],
            "Metrics": [{"Name": name, "Unit": unit} for name, unit in METRICS.items()],
        }
        metadata = {"Timestamp": int(telemetry.now() * 1000), "CloudWatchMetrics": [directive]}
        self._log(_aws=metadata, **self.counts)

    def _event(self, message: Message) -> None:
        event = self._telemetry.event_of(message)
        parent = {name: value.decode() for name, value in traceparent(message.headers) if value}
        self._log(order_id=event.order_id, event_type=event.event_type, outcome=outcome(event), **parent)

    def _dead_letter(self, message: Message) -> None:
        told = {name: (value or b"").decode(errors="replace") for name, value in message.headers}
        key = (message.key or b"").decode(errors="replace")
        self._log(
            order_id=key if split_order_id(key) else None,  # another key may be anything, personal data too
            outcome="bad_record",
            reason=told[deadletter.REASON],
            detail=told[deadletter.DETAIL],
            topic=told[deadletter.TOPIC],
            partition=int(told[deadletter.PARTITION]),
            offset=int(told[deadletter.OFFSET]),
        )

    def _log(self, **fields: object) -> None:
        line = {
            DIMENSION: self._telemetry.service.name,
            **fields,
            "trace_id": self.trace_id,
            "request_id": self.request_id,
        }
        self._telemetry.write(msgspec.json.encode(line).decode())


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

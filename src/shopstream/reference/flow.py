"""Real records for the pages: what the services' own cores make of a few orders, in memory, the same each time."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from shopstream.events import EVENT_TYPES
from shopstream.lambdas.samples import one_of_each_course, run_shop
from shopstream.records import Record
from shopstream.runs import Run, encode_run
from shopstream.runtime.processor import core_of, own_events_of, processor_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shopstream.events import Event
    from shopstream.runtime.transport import DeadLetter
    from shopstream.topology import Topology

RUN_ID = "example"
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
"""The shop's clock at the first order."""

ORDERS = 200  # to look through for every course that an order can take; the rarest is taken by one in fifty


class Flow(NamedTuple):
    """What was seen while orders went through.

    Attributes:
        records: All records, those of each topic by partition and offset.
        kinds: The event types by name: the shop's, and those that services declare for topics of their own.
        examples: One record of each event type; one of a service's own may be missing, as rare as it is.
        answers: For each service, the event types after which it writes something; it ignores the others it reads.
        waits: For each service with state, the event types that it keeps there until the other half comes.
    """

    records: tuple[Record, ...]
    kinds: Mapping[str, type[Event]]
    examples: Mapping[str, Record]
    answers: Mapping[str, frozenset[str]]
    waits: Mapping[str, frozenset[str]]


def type_of(value: bytes | None) -> str:
    """The type of an encoded event."""
    return str(json.loads(value or b"{}")["event_type"])


def observe(topology: Topology) -> Flow:
    """Let one order of each course go through the shop."""
    source = core_of(topology.source)
    log = run_shop(
        topology, one_of_each_course(topology, source.generate_orders(0, ORDERS, run_id=RUN_ID, start=START))
    )
    records = tuple(record for _, records in sorted(log.items()) for record in records)
    examples: dict[str, Record] = {}
    for record in sorted(records, key=lambda record: (len(record.value or b""), record.key)):
        examples.setdefault(type_of(record.value), record)
    answers, waits = {}, {}
    for service in topology.processors:
        answered, waiting = set(), set()
        # In both sequences of its topics: what waits in one is what completes in the other.
        for sequence in (records, records[::-1]):
            processor = processor_for(topology, service)
            for record in sequence:
                if record.topic not in service.consumes:
                    continue
                batch = processor.process([record])
                processor.accept()
                if batch.events or batch.state:
                    answered.add(type_of(record.value))
                waiting |= {type_of(change.value) for change in batch.state if change.value}
        answers[service.name] = frozenset(answered)
        if service.state:
            waits[service.name] = frozenset(waiting)
    own = [own_events_of(topology, service) for service in topology.services.values()]
    kinds = EVENT_TYPES | {name: kind for declared in own for name, kind in declared.items()}
    return Flow(records, kinds, examples, answers, waits)


def progress() -> Run:
    """A progress record, half way through its run."""
    return Run(run_id=RUN_ID, orders=5000, committed=2000, seed=0, start=START, shop_rate=5.0)


def progress_data() -> Any:
    """The same as JSON has it."""
    return json.loads(encode_run(progress()))


def dead_letter(topology: Topology) -> DeadLetter:
    """What becomes of an order that was cut off on its way."""
    service = topology.processors[0]
    topic = service.consumes[0]
    time_ms = int(START.timestamp() * 1000)
    record = Record(topic, 3, 1041, time_ms, f"{RUN_ID}-00000007".encode(), b'{"event_type":"order_placed","event_id":')
    return processor_for(topology, service).process([record]).dead_letters[0]

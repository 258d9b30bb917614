"""From records to a batch: reads, decides, routes. Pure but for the state that it keeps between batches."""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any

from shopstream.deadletter import headers_for
from shopstream.errors import BadRecord
from shopstream.events import EventReader, encode
from shopstream.runtime.transport import Batch, DeadLetter, Partition, StateChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from shopstream.events import Event
    from shopstream.records import Record
    from shopstream.topology import Service, Topology

    React = Callable[[Event], tuple[Event, ...]]
    Join = Callable[[Event | None, Event], tuple[Event | None, tuple[Event, ...]]]


def core_of(service: Service) -> Any:
    """The module with a service's core: `services/<name>/<name>.py`."""
    return importlib.import_module(f"services.{service.name}.{service.name}")


def options_of(service: Service, seed: int | None) -> dict[str, Any]:
    """The keyword arguments for a service's core, with the run's seed where the service takes one."""
    options = dict(service.options)
    if seed is not None and "seed" in options:
        options["seed"] = seed
    return options


def processor_for(topology: Topology, service: Service, *, seed: int | None = None) -> Processor:
    """The processor that runs a service's core: `join` if the topology gives it state, `react` otherwise."""
    core, options = core_of(service), options_of(service, seed)
    if service.state:
        return JoinProcessor(topology, service, partial(core.join, **options))
    return ReactProcessor(topology, service, partial(core.react, **options))


class _Readers(dict[str, "Callable[[bytes | None, bytes | None], Event]"]):
    """The readers by topic. Asked for another topic, it has the reason why its records cannot be used."""

    def __missing__(self, topic: str) -> Callable[[bytes | None, bytes | None], Event]:
        raise BadRecord("unknown_topic", f"this service reads {', '.join(self)}")


class Processor:
    """What all services have in common: reading, routing, dead letters. Subclasses decide.

    A batch is prepared with `process`; then either `accept` or `discard` says what became of it.
    """

    def __init__(self, topology: Topology, service: Service) -> None:
        self.service = service
        self._readers = _Readers({topic: EventReader(topology.topics[topic].events).read for topic in service.consumes})
        self._topic_of = topology.topic_of

    def process(self, records: Iterable[Record]) -> Batch:
        """Decide about records, in their order."""
        batch = Batch()
        readers, events, offsets = self._readers, batch.events, batch.offsets
        topic_of, decide = self._topic_of, self._decide
        for record in records:
            offsets[Partition(record.topic, record.partition)] = record.offset + 1
            try:
                outcomes = decide(record, readers[record.topic](record.key, record.value))
            except BadRecord as bad:
                batch.dead_letters.append(self.dead_letter(record, bad))
                continue
            for outcome in outcomes:
                topic = topic_of[outcome.event_type]
                message = (outcome.order_id.encode(), encode(outcome))
                if topic in events:
                    events[topic].append(message)
                else:
                    events[topic] = [message]
        self._finish(batch)
        return batch

    def accept(self) -> None:
        """The batch is committed."""

    def discard(self) -> None:
        """The batch is lost; its records will come again."""

    def restore(self, partitions: Iterable[int], log: Iterable[StateChange]) -> None:
        """Take over the state of partitions from their changelog."""

    def forget(self, partition: int) -> None:
        """Drop a partition's state: another instance has it."""

    def dead_letter(self, record: Record, bad: BadRecord) -> DeadLetter:
        """What is left of a record that the service cannot use."""
        headers = headers_for(
            bad,
            service=self.service.name,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp_ms,
            original=record.headers,
        )
        return DeadLetter(record.key, record.value, headers)

    def _decide(self, record: Record, event: Event) -> tuple[Event, ...]:
        """What follows from an event. It may find, too, that the record is a `BadRecord`."""
        raise NotImplementedError  # every processor is one of the two below

    def _finish(self, batch: Batch) -> None:
        """Add to the batch what is known only after its last record."""


class ReactProcessor(Processor):
    """A service whose answer depends on one record alone."""

    def __init__(self, topology: Topology, service: Service, react: React) -> None:
        super().__init__(topology, service)
        self._react = react

    def _decide(self, record: Record, event: Event) -> tuple[Event, ...]:  # noqa: ARG002 - the join needs it
        return self._react(event)


class JoinProcessor(Processor):
    """A service that waits for both halves of an order.

    What waits lives in memory, by partition, and in the changelog. A batch works on an overlay, so that a lost
    transaction leaves no trace; and only what still waits when the batch ends is written, because most orders find
    their other half within it.
    """

    def __init__(self, topology: Topology, service: Service, join: Join) -> None:
        super().__init__(topology, service)
        self._join = join
        self._waiting: dict[int, dict[str, Event]] = {}
        self._changed: dict[tuple[int, str], Event | None] = {}
        types = (event for topic in service.consumes for event in topology.topics[topic].events)
        self._read_state = EventReader(types).read

    @property
    def waiting(self) -> Mapping[int, Mapping[str, Event]]:
        """For each partition, what waits for its other half, by order id."""
        return self._waiting

    def _decide(self, record: Record, event: Event) -> tuple[Event, ...]:
        key = (record.partition, event.order_id)
        if key in self._changed:
            before = self._changed[key]
        else:
            before = self._waiting.setdefault(record.partition, {}).get(event.order_id)
        after, outcomes = self._join(before, event)
        if after is not before:
            self._changed[key] = after
        return outcomes

    def _finish(self, batch: Batch) -> None:
        for (partition, order), event in self._changed.items():
            if event is not None:
                batch.state.append(StateChange(partition, order.encode(), encode(event)))
            elif order in self._waiting.get(partition, ()):
                batch.state.append(StateChange(partition, order.encode(), None))

    def accept(self) -> None:
        """The overlay becomes the state."""
        for (partition, order), event in self._changed.items():
            waiting = self._waiting.setdefault(partition, {})
            if event is None:
                waiting.pop(order, None)
            else:
                waiting[order] = event
        self._changed.clear()

    def discard(self) -> None:
        """The overlay never was."""
        self._changed.clear()

    def restore(self, partitions: Iterable[int], log: Iterable[StateChange]) -> None:
        """Take over what waits, from the changelog."""
        latest: dict[int, dict[bytes, bytes]] = {partition: {} for partition in partitions}
        for partition, key, value in log:
            if value is None:
                latest[partition].pop(key, None)
            else:
                latest[partition][key] = value
        for partition, values in latest.items():
            self._waiting[partition] = {key.decode(): self._read_state(key, value) for key, value in values.items()}

    def forget(self, partition: int) -> None:
        """Drop what waits in a partition."""
        self._waiting.pop(partition, None)

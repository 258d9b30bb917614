"""From records to a batch: reads, decides, routes. Pure but for the state that it keeps between batches."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import services
from shopstream.deadletter import headers_for
from shopstream.errors import BadRecord, UsageError
from shopstream.events import Event, EventReader, encode
from shopstream.runtime.transport import Batch, DeadLetter, Partition, StateChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from shopstream.records import Record
    from shopstream.topology import Service, Topology

    React = Callable[[Event], tuple[Event, ...]]
    Join = Callable[[Event | None, Event], tuple[Event | None, tuple[Event, ...]]]


def look_beside(topology: Path) -> None:
    """Let services be found beside a topology file first (`services/<name>/<name>.py`), then among shopstream's own."""
    folder = str(topology.absolute().parent / "services")
    if folder not in services.__path__:
        services.__path__.insert(0, folder)


def core_of(service: Service) -> Any:
    """The module with a service's core: `services/<name>/<name>.py`.

    Raises:
        UsageError: There is none.
    """
    name = _module_of(service)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in {name, name.rpartition(".")[0]}:  # it is there, and what it imports is not
            raise
        raise _without_code(service) from error


def check_cores(topology: Topology) -> None:
    """Make sure that every service has code, without importing it.

    Raises:
        UsageError: One has none.
    """
    for service in topology.services.values():
        try:
            found = importlib.util.find_spec(_module_of(service))
        except ModuleNotFoundError:  # not even its folder
            found = None
        if found is None:
            raise _without_code(service)


def _module_of(service: Service) -> str:
    return f"services.{service.name}.{service.name}"


def _without_code(service: Service) -> UsageError:
    folders = " or ".join(dict.fromkeys(services.__path__))
    return UsageError(
        f"service {service.name!r} of the topology has no code: write {service.name}/{service.name}.py in {folders}"
    )


def own_events_of(topology: Topology, service: Service) -> dict[str, type[Event]]:
    """The event types that a service declares for the topics of its own, by name.

    Raises:
        UsageError: Its module lacks one that the topology names.
    """
    wanted = [event for topic in service.produces for event in topology.topics[topic].own_events]
    if not wanted:
        return {}
    core = core_of(service)
    kinds = (kind for kind in vars(core).values() if isinstance(kind, type) and issubclass(kind, Event))
    declared = {kind.event_type: kind for kind in kinds if kind.__module__ == core.__name__}
    if missing := [event for event in wanted if event not in declared]:
        raise UsageError(
            f"{core.__name__} declares no event {' and no event '.join(map(repr, missing))}, which the topology names "
            f"under own_events: write a class for it, a subclass of Event (there are: {', '.join(declared) or 'none'})"
        )
    return {event: declared[event] for event in wanted}


def options_of(service: Service, seed: int | None) -> dict[str, Any]:
    """The keyword arguments for a service's core, with the run's seed where the service takes one."""
    options = dict(service.options)
    if seed is not None and "seed" in options:
        options["seed"] = seed
    return options


def processor_for(topology: Topology, service: Service, *, seed: int | None = None) -> Processor:
    """The processor that runs a service's core: `join` if the topology gives it state, `react` otherwise.

    Raises:
        UsageError: The service has no code, or not the one that the topology asks for.
    """
    core, options = core_of(service), options_of(service, seed)
    own_events_of(topology, service)
    if service.state:
        return JoinProcessor(topology, service, partial(_function(core, "join", 2, options), **options))
    return ReactProcessor(topology, service, partial(_function(core, "react", 1, options), **options))


def _function(core: Any, name: str, arguments: int, options: Mapping[str, Any]) -> Any:
    """A core's function, which takes so many arguments and these options.

    Raises:
        UsageError: It is missing, or does not.
    """
    function = getattr(core, name, None)
    if function is None:
        needed = "has state in the topology" if name == "join" else "answers to records"
        raise UsageError(f"{core.__name__} has no function {name!r}, which a service needs that {needed}: write it")
    try:
        inspect.signature(function).bind(*[None] * arguments, **options)
    except TypeError as error:
        given = ", ".join(options) or "none"
        raise UsageError(
            f"{core.__name__}.{name} cannot be called with what the topology gives it (options: {given}): {error}"
        ) from error
    return function


class _Readers(dict[str, "Callable[[bytes | None, bytes | None], Event]"]):
    """The readers by topic. Asked for another topic, it has the reason why its records cannot be used."""

    def __missing__(self, topic: str) -> Callable[[bytes | None, bytes | None], Event]:
        raise BadRecord("unknown_topic", f"this service reads {', '.join(self)}")


class _Routes(dict[str, str]):
    """The topics by event type. Asked for another type, it says what to do."""

    def __init__(self, topology: Topology, service: Service) -> None:
        topics = (topology.topics[name] for name in service.produces)
        super().__init__({event: topic.name for topic in topics for event in topic.all_events})
        self._service = service

    def __missing__(self, event_type: str) -> str:
        name, topics = self._service.name, ", ".join(self._service.produces) or "none"
        raise UsageError(
            f"service {name!r} answers with {event_type!r}, which stands on no topic that it produces ({topics}): name "
            "the event under such a topic, and the topic in the service's produces"
        )


class Processor:
    """What all services have in common: reading, routing, dead letters. Subclasses decide.

    A batch is prepared with `process`; then either `accept` or `discard` says what became of it.
    """

    def __init__(self, topology: Topology, service: Service) -> None:
        self.service = service
        self._readers = _Readers({topic: EventReader(topology.topics[topic].events).read for topic in service.consumes})
        self._topic_of = _Routes(topology, service)

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

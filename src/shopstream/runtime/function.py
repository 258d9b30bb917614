"""A service as a Lambda function: what `handler(event, context)` of each service calls.

For a batch from an event source mapping (`ProcessorFunction`), in this sequence: read every record; let the worker's
own processor decide about each; write all events and dead letters; wait for their acknowledgement, within the time that
the invocation has left; succeed. What no retry can mend becomes a dead letter, as in the worker. What a retry may
mend (Kafka, the table or the secrets gave no answer in time) fails the invocation, and AWS delivers the batch again.

By default it fails as a whole, by raising. A partial response, which names just the records that failed, needs a
mapping in provisioned mode that asks for ReportBatchItemFailures: only there does AWS offer it for Kafka ("Configuring
error handling controls for Kafka event sources"). In on-demand mode AWS takes any returned value for success and would
commit past the failed records, so they would be lost. That is why it has to be switched on, by
REPORT_BATCH_ITEM_FAILURES=true, where Terraform has set up such a mapping. If every record failed, it raises there too:
that says the same to the mapping, and shows in the function's error metric.

Cold starts: `shopstream.runtime.entry`, which Lambda imports in its init phase, brings everything that takes time to
load: librdkafka, boto3, the topology, the function with all its parts. These steps need the processor, not the network,
so no threads share them out. The first invocation fetches the secrets and connects. From then on everything stays in
`_functions`, for as long as the environment lives.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol

from shopstream.errors import Retriable
from shopstream.runtime import esm
from shopstream.runtime.lambda_settings import KafkaAccess, LambdaSettings
from shopstream.runtime.processor import core_of, options_of, processor_for
from shopstream.runtime.publisher import KafkaPublisher, Message
from shopstream.runtime.telemetry import Telemetry, traceparent
from shopstream.runtime.transport import Batch
from shopstream.topology import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shopstream.runtime.esm import Delivery
    from shopstream.runtime.processor import Processor
    from shopstream.runtime.publisher import Publisher
    from shopstream.runtime.telemetry import Invocation
    from shopstream.topology import Service, Topology

TABLE_THREADS = 8
"""How many records of a join are processed at once: a table's answer takes 5 ms, and a batch has 100 records."""

_FOR_RECORDS = 0.6  # of an invocation's time; what is left is for Kafka
_LONGEST_WAIT = 30.0  # seconds for the brokers' acknowledgements: if they are down, AWS tries again
_MARGIN = 1.0  # seconds that are left to say what went wrong


class Function(Protocol):
    """What a handler calls."""

    def handle(self, event: Any, context: Any) -> dict[str, Any]:
        """Do what the event asks for, and answer in JSON's types."""


def time_to_publish(invocation: Invocation) -> float:
    """How long an invocation may wait for the brokers, in seconds."""
    return max(0.1, min(_LONGEST_WAIT, invocation.time_left() - _MARGIN))


class ProcessorFunction:
    """A service that answers to records.

    Args:
        processor: The service's core, bound to its topics.
        publisher: Where events and dead letters go.
        telemetry: What it tells.
        partial_response: Whether to answer with the records that failed, instead of failing as a whole.
        threads: How many records are processed at once; records with the same key always one after the other.
    """

    def __init__(
        self,
        processor: Processor,
        publisher: Publisher,
        telemetry: Telemetry,
        *,
        partial_response: bool = False,
        threads: int = 1,
    ) -> None:
        self._processor = processor
        self._publisher = publisher
        self._telemetry = telemetry
        self._partial = partial_response
        self._threads = threads

    def handle(self, event: Any, context: Any) -> dict[str, Any]:
        """Process a batch.

        Raises:
            Retriable: Something of it has to be done again.
            SettingsError: The function's environment or secrets are not what it needs.
        """
        invocation = self._telemetry.begin(context)
        deliveries: list[Delivery] = []
        try:
            deliveries += esm.deliveries(event)
            invocation.counts["RecordsRead"] = len(deliveries)
            return self._handle(deliveries, invocation)
        except Exception as error:
            invocation.counts["RecordsFailed"] = len(deliveries)
            invocation.failed(error)
            raise
        finally:
            invocation.end()

    def _handle(self, deliveries: list[Delivery], invocation: Invocation) -> dict[str, Any]:
        if not deliveries:
            return esm.response()
        self._publisher.open()
        answers = self._process(deliveries, invocation)
        failures = {place: answer for place, answer in enumerate(answers) if isinstance(answer, Retriable)}
        if failures and not self._partial:
            raise _cause(failures.values())  # before anything is written: the retry writes it all
        messages: list[Message] = []
        causes: list[int] = []  # for each message, the place of the delivery that it follows from
        for place, answer in enumerate(answers):
            if isinstance(answer, Batch):
                found = self._messages(deliveries[place], answer)
                messages += found
                causes += [place] * len(found)
        missing = self._publisher.publish(messages, time_to_publish(invocation)) if messages else {}
        for number, why in missing.items():
            failures.setdefault(causes[number], Retriable(f"{len(missing)} messages are not acknowledged: {why}"))
        if failures and not self._may_respond(failures, deliveries):
            raise _cause(failures.values())
        invocation.written(message for number, message in enumerate(messages) if causes[number] not in failures)
        invocation.counts["RecordsFailed"] = len(failures)
        for place, error in failures.items():
            record = deliveries[place].record
            invocation.failed(error, topic=record.topic, partition=record.partition, offset=record.offset)
        return esm.response(deliveries[place].record for place in sorted(failures))

    def _may_respond(self, failures: Mapping[int, Retriable], deliveries: list[Delivery]) -> bool:
        known = all(deliveries[place].record.offset != esm.UNKNOWN for place in failures)
        return self._partial and known and len(failures) < len(deliveries)

    def _messages(self, delivery: Delivery, batch: Batch) -> list[Message]:
        trace = traceparent(delivery.record.headers)
        events = [Message(topic, key, value, trace) for topic, pairs in batch.events.items() for key, value in pairs]
        dead = str(self._processor.service.dead_letters)
        return events + [Message(dead, letter.key, letter.value, letter.headers) for letter in batch.dead_letters]

    def _process(self, deliveries: Sequence[Delivery], invocation: Invocation) -> list[Batch | Retriable]:
        """What follows from each delivery, or why that is not known."""
        answers: list[Batch | Retriable] = [Batch() for _ in deliveries]
        stopped = threading.Event()
        until = invocation.time_left() * (1 - _FOR_RECORDS)

        def process(places: list[int]) -> None:
            for place in places:
                if stopped.is_set():
                    answers[place] = _NotBegun("not begun, after another record failed")
                elif place and invocation.time_left() < until:
                    answers[place] = Retriable("not begun: the time of this invocation would not suffice")
                else:
                    answers[place] = self._answer(deliveries[place])
                if isinstance(answers[place], Retriable) and not self._partial:
                    stopped.set()

        if self._threads == 1:
            process(list(range(len(deliveries))))
            return answers
        by_key: dict[bytes | int, list[int]] = defaultdict(list)
        for place, delivery in enumerate(deliveries):
            by_key[delivery.record.key or place].append(place)
        # Made for each batch: no thread shall be asleep in a lock when the environment is frozen.
        with ThreadPoolExecutor(min(self._threads, len(by_key))) as pool:
            list(pool.map(process, by_key.values()))
        return answers

    def _answer(self, delivery: Delivery) -> Batch | Retriable:
        if delivery.bad is not None:
            return Batch(dead_letters=[self._processor.dead_letter(delivery.record, delivery.bad)])
        try:
            return self._processor.process([delivery.record])
        except Retriable as error:
            return error


class _NotBegun(Retriable):
    """A record's turn did not come."""


def _cause(failures: Iterable[Retriable]) -> Retriable:
    """What to fail with: rather what went wrong than that another record's turn did not come."""
    return min(failures, key=lambda failure: isinstance(failure, _NotBegun))


_functions: dict[str, Function] = {}


def of(service: str) -> Function:
    """The function of a service: made once, and kept while the environment lives."""
    if service not in _functions:
        _functions[service] = compose(load(), service, os.environ)
    return _functions[service]


def prepare(service: Service) -> None:
    """Load and make what a service's invocations need, and connect to nothing.

    It never fails. What cannot be made, because of an unusable environment for example, fails again in the invocation,
    which can log it in the function's own form and which a retry can mend; init can do neither.
    """
    with suppress(Exception):
        of(service.name)
        _secrets()
        if service.state:
            importlib.import_module("shopstream.runtime.dynamodb")


@contextmanager
def serving(service: str, function: Function) -> Iterator[None]:
    """Within the block, the service's handler uses this function: the seam for fakes."""
    before = _functions.get(service)
    _functions[service] = function
    try:
        yield
    finally:
        del _functions[service]
        if before is not None:
            _functions[service] = before


def compose(topology: Topology, name: str, environ: Mapping[str, str]) -> Function:
    """A function with all its parts, as it runs at AWS. It connects to nothing before it is invoked.

    Args:
        topology: The shop's topics and services.
        name: The service.
        environ: The environment.

    Raises:
        SettingsError: A variable of the environment is unusable.
    """
    service = topology.services[name]
    settings = LambdaSettings(environ)
    access = KafkaAccess(settings, _read_secret)
    publisher = KafkaPublisher(service, access.client, access.forget)
    telemetry = Telemetry(topology, service, settings.namespace, environ)
    if service.progress:
        from shopstream.runtime.order_function import OrderFunction  # the others do without

        return OrderFunction(topology, service, publisher, telemetry, core_of(service).generate_orders, settings)
    return ProcessorFunction(
        _processor(topology, service, settings),
        publisher,
        telemetry,
        partial_response=settings.reports_batch_item_failures,
        threads=TABLE_THREADS if service.state else 1,
    )


def _processor(topology: Topology, service: Service, settings: LambdaSettings) -> Processor:
    if not service.state:
        return processor_for(topology, service, seed=settings.seed)
    from shopstream.runtime.order_table import TableJoinProcessor  # the others do without

    join = partial(core_of(service).join, **options_of(service, settings.seed))
    return TableJoinProcessor(topology, service, join, _Table(settings))


class _Table:
    """The table of the environment, connected to when the first order is recorded."""

    def __init__(self, settings: LambdaSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._table: Any = None

    def record(self, order_id: str, topic: str, event: bytes, expires_at: int) -> Mapping[str, bytes]:
        with self._lock:
            if self._table is None:
                from shopstream.runtime.dynamodb import DynamoOrderTable  # it brings boto3

                self._table = DynamoOrderTable(self._settings.state_table, TABLE_THREADS)
        found: Mapping[str, bytes] = self._table.record(order_id, topic, event, expires_at)
        return found


@cache
def _secrets() -> Any:
    from shopstream.runtime.secrets_manager import SecretsManager  # it brings boto3

    return SecretsManager()


def _read_secret(arn: str) -> str:
    text: str = _secrets().read(arn)
    return text

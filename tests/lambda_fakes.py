"""What stands around a Lambda function in the tests: its context, its payloads, and fakes for its ports."""

import base64
import json

from shopstream.runtime.function import ProcessorFunction
from shopstream.runtime.memory import MemoryKafka, MemoryPublisher
from shopstream.runtime.order_table import MemoryOrderTable, TableJoinProcessor
from shopstream.runtime.processor import core_of, processor_for
from shopstream.runtime.telemetry import TRACE_HEADER, Telemetry
from shopstream.topology import load

TOPOLOGY = load()
TRACE = "1-6900e988-bd862e3fe1be46a994272793"
ALL_DONE = {"batchItemFailures": []}


class Context:
    """Lambda's, with a clock that the test sets."""

    aws_request_id = "8f5a31c6-0000-4000-8000-00000000000a"

    def __init__(self, seconds=60.0):
        self.seconds = seconds

    def get_remaining_time_in_millis(self):
        return int(self.seconds * 1000)


class Publishes:
    """A publisher that keeps what it is given, and fails by plan: `fail(message)` says why one is not acknowledged."""

    def __init__(self, fail=lambda message: None):
        self.fail = fail
        self.opened = 0
        self.messages = []
        self.waits = []

    def open(self):
        self.opened += 1

    def publish(self, messages, within):
        self.waits.append(within)
        failed = {place: why for place, message in enumerate(messages) if (why := self.fail(message))}
        self.messages += [message for place, message in enumerate(messages) if place not in failed]
        return failed

    def on(self, topic):
        return [message for message in self.messages if message.topic == topic]


class Lines(list):
    """The lines that a function writes, read back."""

    def __call__(self, line):
        self.append(json.loads(line))

    @property
    def metrics(self):
        return [line for line in self if "_aws" in line]

    @property
    def events(self):
        return [line for line in self if "event_type" in line]

    def of(self, outcome):
        return [line for line in self if line.get("outcome") == outcome]


def telemetry_of(service, lines, environ=None):
    environ = {TRACE_HEADER: f"Root={TRACE};Parent=53995c3f42cd8ad8;Sampled=1"} if environ is None else environ
    return Telemetry(TOPOLOGY, TOPOLOGY.services[service], "shop", environ, write=lines, now=lambda: 1_700_000_000.5)


def function_of(service, publisher=None, *, table=None, lines=None, topology=TOPOLOGY, **options):
    """A service's function with fakes for all that it cannot do alone."""
    described = topology.services[service]
    if described.state:
        table = MemoryOrderTable() if table is None else table
        processor = TableJoinProcessor(topology, described, core_of(described).join, table, lambda: 1_700_000_000)
    else:
        processor = processor_for(topology, described)
    telemetry = telemetry_of(service, Lines() if lines is None else lines)
    return ProcessorFunction(processor, Publishes() if publisher is None else publisher, telemetry, **options)


def in_memory():
    """A Kafka in memory, and a publisher to it."""
    kafka = MemoryKafka(TOPOLOGY)
    return kafka, MemoryPublisher(kafka)


def raw(topic, offset, key, value, partition=0, headers=()):
    """A record as AWS writes it."""
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": 1_772_438_400_555,
        "timestampType": "CREATE_TIME",
        **({} if key is None else {"key": base64.b64encode(key).decode()}),
        **({} if value is None else {"value": base64.b64encode(value).decode()}),
        "headers": [{name: [number - 256 if number > 127 else number for number in data]} for name, data in headers],
    }


def payload(*raws):
    """A batch as AWS writes it."""
    records = {}
    for one in raws:
        records.setdefault(f"{one['topic']}-{one['partition']}", []).append(one)
    return {"eventSource": "aws:SelfManagedKafka", "bootstrapServers": "b:9094", "records": records}


def payload_of(records):
    """A batch of Kafka records."""
    return payload(
        *(
            raw(r.topic, r.offset, r.key, r.value, r.partition, [(n, v or b"") for n, v in r.headers or ()])
            for r in records
        )
    )

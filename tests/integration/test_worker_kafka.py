"""The worker keeps its promises on the real Kafka, with both group protocols."""

import dataclasses
import time
import uuid

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from services.payment_processor.payment_processor import process_payment
from shopstream.audit import Auditor
from shopstream.records import Record
from shopstream.runtime.kafka_input import KafkaInput
from shopstream.runtime.kafka_output import AtLeastOnceOutput, TransactionalOutput
from shopstream.settings import ClientSettings
from shopstream.topology import load
from tests.behaviour import GroupBehaviour, WorkerBehaviour, World, orders_of_a_new_run, renamed

pytestmark = pytest.mark.kafka


class KafkaWorld(World):
    """Topics of its own on the shared cluster, used as the superuser: who may do what is tested elsewhere."""

    def __init__(self, settings):
        self._settings = settings
        self._prefix = f"w{uuid.uuid4().hex[:8]}-"
        self.topology = renamed(load(), self._prefix, partitions=3)
        topics = [NewTopic(t.name, t.partitions, 1, config=one_broker(t.config)) for t in self.topology.topics.values()]
        admin = AdminClient(settings.to_librdkafka())
        for future in admin.create_topics(topics).values():
            future.result()
        self._producer = Producer(
            {
                **settings.to_librdkafka(),
                "message.max.bytes": 2_000_000,
                "partitioner": "murmur2_random",
                "linger.ms": 0,
            }
        )
        self._records = {}
        self._reader = None

    def name(self, topic):
        return topic if topic.startswith(self._prefix) else f"{self._prefix}{topic}"

    def append(self, topic, key, value, partition=None, headers=None):
        place = {} if partition is None else {"partition": partition}
        self._producer.produce(self.name(topic), value, key, headers=headers, **place)
        self._producer.flush(10)

    def records(self, topic):
        """Read on from where the last call ended, to what is committed now."""
        if self._reader is None:
            self._reader = Consumer(
                {
                    **self._settings.to_librdkafka(),
                    "group.id": "reader",
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                    "enable.auto.commit": False,
                    "fetch.wait.max.ms": 10,
                }
            )
        name = self.name(topic)
        known = self._records.setdefault(name, {n: [] for n in range(self.topology.topics[name].partitions)})
        starts = [TopicPartition(name, n, records[-1].offset + 1 if records else 0) for n, records in known.items()]
        self._reader.assign(starts)
        missing = set(known)
        while missing:
            # Not consume() alone: it waits out its timeout for the last of a thousand messages.
            first = self._reader.poll(10)
            assert first is not None, f"no answer about {name}"
            for message in (first, *self._reader.consume(1000, 0)):
                if message.error():
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    missing.discard(message.partition())
                    continue
                headers = message.headers()
                record = Record(name, message.partition(), message.offset(), 0, message.key(), message.value(), headers)
                known[message.partition()].append(record)
        return [record for records in known.values() for record in records]

    def link(self, service, instance):
        source = KafkaInput(self._settings, service.group, f"{service.group}-{instance}")
        return source, TransactionalOutput(self._settings, self.unique(service), instance)

    def unique(self, service):
        """The service under a name of this world, for its transactional ids."""
        return dataclasses.replace(service, name=f"{self._prefix}{service.name}")

    def close(self):
        if self._reader is not None:
            self._reader.close()


def one_broker(config):
    return {**config, "min.insync.replicas": "1"}


@pytest.fixture(scope="module")
def admin_settings(cluster):
    return ClientSettings.from_properties(cluster.properties(cluster.topology.user_of("admin")))


class TestWorkerOnKafka(WorkerBehaviour):
    @pytest.fixture
    def world(self, admin_settings):
        world = KafkaWorld(admin_settings)
        yield world
        world.close()

    def test_an_open_transaction_of_a_killed_worker_is_aborted_by_its_successor(self, world):
        orders = orders_of_a_new_run(20)
        world.place(*orders)
        service = world.unique(world.topology.services["payment_processor"])
        killed = TransactionalOutput(world._settings, service, 0)
        killed._producer.begin_transaction()
        for order in orders:  # written, never committed, and nobody there to abort it
            killed._producer.produce(world.name("payment_result"), b"torn", order.order_id.encode())
        killed._producer.flush(10)
        started = time.monotonic()
        worker = world.worker("payment_processor")
        world.pump(worker, until=lambda: len(world.records("payment_result")) >= 20)
        assert sorted(world.events("payment_result"), key=str) == sorted(map(process_payment, orders), key=str)
        assert time.monotonic() - started < 10, "the successor must not wait for the transaction's time-out"
        worker.close()

    def test_at_least_once_repeats_a_batch_whose_offsets_were_not_committed(self, world):
        orders = orders_of_a_new_run(20)
        world.place(*orders)
        service = world.topology.services["payment_processor"]

        class Forgets:
            def commit(self, offsets):
                """A crash between the outputs and the offsets."""

        first = world.worker("payment_processor")
        first._output = AtLeastOnceOutput(world._settings, service, 0, Forgets())
        world.pump(first, until=lambda: len(world.records("payment_result")) >= 20)
        first.close()
        second = world.worker("payment_processor")
        second._output = AtLeastOnceOutput(world._settings, service, 0, second._input)
        world.pump(second, until=lambda: len(world.records("payment_result")) >= 40)
        values = [record.value for record in world.records("payment_result")]
        assert len(values) == 40
        assert len(set(values)) == 20, "a repeated event must be byte-identical"
        auditor = Auditor(world.topology, expected_rates={}, guarantee="at-least-once")
        auditor.feed_many([*world.records("order_placed"), *world.records("payment_result")])
        verdict = auditor.verdict(0)
        assert (verdict.duplicates, verdict.anomalies, verdict.pending) == (20, {}, 20)
        second.close()


class TestClassicProtocol(GroupBehaviour):
    """Kafka 3.9 with ZooKeeper has only this one."""

    @pytest.fixture
    def world(self, admin_settings):
        world = KafkaWorld(dataclasses.replace(admin_settings, group_protocol="classic"))
        yield world
        world.close()

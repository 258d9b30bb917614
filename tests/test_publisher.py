"""A publisher tells of each message whether it is acknowledged, keeps nothing back, and gets rid of a broken producer.

A fake producer takes librdkafka's place at the publisher's own seam; the real one is met in the integration tests.
"""

from dataclasses import replace

import pytest
from confluent_kafka import KafkaError, KafkaException

from shopstream.errors import Retriable
from shopstream.runtime.publisher import KafkaPublisher, Message
from shopstream.settings import ClientSettings, Secret
from shopstream.topology import load

SERVICE = load().services["payment_processor"]
MESSAGES = [
    Message("payment_result", b"a", b"1", [("traceparent", b"t")]),
    Message("payment_result", b"b", b"2"),
    Message("dead_letters", None, None, [("why", None)]),
]


class World:
    """What the brokers do, the producers that were made, and the clock."""

    def __init__(self):
        self.now = 0.0
        self.producers = []
        self.fetched = self.forgotten = 0
        self.errors = {}  # by the message's key: what becomes of it; "never" for nothing
        self.refusal = None
        self.password = "old"
        self.publisher = KafkaPublisher(SERVICE, self.access, self.forget, self.make, lambda: self.now)

    def access(self):
        self.fetched += 1
        return ClientSettings("b:9094", username="u", password=Secret(self.password), ca_pem="PEM")

    def forget(self):
        self.forgotten += 1

    def make(self, config, logger=None):
        self.producers.append(FakeProducer(self, config))
        return self.producers[-1]


class FakeProducer:
    def __init__(self, world, config):
        self.world, self.config = world, config
        self.queue, self.done, self.asked = [], [], []
        self.purged = False
        self.stuck = False

    def list_topics(self, topic, timeout):
        assert topic in SERVICE.writes
        self.asked.append(topic)
        if self.world.refusal:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def produce(self, topic, value, key, headers, on_delivery):
        effect = self.world.errors.get(key)
        if isinstance(effect, Exception):
            raise effect
        self.queue.append((Message(topic, key, value, headers), on_delivery))

    def flush(self, timeout):
        if self.world.refusal:
            self.config["error_cb"](KafkaError(self.world.refusal))
        left = []
        for message, report in self.queue:
            effect = self.world.errors.get(message.key)
            if self.world.refusal or effect == "never":
                if not self.purged:
                    left.append((message, report))
                elif not self.stuck:
                    report(KafkaError(KafkaError._PURGE_QUEUE), None)
            elif effect is not None:
                report(KafkaError(effect), None)
            else:
                self.done.append(message)
        self.queue = left
        if left:
            self.world.now += timeout
        return len(left) + self.stuck

    def purge(self):
        self.purged = True


@pytest.fixture
def world():
    return World()


def test_all_acknowledged_is_nothing_to_tell(world):
    assert world.publisher.publish(MESSAGES, 5) == {}
    assert world.producers[0].done == [Message(*m[:3], list(m.headers)) for m in MESSAGES]


def test_the_producer_is_idempotent_and_places_keys_as_java_does(world):
    world.publisher.open()
    config = world.producers[0].config
    assert (config["enable.idempotence"], config["acks"], config["partitioner"]) == (True, "all", "murmur2_random")
    assert (config["security.protocol"], config["sasl.mechanisms"]) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (config["ssl.ca.pem"], config["sasl.username"]) == ("PEM", "u")
    assert "transactional.id" not in config


def test_one_producer_serves_all_invocations(world):
    world.publisher.open()
    for _ in range(3):
        world.publisher.publish(MESSAGES, 5)
    assert (len(world.producers), world.fetched, world.forgotten) == (1, 1, 0)


@pytest.mark.parametrize(
    "effect",
    [
        KafkaError._FENCED,
        KafkaError._FATAL,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError._MSG_TIMED_OUT,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        BufferError("queue full"),
        KafkaException(KafkaError(KafkaError._FATAL)),
        "never",
    ],
    ids=str,
)
def test_a_failure_is_told_of_its_message_alone_and_a_new_producer_is_made(world, effect):
    world.errors = {b"b": effect}
    failed = world.publisher.publish(MESSAGES, 5)
    assert list(failed) == [1]
    assert failed[1]
    assert world.producers[0].purged
    assert world.now <= 5.1
    world.errors = {}
    assert world.publisher.publish(MESSAGES, 5) == {}
    assert len(world.producers) == 2
    assert world.fetched == 2  # cached one layer below: see KafkaAccess
    assert world.forgotten == 0


def test_what_even_purging_does_not_bring_back_counts_as_failed(world):
    world.errors = {b"b": "never"}
    world.publisher.open()
    world.producers[0].stuck = True
    assert list(world.publisher.publish(MESSAGES, 5)) == [0, 1, 2]


@pytest.mark.parametrize(
    "refusal", [KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED]
)
def test_a_refusal_is_not_waited_out_and_the_next_producer_gets_new_secrets(world, refusal):
    world.refusal = refusal
    failed = world.publisher.publish(MESSAGES, 30)
    assert list(failed) == [0, 1, 2]
    assert all("refuse this user" in why for why in failed.values())
    assert world.now < 4
    assert world.forgotten == 1
    world.refusal, world.password = None, "new"
    assert world.publisher.publish(MESSAGES, 5) == {}
    assert [producer.config["sasl.password"] for producer in world.producers] == ["old", "new"]


def test_brokers_that_are_away_are_waited_for_and_keep_their_secrets(world):
    world.refusal = KafkaError._ALL_BROKERS_DOWN
    assert len(world.publisher.publish(MESSAGES, 30)) == 3
    assert world.now >= 30
    assert world.forgotten == 0


def test_without_secrets_there_is_no_producer(world):
    def no_secret():
        raise Retriable("no secret")

    publisher = KafkaPublisher(SERVICE, no_secret, world.forget, world.make)
    for call in (publisher.open, lambda: publisher.publish(MESSAGES, 5)):
        with pytest.raises(Retriable, match="no secret"):
            call()
    assert not world.producers


def test_a_service_that_only_reads_has_its_dead_letters_to_write():
    world = World()
    service = replace(SERVICE, name="fraud_checker", produces=())
    publisher = KafkaPublisher(service, world.access, world.forget, world.make, lambda: world.now)
    publisher.open()
    assert world.producers[0].asked == ["dead_letters"] * 2
    assert publisher.publish([MESSAGES[2]], 5) == {}

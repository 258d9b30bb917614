"""The transactional output replaces a producer whose last transaction did not end well, undisturbed and quickly.

librdkafka may have sent a request twice by then, and a late EndTxn could end the next transaction. A fake producer
takes librdkafka's place at the output's own seam; the real one is met in tests/integration.
"""

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from shopstream.errors import Abortable, Fatal, Fenced, Uncertain
from shopstream.runtime import kafka_output
from shopstream.runtime.kafka_errors import translate
from shopstream.runtime.kafka_output import AtLeastOnceOutput, TransactionalOutput
from shopstream.runtime.transport import Batch, DeadLetter, Partition, StateChange
from shopstream.settings import ClientSettings, Secret
from shopstream.topology import load

TOPOLOGY = load()
SETTINGS = ClientSettings("a:1", username="u", password=Secret("p"))
BATCH = Batch(
    events={"order_shipped": [(b"o", b"v")]},
    dead_letters=[DeadLetter(b"k", b"bad", [("why", b"")])],
    state=[StateChange(3, b"o", None)],
    offsets={Partition("payment_result", 3): 7},
)


def failure(code, *, retriable=False, abort=False, fatal=False):
    return KafkaException(KafkaError(code, "told", fatal, retriable, abort))


class Cluster:
    """Makes fake producers, and knows what they were asked to do."""

    def __init__(self):
        self.made = 0
        self.calls = []
        self.plan = {}
        self.now = 0.0

    def __call__(self, config, logger=None):
        self.made += 1
        return FakeProducer(self, config)

    def happens(self, call, *args):
        self.calls.append((call, *args))
        effect = self.plan.pop(call, None)
        if isinstance(effect, Exception):
            raise effect
        return effect() if callable(effect) else effect


class FakeProducer:
    def __init__(self, cluster, config):
        self._cluster = cluster
        self.config = config
        cluster.newest = self

    def produce_batch(self, topic, messages, **_):
        taken = self._cluster.happens("produce_batch", topic, messages)
        return len(messages) if taken is None else taken

    def produce(self, topic, value, key, **_):
        self._cluster.happens("produce", topic, key, value)

    def flush(self, timeout):
        return self._cluster.happens("flush") or 0

    def __getattr__(self, name):
        return lambda *args, **_: self._cluster.happens(name, *args)


@pytest.fixture
def cluster(monkeypatch):
    cluster = Cluster()
    monkeypatch.setattr(kafka_output.time, "monotonic", lambda: cluster.now)
    return cluster


@pytest.fixture
def output(cluster):
    return TransactionalOutput(SETTINGS, TOPOLOGY.services["shipping_handler"], 0, cluster)


def names(cluster):
    return [call[0] for call in cluster.calls if call[0] != "poll"]


def test_everything_goes_in_one_transaction(cluster, output):
    output.write(BATCH, "the group")
    assert names(cluster) == [
        "init_transactions",
        "begin_transaction",
        "produce_batch",
        "produce",
        "produce_batch",
        "send_offsets_to_transaction",
        "commit_transaction",
    ]
    assert cluster.newest.config["transactional.id"] == "shipping_handler-0"
    state = cluster.calls[[call[0] for call in cluster.calls].index("produce") + 1]
    assert state[1:] == ("shipping_handler_state", [{"key": b"o", "value": None, "partition": 3}])


def test_a_quick_and_quiet_transaction_keeps_its_producer(cluster, output):
    output.write(BATCH, "the group")
    output.write(BATCH, "the group")
    assert cluster.made == 1


def passing(cluster, seconds):
    def wait():
        cluster.now += seconds

    return wait


@pytest.mark.parametrize("step", ["begin_transaction", "send_offsets_to_transaction", "commit_transaction"])
def test_a_slow_step_costs_the_producer(cluster, output, step):
    cluster.plan[step] = passing(cluster, 1.5)
    output.write(BATCH, "the group")
    output.write(BATCH, "the group")
    assert cluster.made == 2


def test_a_broker_failure_during_the_commit_costs_the_producer_although_it_is_told_afterwards(cluster, output):
    def told_when_polled():
        cluster.plan["poll"] = lambda: cluster.newest.config["error_cb"](KafkaError(KafkaError._TRANSPORT))

    cluster.plan["commit_transaction"] = told_when_polled
    output.write(BATCH, "the group")
    output.write(BATCH, "the group")
    assert cluster.made == 2


def test_a_failure_between_two_transactions_costs_nothing(cluster, output):
    output.write(BATCH, "the group")
    cluster.newest.config["error_cb"](KafkaError(KafkaError._TRANSPORT))
    output.write(BATCH, "the group")
    assert cluster.made == 1


def test_after_an_abort_the_producer_is_replaced(cluster, output):
    cluster.plan["commit_transaction"] = failure(KafkaError._STATE, abort=True)
    with pytest.raises(Abortable):
        output.write(BATCH, "the group")
    assert names(cluster)[-1] == "abort_transaction"
    output.write(BATCH, "the group")
    assert cluster.made == 2


def test_an_abort_that_fails_leaves_nobody_knowing(cluster, output):
    cluster.plan["commit_transaction"] = failure(KafkaError._STATE, abort=True)
    cluster.plan["abort_transaction"] = failure(KafkaError._TIMED_OUT)
    with pytest.raises(Uncertain):
        output.write(BATCH, "the group")


def test_a_step_that_never_returns_ends_the_worker(cluster, output, monkeypatch):
    monkeypatch.setattr(kafka_output, "_STEP_TIMEOUT", 0.05)
    monkeypatch.setattr(kafka_output, "_GRACE", 0.05)
    never = threading.Event()
    cluster.plan["send_offsets_to_transaction"] = never.wait
    with pytest.raises(Fatal, match="does not return from sending offsets"):
        output.write(BATCH, "the group")
    output.close()
    assert "purge" not in names(cluster), "nothing more is asked of a producer that hangs"
    never.set()


def test_messages_that_are_not_taken_abort_the_transaction(cluster, output):
    cluster.plan["produce_batch"] = lambda: 0
    with pytest.raises(Abortable, match="order_shipped: 1 of 1 messages were not taken: queue full"):
        output.write(BATCH, "the group")
    assert names(cluster)[-1] == "abort_transaction"


def test_a_full_queue_aborts_the_transaction(cluster, output):
    cluster.plan["produce"] = BufferError("queue full")
    with pytest.raises(Abortable):
        output.write(BATCH, "the group")
    assert names(cluster)[-1] == "abort_transaction"


def test_initialization_is_tried_again_while_that_can_help(cluster):
    cluster.plan["init_transactions"] = failure(KafkaError._TIMED_OUT, retriable=True)
    TransactionalOutput(SETTINGS, TOPOLOGY.services["shipping_handler"], 0, cluster)
    assert names(cluster) == ["init_transactions", "init_transactions"]
    cluster.plan["init_transactions"] = failure(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    with pytest.raises(Fatal, match="TRANSACTIONAL_ID_AUTHORIZATION_FAILED"):
        TransactionalOutput(SETTINGS, TOPOLOGY.services["shipping_handler"], 0, cluster)


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (failure(KafkaError._FENCED, fatal=True), Fenced),
        (failure(KafkaError.INVALID_PRODUCER_EPOCH, abort=True), Fenced),
        (failure(KafkaError.PRODUCER_FENCED), Fenced),
        (failure(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True), Uncertain),
        (failure(KafkaError.ILLEGAL_GENERATION, abort=True), Abortable),
        (failure(KafkaError._TIMED_OUT, retriable=True), Uncertain),
        (failure(KafkaError._TIMED_OUT), Uncertain),
        (failure(KafkaError._INVALID_ARG), Fatal),
    ],
    ids=lambda value: getattr(value, "__name__", None) or value.args[0].name(),
)
def test_what_an_error_means(error, meaning):
    assert type(translate(error.args[0], "commit")) is meaning


class Offsets:
    def __init__(self, cluster):
        self._cluster = cluster

    def commit(self, offsets):
        self._cluster.happens("commit", offsets)


def test_at_least_once_acknowledges_outcomes_before_state_and_state_before_offsets(cluster):
    output = AtLeastOnceOutput(SETTINGS, TOPOLOGY.services["shipping_handler"], 0, Offsets(cluster), cluster)
    output.write(BATCH)
    assert [call[1] if call[0] == "produce_batch" else call[0] for call in cluster.calls] == [
        "order_shipped",
        "produce",
        "flush",
        "shipping_handler_state",
        "flush",
        "commit",
    ]


@pytest.mark.parametrize("unacknowledged", [1, 2])
def test_at_least_once_goes_no_further_than_what_is_acknowledged(cluster, unacknowledged):
    output = AtLeastOnceOutput(SETTINGS, TOPOLOGY.services["shipping_handler"], 0, Offsets(cluster), cluster)
    flushes = iter([unacknowledged == 1, unacknowledged == 2])

    def flush(_timeout):
        cluster.happens("flush")
        return next(flushes)

    cluster.newest.flush = flush
    with pytest.raises(Uncertain):
        output.write(BATCH)
    assert names(cluster).count("flush") == unacknowledged
    assert "commit" not in names(cluster)

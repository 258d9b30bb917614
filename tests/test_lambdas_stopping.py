"""A host ends within a known time, whatever its brokers, its functions and its user do meanwhile."""

import sys
import threading
import time

import pytest

from shopstream.errors import UsageError
from shopstream.lambdas import host as hosts
from shopstream.lambdas import kafka_source
from shopstream.lambdas.host import LambdaHost
from shopstream.lambdas.kafka_source import KafkaSource
from shopstream.lambdas.model import FunctionConfig, MappingConfig
from shopstream.lambdas.runtime import PreparedRuntime
from tests.waiting import until

MAPPING = MappingConfig("u", "fn", "t", ("b:1",), tls=False)


class NoSecrets:
    def get(self, reference):
        raise UsageError("there are none")


class DeadBroker:
    """A client whose broker has just died: what waits for an answer waits until the test ends."""

    def __init__(self, *_, **__):
        self.answer = threading.Event()
        self.committed = []
        self.closed = False

    def subscribe(self, *_, **__):
        pass

    def commit(self, offsets, asynchronous):
        if not asynchronous:
            assert self.answer.wait(60)
            self.committed = [(place.partition, place.offset) for place in offsets]

    def close(self):
        assert self.answer.wait(60)
        self.closed = True


class Silent:
    """A source without records that takes its time to leave, or cannot."""

    trouble, partitions = "", 1
    assignment = frozenset()

    def __init__(self, close):
        self.close = close

    def fetch(self, timeout):
        time.sleep(timeout / 20)

    def lag(self):
        return 0


@pytest.fixture
def broker(monkeypatch):
    client = DeadBroker()
    monkeypatch.setattr(kafka_source, "Consumer", lambda *_, **__: client)
    yield client
    client.answer.set()


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Makes a host whose source is given, and starts it."""

    def make(source):
        monkeypatch.setattr(kafka_source, "KafkaSource", lambda *_: source)
        made = LambdaHost(
            [FunctionConfig("fn", tmp_path, "app.handler")],
            [MAPPING],
            secrets=NoSecrets(),
            runtime=PreparedRuntime(sys.executable),
            home=tmp_path / "home",
            tell=lambda _: None,
        )
        made.start()
        poller = made._mappings["u"]._pollers[0]
        until(lambda: poller._source is source, "the poller polls")
        return made

    return make


def seconds(call):
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


@pytest.mark.parametrize("owed", [{}, {0: 5}])
def test_leaving_a_group_does_not_wait_for_a_dead_broker(broker, monkeypatch, owed):
    monkeypatch.setattr(kafka_source, "_LEAVE_WITHIN", 0.2)
    source = KafkaSource(MAPPING, NoSecrets(), "test")
    source._owed = owed
    assert seconds(source.close) < 10
    assert not broker.closed
    broker.answer.set()  # the thread still does what it can
    until(lambda: broker.closed, "it has left")
    assert broker.committed == list(owed.items())


def test_a_group_that_cannot_be_left_is_an_error_of_who_leaves_it(broker, monkeypatch):
    def refuse():
        raise RuntimeError("a defect")

    monkeypatch.setattr(broker, "close", refuse)
    with pytest.raises(RuntimeError, match="a defect"):
        KafkaSource(MAPPING, NoSecrets(), "test").close()


def test_a_source_that_does_not_close_holds_up_the_end_only_once_and_for_seconds(host, monkeypatch):
    monkeypatch.setattr(hosts, "_LEAVE_WITHIN", 0.2)
    leave = threading.Event()
    made = host(Silent(lambda: leave.wait(60)))
    try:
        assert seconds(lambda: made.stop(patience=5.0)) < 9.0  # and not ten, as with a second wait
        assert seconds(made.stop) < 0.1
    finally:
        leave.set()


def test_who_interrupts_the_end_and_asks_again_does_not_wait(host, monkeypatch):
    monkeypatch.setattr(hosts, "_LEAVE_WITHIN", 0.2)
    leave = threading.Event()
    made = host(Silent(lambda: leave.wait(60)))
    mapping = made._mappings["u"]
    join, asked = mapping.join, []

    def interrupted(timeout):
        asked.append(timeout)
        if len(asked) == 1:
            raise KeyboardInterrupt
        return join(timeout)

    monkeypatch.setattr(mapping, "join", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            made.stop()
        assert seconds(made.stop) < 5
        assert asked[0] > 20 > 1 > max(asked[1:])
    finally:
        leave.set()

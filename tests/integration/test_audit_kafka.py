"""The auditor reads a real Kafka: all that is committed, nothing that is aborted, and again only what is new."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from shopstream.audit import Auditor
from shopstream.audit.source import KafkaSource, reading_order
from shopstream.cli.audit import audit
from shopstream.errors import ClusterError
from shopstream.events import order_id
from shopstream.settings import ClientSettings, Secret
from shopstream.topology import default_path, parse
from tests.audit_history import RATES, TOPOLOGY, History, consumers
from tests.test_audit_anomalies import PLANTS, SHIPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shopstream.audit import Verdict
    from shopstream.cluster.local import LocalCluster
    from shopstream.records import Record

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def cluster(new_cluster) -> Iterator[LocalCluster]:
    """A cluster of its own: what is planted here must not trouble those who audit theirs."""
    cluster = new_cluster()
    cluster.up()
    yield cluster
    cluster.down(wipe=True)


@pytest.fixture
def run_id() -> str:
    return f"audit-{uuid4().hex[:12]}"


@pytest.fixture
def reader(cluster) -> ClientSettings:
    return ClientSettings.from_properties(cluster.properties(TOPOLOGY.user_of("auditor")))


@pytest.fixture
def producer(cluster) -> Producer:
    settings = ClientSettings.from_properties(cluster.properties(TOPOLOGY.user_of("admin")))
    producer = Producer({**settings.to_librdkafka(), "transactional.id": f"audit-test-{uuid4()}", "log_level": 0})
    producer.init_transactions(30)
    return producer


def sound_run(run_id: str, orders: int) -> History:
    """A run of just now, since the auditor's patience goes by the records' own time."""
    return History().add_run(run_id, orders, start_ms=now_ms() - orders * 5, gap_ms=5)


def now_ms() -> int:
    return round(time.time() * 1000)


def send(producer: Producer, records: list[Record]) -> None:
    for r in records:
        producer.produce(
            r.topic, r.value, r.key, partition=r.partition, timestamp=r.timestamp_ms, headers=r.headers or []
        )
    assert producer.flush(30) == 0


def commit(producer: Producer, records: list[Record]) -> None:
    producer.begin_transaction()
    send(producer, records)
    producer.commit_transaction(30)


@pytest.fixture
def judge(reader, run_id) -> Iterator[Callable[[], Verdict]]:
    """Reads what has come since the test began, and judges all of it that is of the test's run."""
    auditor = Auditor(TOPOLOGY, expected_rates=RATES, run_id=run_id)
    with KafkaSource(reader, TOPOLOGY, auditor) as source:
        source.skip()

        def read_and_judge() -> Verdict:
            source.read_new()
            assert source.read_new() == 0
            return auditor.verdict(now_ms() + 60_000, 0)

        yield read_and_judge


def test_a_sound_history_audits_clean(judge, producer, run_id):
    commit(producer, sound_run(run_id, 300).records())
    verdict = judge()
    assert verdict.ok
    assert verdict.orders == 300 == sum(verdict.outcomes.values())
    assert verdict.latency_ms is not None


@pytest.mark.parametrize("anomaly", ["lost_order", "duplicate_event", "missing_refund", "two_payment_decisions"])
def test_a_planted_fault_is_found_where_it_stands(judge, producer, run_id, anomaly):
    history = sound_run("r", 40)
    planted = PLANTS[anomaly](history)
    assert planted.order
    # The plants know the run by the name of `r`: let it have another one on the topics.
    for entry in history.entries:
        entry.key = (entry.key or b"").replace(b"r", run_id.encode(), 1)
        entry.value = (
            (entry.value or b"")
            .replace(b'"r-', f'"{run_id}-'.encode())
            .replace(b'"run_id":"r"', f'"run_id":"{run_id}"'.encode())
        )
    commit(producer, history.records())
    verdict = judge()
    assert set(verdict.anomalies) == {anomaly} | planted.implied
    (sample,) = verdict.anomalies[anomaly].samples
    assert sample.order_id == planted.order.replace("r", run_id, 1)


def test_what_was_aborted_is_not_seen(judge, producer, run_id):
    history = sound_run(run_id, 50)
    producer.begin_transaction()
    send(producer, history.records())
    producer.abort_transaction(30)
    assert judge().orders == 0
    commit(producer, history.records())
    producer.begin_transaction()
    send(producer, history.records())
    producer.abort_transaction(30)
    verdict = judge()
    assert verdict.ok
    assert verdict.orders == 50


def test_what_is_not_committed_yet_is_read_when_it_is(judge, producer, run_id, monkeypatch):
    history = sound_run(run_id, 50)
    late = History().add_run(run_id, 60, start_ms=now_ms())
    done = {order_id(run_id, number) for number in range(50)}
    late.entries = [e for e in late.entries if not e.event or e.event.order_id not in done]
    commit(producer, history.records())
    assert judge().orders == 50
    producer.begin_transaction()
    send(producer, late.records())
    with monkeypatch.context() as impatient:
        impatient.setattr("shopstream.audit.source._TRANSACTION_S", 0.2)
        assert judge().orders == 50
    producer.commit_transaction(30)
    verdict = judge()
    assert verdict.ok
    assert verdict.orders == 60


def test_reading_begins_with_the_first_record_unless_it_is_skipped(reader, producer, run_id):
    commit(producer, sound_run(run_id, 20).records())
    runs = {}
    for skip in (False, True):
        auditor = Auditor(TOPOLOGY, expected_rates=RATES)
        with KafkaSource(reader, TOPOLOGY, auditor) as source:
            if skip:
                source.skip()
            commit(producer, sound_run(f"{run_id}-{skip}".lower(), 10).records())
            source.read_new()
        runs[skip] = set(auditor.verdict(now_ms(), 0).runs)
    assert runs[True] == {f"{run_id}-true"}
    assert runs[False] >= {run_id, f"{run_id}-false"}


class Stuck:
    """A consumer whose main thread has stopped: one of its calls never returns."""

    def __init__(self, consumer, call: str) -> None:
        self._consumer = consumer
        self._call = call
        self.asked = 0

    def __getattr__(self, name):
        if name != self._call:
            return getattr(self._consumer, name)

        def never(*_):
            self.asked += 1
            if name == "poll":
                time.sleep(0.05)  # it says nothing
            else:
                threading.Event().wait(60)

        return never


@pytest.mark.parametrize("call", ["assign", "unassign", "poll"])
def test_a_consumer_that_hangs_is_replaced_and_nothing_is_missed(reader, producer, run_id, monkeypatch, call):
    monkeypatch.setattr("shopstream.audit.source._HANG_S", 0.3)
    auditor = Auditor(TOPOLOGY, expected_rates=RATES, run_id=run_id)
    with KafkaSource(reader, TOPOLOGY, auditor) as source:
        source.skip()
        stuck = {topic: Stuck(consumer, call) for topic, consumer in source._consumers.items()}
        source._consumers.update(stuck)
        commit(producer, sound_run(run_id, 40).records())
        source.read_new()
        assert source.read_new() == 0
    verdict = auditor.verdict(now_ms() + 60_000, 0)
    assert sum(each.asked for each in stuck.values()) > 0
    assert (verdict.ok, verdict.orders, verdict.anomalies) == (True, 40, {})


def test_dead_letters_meet_their_records(judge, producer, run_id):
    history = sound_run(run_id, 10)
    commit(producer, history.records())
    topic, key = TOPOLOGY.topic_of["order_placed"], order_id(run_id, 3).encode()
    deliveries = []
    producer.begin_transaction()
    for value in (b"{", b"[]", None):
        producer.produce(topic, value, key, on_delivery=lambda _, message: deliveries.append(message))
    producer.flush(30)
    producer.commit_transaction(30)
    letters = History()
    for message in deliveries:
        bad = letters.add_bad(topic, message.value(), key=key, partition=message.partition())
        letters.entries.remove(bad)
        for service in consumers(topic):
            letters.add_letter(bad, service, offset=message.offset())
    missing = letters.entries.pop()
    commit(producer, letters.records())
    verdict = judge()
    assert verdict.dead_letters.expected == 6
    assert verdict.dead_letters.found == 5
    assert verdict.anomalies["dead_letter_missing"].count == 1
    letters.entries = [missing]
    commit(producer, letters.records())
    assert judge().ok


def test_progress_goes_up_to_the_end(reader, producer, run_id):
    seen = []
    auditor = Auditor(TOPOLOGY, expected_rates=RATES, run_id=run_id)
    with KafkaSource(reader, TOPOLOGY, auditor, progress=lambda done, total: seen.append((done, total))) as source:
        source.skip()
        commit(producer, sound_run(run_id, 100).records())
        source.read_new()
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]


def test_the_command_judges_a_run(cluster, producer, run_id):
    history = sound_run(run_id, 40)
    commit(producer, history.records())
    properties = cluster.properties(TOPOLOGY.user_of("admin"))
    result = CliRunner().invoke(audit, ["--cluster", str(properties), "--run-id", run_id, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["orders"] == 40
    again = History()
    again.add(history.find(history.orders(*SHIPPED)[0], "order_shipped").event)
    commit(producer, again.records())
    result = CliRunner().invoke(audit, ["--cluster", str(properties), "--run-id", run_id])
    assert result.exit_code == 1
    assert "1 duplicate_event" in result.stdout


def open_source(settings: ClientSettings, topology=TOPOLOGY) -> None:
    auditor = Auditor(topology, expected_rates={})
    with KafkaSource(settings, topology, auditor) as source:
        source.read_new()


def test_a_wrong_password_is_said_so(reader, monkeypatch):
    monkeypatch.setattr("shopstream.audit.source._PATIENCE_S", 3.0)
    with pytest.raises(ClusterError, match="cannot log in"):
        open_source(reader.with_user(reader.username, Secret("wrong")))


def test_a_user_who_may_not_read_is_said_so(cluster):
    with pytest.raises(ClusterError, match="may read"):
        open_source(ClientSettings.from_properties(cluster.properties(TOPOLOGY.source.name)))


def test_a_topology_that_was_not_applied_is_said_so(reader):
    text = default_path().read_text(encoding="utf-8").replace("notifications", "notes")
    with pytest.raises(ClusterError, match=r"has no topic notes .* run `shopstream up`"):
        open_source(reader, parse(text))


def test_brokers_that_are_not_there_are_said_so(reader, monkeypatch):
    monkeypatch.setattr("shopstream.audit.source._PATIENCE_S", 2.0)
    with pytest.raises(ClusterError, match=r"no answer from the brokers at 127\.0\.0\.1:1"):
        open_source(replace(reader, bootstrap_servers="127.0.0.1:1"))


def test_effects_are_looked_at_before_their_causes():
    order = reading_order(TOPOLOGY)
    placed, paid, shipped, told = (
        order.index(TOPOLOGY.topic_of[name])
        for name in ("order_placed", "payment_approved", "order_shipped", "customer_notified")
    )
    assert order.index(TOPOLOGY.source.progress) < told < shipped < paid < placed
    assert order.index(TOPOLOGY.dead_letters) < told

"""The whole shop on a real Kafka: every order has exactly one outcome, whoever is killed and whatever is thrown in."""

import json
import os
import signal
import subprocess
from collections import Counter
from random import Random

import psutil
import pytest
from confluent_kafka import KafkaException

from services.order_generator.order_generator import generate_orders
from services.payment_processor.payment_processor import process_payment
from shopstream.deadletter import origin_of
from shopstream.events import encode
from tests.integration.shop import WITHIN, Shop

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def shop(new_cluster):
    cluster = new_cluster()
    cluster.up()
    return Shop(cluster)


def test_the_same_seed_run_id_and_start_give_the_same_bytes_on_a_new_cluster(shop):
    again = ("run", "--orders", 2_000, "--seed", 7, "--run-id", "again", "--start", "2026-11-27T08:00:00Z")
    streams = []
    for _ in range(2):
        verdict = shop.verdict(*again)
        assert (verdict["ok"], verdict["orders"], verdict["pending"]) == (True, 2_000, 0)
        streams.append([(m.partition(), m.key(), m.value()) for m in shop.records("order_placed")])
        shop.cluster.down(wipe=True)
        shop.cluster.up()
    assert len(streams[0]) == 2_000
    assert streams[0] == streams[1]


def test_a_run_id_is_used_once(shop):
    once = ("run", "--orders", 10, "--run-id", "once", "--start", "2026-11-27T08:00:00Z")
    shop.run(*once)
    again = shop.run(*once, expect=2)
    assert "run 'once' is on this cluster already, with all its 10 orders: choose another --run-id" in again.stderr
    other = shop.run(*once, "--seed", 1, expect=2)
    assert "run 'once' is on this cluster already, with --orders 10 --seed 0" in other.stderr


@pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])
def test_no_order_is_lost_or_doubled_when_one_process_of_each_service_is_killed(shop, guarantee):
    arguments = ("--orders", 8_000, "--rate", 1_500, "--workers", 2, "--guarantee", guarantee, "--json")
    with shop.running(*arguments) as process:
        start = shop.end_of("notifications")
        shop.wait(lambda: shop.end_of("notifications") > start + 500, "nothing flows")
        victims = {name.rsplit("-", 1)[0]: pid for name, pid in shop.pids.items()}
        assert set(victims) == set(shop.topology.services)
        for pid in victims.values():
            os.kill(pid, signal.SIGKILL)
        output, news = process.communicate(timeout=WITHIN)
    for service in victims:
        assert any(line.startswith(service) and "was killed by SIGKILL" in line for line in news.splitlines())
    verdict = json.loads(output)
    assert (verdict["ok"], verdict["orders"], verdict["pending"], verdict["anomalies"]) == (True, 8_000, 0, {})
    assert verdict["guarantee"] == guarantee
    assert sum(verdict["outcomes"].values()) == 8_000
    assert process.returncode == 0


def test_an_interrupted_run_leaves_nothing_behind_and_can_be_finished(shop):
    arguments = ("--orders", 4_000, "--run-id", "halves", "--start", "2026-11-27T08:00:00Z", "--rate", 1_000)
    with shop.running(*arguments) as process:
        start = shop.end_of("notifications")
        shop.wait(lambda: shop.end_of("notifications") > start + 200, "nothing flows")
        children = [psutil.Process(pid) for pid in shop.pids.values()]
        process.send_signal(signal.SIGINT)
        _, news = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run --orders 4000 --run-id halves --seed 0 --start 2026-11-27T08:00:00+00:00" in news
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    other = shop.run("run", "--orders", 4_001, "--run-id", "halves", expect=2)
    assert "give the same to finish it" in other.stderr
    verdict = shop.verdict("run", *arguments)
    assert (verdict["ok"], verdict["orders"], verdict["pending"]) == (True, 4_000, 0)
    assert [m.value() for m in shop.records("order_placed") if m.key().startswith(b"halves-")]


def test_a_run_that_was_killed_when_all_orders_were_placed_can_be_finished(shop):
    arguments = ("--orders", 2_000, "--run-id", "placed", "--start", "2026-11-27T08:00:00Z")
    with shop.running(*arguments) as process:
        frozen = shop.pids["shipping_handler-0"]
        os.kill(frozen, signal.SIGSTOP)
        ledger = shop.home / "runs" / "placed.jsonl"
        shop.wait(lambda: ledger.exists() and '"committed": 2000' in ledger.read_text(), "not all are placed")
        process.kill()
        os.kill(frozen, signal.SIGKILL)
    verdict = shop.verdict("run", *arguments)
    assert (verdict["ok"], verdict["orders"], verdict["pending"]) == (True, 2_000, 0)


def test_a_worker_that_was_frozen_until_others_had_its_partitions_does_no_harm(shop):
    with shop.running("--orders", 6_000, "--rate", 400, "--workers", 2, "--json") as process:
        start = shop.end_of("notifications")
        shop.wait(lambda: shop.end_of("notifications") > start + 300, "nothing flows")
        frozen = [pid for name, pid in shop.pids.items() if name in {"shipping_handler-0", "payment_processor-1"}]
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        # Longer than a session: the others have taken over, and work on.
        shop.wait(lambda: shop.end_of("notifications") > start + 4_500, "nobody took over")
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        output, news = process.communicate(timeout=WITHIN)
    assert process.returncode == 0, output + news
    verdict = json.loads(output)
    assert (verdict["ok"], verdict["orders"], verdict["pending"], verdict["anomalies"]) == (True, 6_000, 0, {})


def test_more_workers_than_partitions_are_no_mistake(shop):
    verdict = shop.verdict("run", "--orders", 200, "--workers", 8)
    assert (verdict["ok"], verdict["orders"]) == (True, 200)


def test_processes_end_when_the_run_itself_is_killed(shop):
    with shop.running("--orders", 50_000, "--rate", 500) as process:
        children = [psutil.Process(pid) for pid in shop.pids.values()]
        process.kill()
        process.wait()
        gone, alive = psutil.wait_procs(children, timeout=30)
        assert not alive
        assert len(gone) == len(shop.topology.services)


def malformed(random, order, kind):
    """A key and value of one of twelve kinds that no service can use."""
    good, key = encode(order), order.order_id.encode()
    return {
        "not_json": (key, good[: random.randrange(1, len(good) - 1)]),
        "not_utf8": (key, good.replace(b'"currency":"EUR"', b'"currency":"E\xffR"')),
        "not_an_object": (key, b"[" + good + b"]"),
        "nested": (key, b"[" * 100_000),
        "null": (key, None),
        "missing_field": (key, good.replace(b'"currency":"EUR"', b'"other":"EUR"')),
        "wrong_type": (key, good.replace(b'"schema_version":1,', b'"schema_version":1,"occurred_at":7,"x":')),
        "unknown_version": (key, good.replace(b'"schema_version":1', b'"schema_version":2')),
        "unknown_event_type": (key, good.replace(b'"event_type":"order_placed"', b'"event_type":"order_eaten"')),
        "absurd_size": (key, good + b" " * 300_000),
        "wrong_key": (b"x" + key, good),
        "no_key": (None, good),
    }[kind]


KINDS = [
    "not_json",
    "not_utf8",
    "not_an_object",
    "nested",
    "null",
    "missing_field",
    "wrong_type",
    "unknown_version",
    "unknown_event_type",
    "absurd_size",
    "wrong_key",
    "no_key",
]


def test_ten_thousand_unusable_records_of_twelve_kinds_disturb_nobody(shop):
    random = Random(12)
    before = shop.ends("dead_letters")
    topics = [topic for topic in shop.topology.topics if consumers(shop, topic)]
    expected = Counter()

    def delivered(error, message):
        assert error is None
        for service in consumers(shop, message.topic()):
            expected[service, message.topic(), message.partition(), message.offset()] += 1

    sources = list(generate_orders(0, 500, run_id="bad"))
    producer = shop.producer()
    with shop.running("--orders", 10_000, "--rate", 2_500, "--json") as process:
        for number in range(10_000):
            kind = KINDS[number % 12]
            # The two large kinds are many megabytes in all, so most of those records go where few read them.
            topic = random.choice(topics) if kind not in {"absurd_size", "nested"} else "order_shipped"
            key, value = malformed(random, random.choice(sources), kind)
            producer.produce(topic, value, key, on_delivery=delivered)
            producer.poll(0)
            if number % 100 == 0:
                producer.flush(30)
        assert producer.flush(60) == 0
        output, _ = process.communicate(timeout=WITHIN)
    verdict = json.loads(output)
    assert (verdict["ok"], verdict["orders"], verdict["pending"]) == (True, 10_000, 0)
    shop.verdict("run", "--orders", 1)  # whatever came in after the last order is through as well
    found = Counter()
    for message in shop.records("dead_letters", before):
        origin = origin_of(message.headers())
        found[origin.service, origin.topic, origin.partition, origin.offset] += 1
    assert found == expected
    assert len({key[1:] for key in expected}) == 10_000


def consumers(shop, topic):
    return [service.name for service in shop.topology.processors if topic in service.consumes]


def test_another_cluster_is_named_by_a_properties_file(shop, tmp_path):
    elsewhere = {**os.environ, "SHOPSTREAM_HOME": str(tmp_path)}
    file = shop.cluster.properties(shop.topology.user_of("admin"))
    for command in (["run", "--orders", 50, "--run-id", "elsewhere"], ["audit", "--run-id", "elsewhere"]):
        done = subprocess.run(
            shop.command(*command, "--cluster", file, "--json"),
            env=elsewhere,
            stdout=subprocess.PIPE,
            timeout=WITHIN,
            check=True,
        )
        verdict = json.loads(done.stdout)
        assert (verdict["ok"], verdict["orders"], verdict["pending"]) == (True, 50, 0)


def test_a_file_that_is_none_is_a_wrong_use(shop, tmp_path):
    missing = shop.run("run", "--orders", 1, "--cluster", tmp_path / "none.properties", expect=2)
    assert "none.properties: cannot be read" in missing.stderr


def test_all_runs_together_audit_clean(shop):
    verdict = shop.verdict("audit")
    assert verdict["ok"], verdict["anomalies"]
    assert verdict["bad_records"]
    assert len(verdict["runs"]) >= 5


def test_a_planted_contradiction_is_found_and_named(shop):
    shop.run("run", "--orders", 5, "--run-id", "planted")
    order = next(m for m in shop.records("order_placed") if m.key() == b"planted-00000003")
    event = process_payment(next(generate_orders(3, 1, run_id="planted")), approval_rate=0.0)
    producer = shop.producer()
    producer.produce("payment_result", encode(event), order.key())
    assert producer.flush(10) == 0
    verdict = shop.verdict("audit", "--run-id", "planted", expect=1)
    assert not verdict["ok"]
    samples = [s for anomaly in verdict["anomalies"].values() for s in anomaly["samples"]]
    assert {sample["order_id"] for sample in samples} == {"planted-00000003"}


def test_a_run_survives_that_its_only_broker_dies_and_comes_back(shop):
    with shop.running("--orders", 6_000, "--rate", 1_000, "--json") as process:
        start = shop.end_of("notifications")
        shop.wait(lambda: shop.end_of("notifications") > start + 300, "nothing flows")
        shop.cluster.kill_broker(1)
        shop.cluster.up()
        output, news = process.communicate(timeout=WITHIN)
    assert process.returncode == 0, output + news
    verdict = json.loads(output)
    assert (verdict["ok"], verdict["orders"], verdict["pending"], verdict["anomalies"]) == (True, 6_000, 0, {})


def test_a_run_survives_the_death_of_one_broker_of_three(new_cluster):
    cluster = new_cluster(brokers=3)
    cluster.up()
    shop = Shop(cluster)
    try:
        with shop.running("--orders", 2_000, "--rate", 300, "--json") as process:
            shop.wait(lambda: shop.end_of("notifications") > 400, "nothing flows")
            cluster.kill_broker(2)
            shop.wait(lambda: flowing(shop, 900), "nothing flows any more")
            cluster.up()
            output, news = process.communicate(timeout=WITHIN)
        assert process.returncode == 0, output + news
        verdict = json.loads(output)
        assert (verdict["ok"], verdict["orders"], verdict["pending"], verdict["anomalies"]) == (True, 2_000, 0, {})
    finally:
        cluster.down()


def flowing(shop, count):
    try:
        return shop.end_of("notifications") > count
    except KafkaException:  # it asked the dead broker
        return False

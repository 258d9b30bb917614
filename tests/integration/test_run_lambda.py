"""The shop as Lambda functions, from the zips, on a real Kafka: one outcome an order, whatever is delivered again."""

import json
import os
import re
import signal
import subprocess
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from shopstream.cli.on_lambda import build_zips
from tests.integration.shop import Shop

pytestmark = [pytest.mark.kafka, pytest.mark.infra, pytest.mark.timeout(600)]

EVENTS = Path(__file__).parents[2] / "docs" / "test-events"
WITHIN = 400  # seconds; the DynamoDB of the stand-in takes about 100 updates a second


@pytest.fixture(scope="module")
def zips():
    return build_zips(print)


@pytest.fixture(scope="module")
def shop(new_cluster, zips):
    cluster = new_cluster()
    cluster.up()
    return Shop(cluster)


@pytest.fixture
def run(shop, zips):
    def carry_out(*arguments, **expected):
        return shop.verdict("run", "--on", "lambda", "--zips", zips, *arguments, within=WITHIN, **expected)

    return carry_out


def test_every_order_has_one_outcome(shop, run):
    verdict = run("--orders", 400, "--run-id", "plain")
    assert (verdict["ok"], verdict["orders"], verdict["pending"], verdict["anomalies"]) == (True, 400, 0, {})
    assert verdict["guarantee"] == "at-least-once"


def test_a_run_id_is_used_once(run, shop):
    once = ("run", "--on", "lambda", "--orders", 400, "--run-id", "plain")
    assert "run 'plain' is on this cluster already" in shop.run(*once, expect=2).stderr


def test_workers_do_not_go_on_where_functions_were(run, shop):
    refused = shop.run("run", "--orders", 5, expect=2)
    assert "go on with --on lambda, or begin afresh" in refused.stderr


def test_every_batch_twice_and_lost_answers_crashes_and_new_pollers_on_top_change_no_outcome(shop, zips):
    arguments = ("--orders", 300, "--run-id", "troubled", "--faults", "redeliver=1,fail=0.2,crash=0.05,restart=3")
    done = shop.run("run", "--on", "lambda", "--zips", zips, *arguments, "--json", within=WITHIN)
    verdict = json.loads(done.stdout)
    # The pollers were really replaced while orders flowed, and batches did fail.
    said = done.stderr[done.stderr.index("run troubled: 300 orders") :]
    assert said.count("restarting all pollers") >= 2
    told = re.search(r"faults: ([\d,]+) of [\d,]+ invocations failed, ([\d,]+) records were delivered once more", said)
    failures, again = (int(number.replace(",", "")) for number in told.groups())
    assert failures >= 10
    assert again >= 300
    assert (verdict["ok"], verdict["orders"], verdict["pending"], verdict["anomalies"]) == (True, 300, 0, {})
    ours = [record for record in shop.records("notifications") if record.key().startswith(b"troubled-")]
    values = {}
    for record in ours:
        values.setdefault(record.key(), set()).add(record.value())
    assert len(values) == 300
    assert {len(different) for different in values.values()} == {1}
    # At least every order's own notification came twice: whatever led to it was delivered twice.
    assert min(Counter(record.key() for record in ours).values()) >= 2


def test_a_run_that_was_killed_is_finished_by_its_successor_though_the_table_is_gone(shop, run, zips):
    arguments = ("--orders", 400, "--run-id", "killed", "--start", "2026-11-27T08:00:00Z", "--on", "lambda")
    before = shop.end_of("notifications")
    with shop.running(*arguments, "--zips", zips) as process:
        shop.wait(lambda: shop.end_of("notifications") > before + 20, "nothing flows", timeout=120)
        functions = shop.pids.values()
        os.kill(process.pid, signal.SIGKILL)
        shop.wait(lambda: not any(map(alive, functions)), "functions live on")
    verdict = run(*arguments)
    assert (verdict["ok"], verdict["orders"], verdict["pending"], verdict["anomalies"]) == (True, 400, 0, {})


def test_orders_of_a_killed_run_are_not_decided_again_with_another_seed(shop, run, zips):
    arguments = ("--on", "lambda", "--orders", 60, "--run-id", "seeded", "--seed", 7)
    arguments = (*arguments, "--start", "2026-11-27T08:00:00Z")
    before = shop.end_of("payment_result")
    # The first answer to each batch is lost: so the decisions are published, and nothing is committed yet.
    with shop.running(*arguments, "--zips", zips, "--faults", "fail=1") as process:
        shop.wait(lambda: shop.end_of("payment_result") > before, "nothing is decided", timeout=120)
        functions = shop.pids.values()
        os.kill(process.pid, signal.SIGKILL)
        shop.wait(lambda: not any(map(alive, functions)), "functions live on")
    other = shop.run("run", "--on", "lambda", "--zips", zips, "--orders", 5, "--seed", 8, expect=2).stderr
    assert "orders of 'seeded' wait for payment_processor.order_placed; their seed is 7, and with 8 some might" in other
    assert "their seed is 7, and with 0 some might" in shop.run("lambda", "run", "--zips", zips, expect=2).stderr
    verdict = run(*arguments)
    assert (verdict["ok"], verdict["orders"], verdict["pending"], verdict["anomalies"]) == (True, 60, 0, {})
    assert run("--orders", 5, "--seed", 8)["ok"]


def test_what_was_placed_by_hand_is_answered_too(shop, zips, tmp_path):
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"orders": 3, "id": "by-hand"}), encoding="utf-8")
    invoke = ("lambda", "invoke", "order_generator", "--zips", zips, "--event", event)
    answer = json.loads(shop.run(*invoke).stdout)
    assert (answer["run_id"], answer["orders"]) == ("by-hand", 3)
    placed = {record.key() for record in shop.records("order_placed")}
    assert {b"by-hand-00000000", b"by-hand-00000001", b"by-hand-00000002"} <= placed


@contextmanager
def serving(shop, zips):
    """`shopstream lambda run` until Ctrl-C, which ends it well."""
    environment = {**os.environ, "SHOPSTREAM_HOME": str(shop.home)}
    command = shop.command("lambda", "run", "--zips", zips)
    log = shop.home / "lambda-run.log"  # not a pipe, which would fill up: the functions' own logs come out here
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, log.read_text()[-5000:]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_a_half_from_before_a_stop_meets_its_other_half_after_the_next_start(shop, zips):
    def answer(service):
        shop.run("lambda", "invoke", service, "--zips", zips, "--event", EVENTS / f"{service}.json")

    def decided():
        topics = ("order_shipped", "order_cancelled")
        return {record.key() for topic in topics for record in shop.records(topic)}

    client = AdminClient(shop.admin.to_librdkafka())
    places = [TopicPartition("payment_result", number) for number in range(6)]

    def read_to_the_end():
        wanted = [ConsumerGroupTopicPartitions("shipping_handler.payment_result", places)]
        (future,) = client.list_consumer_group_offsets(wanted, request_timeout=10).values()
        committed = sum(max(0, place.offset) for place in future.result().topic_partitions)
        return committed >= shop.end_of("payment_result")

    before = {record.key() for record in shop.records("payment_result")}
    answer("payment_processor")
    ours = {record.key() for record in shop.records("payment_result")} - before
    assert ours
    with serving(shop, zips):
        shop.wait(read_to_the_end, "the first halves are not read", timeout=120)
    assert not ours & decided()
    answer("inventory_manager")
    with serving(shop, zips):
        shop.wait(lambda: ours <= decided(), "halves from before the stop are lost", timeout=120)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

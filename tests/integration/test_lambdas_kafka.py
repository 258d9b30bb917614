"""On a real Kafka, through the real runtime client: every record reaches its function, in order, whatever happens."""

import json
import os
import re
import signal
import time
from datetime import UTC, datetime

import pytest

from shopstream.cluster import certificates
from shopstream.lambdas.connection import NO_CONNECTION, NO_TOPIC, NOT_AUTHENTICATED, NOT_AUTHORIZED, SERVER_NOT_TRUSTED
from shopstream.lambdas.kafka_source import KafkaSource
from shopstream.lambdas.model import Faults, Provisioned
from tests.integration.lambda_kafka import World, counts, world
from tests.lambda_world import gone
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.infra]

__all__ = ["world"]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_every_record_once_and_in_order_when_nothing_goes_wrong(world, protocol):
    world.send(700)
    with world.host("note", group_protocol=protocol) as host:
        until(lambda: host.ready, "the poller has its partitions")
        world.send(700)
        world.everything_is_there_and_in_order()
        (pid,) = host.processes()["fn"]
        assert counts(host).last_result == "OK"
        until(lambda: counts(host).lag == 0, "the lag is known to be gone")
        assert counts(host).delivered == 1400
    assert sorted(int(value) for *_, value in world.got) == list(range(1400))
    assert gone(pid)
    assert world.told == []


def test_while_a_batch_fails_for_long_only_a_few_records_are_taken_in_and_none_is_lost(world):
    world.send(600)
    (mapping,) = world.host("note")._mapping_configs
    source = KafkaSource(mapping, world.secrets, "test")
    try:
        until(lambda: source.keep_alive() or source.assignment, "it has its partitions")
        for _ in range(400):
            source.keep_alive()
            time.sleep(0.01)
        assert 50 <= len(source._early) <= 60
        found = []
        while len(found) < 600 and (record := source.fetch(20)):
            found.append(record)
        for partition in range(3):
            assert [each.offset for each in found if each.partition.number == partition] == list(range(200))
    finally:
        source.close()


def test_the_event_is_awss(world):
    headers = [("trace", b"\x01\xff"), ("none", None)]
    world.producer.produce(world.topic, b'{"a": 1}', b"key", partition=1, headers=headers, timestamp=1_700_000_000_123)
    world.producer.produce(world.topic, None, None, partition=1, timestamp=1_700_000_000_124)
    world.producer.flush(30)
    with world.host("shape") as host:
        until(lambda: counts(host).delivered == 2, "both are delivered")
        log = host.log("fn").read_text()
    event = json.loads(re.search(r"^EVENT (.*)$", log, re.MULTILINE)[1])
    place = {"topic": world.topic, "partition": 1, "timestampType": "CREATE_TIME"}
    assert event == {
        "eventSource": "aws:SelfManagedKafka",
        "bootstrapServers": world.user.bootstrap_servers,
        "records": {
            f"{world.topic}-1": [
                {
                    **place,
                    "offset": 0,
                    "timestamp": 1_700_000_000_123,
                    "key": "a2V5",
                    "value": "eyJhIjogMX0=",
                    "headers": [{"trace": [1, -1]}, {"none": None}],
                },
                {**place, "offset": 1, "timestamp": 1_700_000_000_124, "headers": []},
            ]
        },
    }


def test_a_failing_batch_is_retried_until_it_succeeds(world):
    world.send(30)
    with world.host("poison") as host:
        until(lambda: counts(host).retries >= 2, "it is retried")
        assert counts(host).last_result == "PROBLEM: Function call failed"
        assert world.committed() == 0
        world.mended.touch()
        world.everything_is_there_and_in_order()
        assert counts(host).discarded == 0


def test_a_time_out_costs_the_environment_and_no_record(world):
    world.send(30)
    with world.host("slow_once", timeout=1):
        world.everything_is_there_and_in_order()
    assert "Task timed out after 1.00 seconds" in (world.home / "logs" / "fn.log").read_text()


def test_a_killed_environment_loses_nothing(world):
    world.send(30)
    with world.host("slow_once", timeout=60, mapping={"batch_size": 10}) as host:
        until(world.mended.exists, "an invocation is under way, for longer than the test takes")
        (pid,) = host.processes()["fn"]
        os.kill(pid, signal.SIGKILL)
        world.everything_is_there_and_in_order()
        assert counts(host).failures == 1


def test_restarted_pollers_lose_nothing(world):
    with world.host("note", mapping={"batch_size": 20, "window": 0}) as host:
        until(lambda: host.ready, "the poller has its partitions")
        for _ in range(4):
            world.send(300)
            host.restart_pollers()
        world.everything_is_there_and_in_order()


def test_faults_redeliver_and_lose_nothing(world):
    world.send(300)
    faults = Faults(redeliver=0.5, fail=0.3, crash=0.2, seed=7)
    with world.host("note", mapping={"batch_size": 20}, faults=faults) as host:
        world.everything_is_there_and_in_order()
        done = counts(host)
    assert done.redelivered > 0 < done.failures
    assert done.delivered - done.redelivered == 300


def test_a_stopped_host_goes_on_where_it_was(world):
    world.send(300)
    for _ in range(2):
        with world.host("note"):
            world.everything_is_there_and_in_order()
        world.send(30)
    with world.host("note"):
        world.everything_is_there_and_in_order()
    assert len(world.got) == len(world.sent)


def apart(pollers):
    first, second = (poller.assignment for poller in pollers)
    return not first & second


def test_two_pollers_share_the_partitions(world):
    world.send(30)
    with world.host("note", mapping={"provisioned": Provisioned(2, 2)}, most_pollers=2) as host:
        until(lambda: host.ready, "all partitions have a poller")
        pollers = host._mappings["u"]._pollers
        # While they change hands, the one that had them may not have heard of it yet.
        until(lambda: all(each.assignment for each in pollers) and apart(pollers) and host.ready, "each has its own")
        world.send(300)
        world.everything_is_there_and_in_order()


def test_pollers_are_added_when_records_wait(world):
    """And the rebalances in the middle of failing batches lose nothing."""
    world.send(600)
    with world.host("poison", mapping={"provisioned": Provisioned(1, 3), "batch_size": 10}) as host:
        until(lambda: counts(host).pollers == 3, "the lag brings more pollers")
        pollers = host._mappings["u"]._pollers
        until(lambda: sorted(len(poller.assignment) for poller in pollers) == [1, 1, 1], "each has a partition")
        world.mended.touch()
        world.everything_is_there_and_in_order()


def test_partial_answers_and_retry_limits_in_provisioned_mode(world):
    world.send(60)
    mapping = {
        "provisioned": Provisioned(1, 1),
        "report_batch_item_failures": True,
        "maximum_retry_attempts": 1,
    }
    with world.host("some", mapping=mapping) as host:
        until(lambda: world.committed() == 60, "everything is committed")
        assert counts(host).discarded == len([n for n in range(20) if n % 7 == 3]) * 3
    times = {place: [at for _, at, value in world.got].count(place) for place in (2, 3)}
    assert times == {2: 3, 3: 6}
    assert any("RetryAttemptsExhausted" in line for line in world.told)


def test_a_wrong_password_is_told_and_corrected(world):
    world.send(3)
    right = world.secrets.user
    world.secrets.user = {**right, "password": "wrong"}
    with world.host("note") as host:
        until(lambda: counts(host).last_result == NOT_AUTHENTICATED, "it is refused")
        assert not host.ready
        assert any(NOT_AUTHENTICATED in line for line in world.told)
        world.secrets.user = right
        world.everything_is_there_and_in_order()
        until(lambda: counts(host).last_result == "OK", "it is well")
    assert not any(right["password"] in line or "wrong" in line for line in world.told)


def test_an_authority_that_did_not_sign_is_told(world, tmp_path):
    (tmp_path / "tls").mkdir()
    certificates.ensure(tmp_path / "tls", 1, datetime.now(UTC))
    right = world.secrets.ca
    world.secrets.ca = {"certificate": (tmp_path / "tls" / "ca.pem").read_text()}
    world.send(3)
    with world.host("note") as host:
        until(lambda: counts(host).last_result == SERVER_NOT_TRUSTED, "the server is not trusted")
        world.secrets.ca = right
        world.everything_is_there_and_in_order()


def test_a_missing_permission_is_told_and_granted(cluster, tmp_path):
    world = World(cluster, tmp_path)
    world.create()
    world.send(3)
    with world.host("note") as host:
        until(lambda: counts(host).last_result == NOT_AUTHORIZED, "it is not authorized")
        world.allow()
        world.everything_is_there_and_in_order()


def test_a_missing_topic_is_told_and_created(cluster, tmp_path):
    world = World(cluster, tmp_path)
    world.allow()
    with world.host("note") as host:
        until(lambda: counts(host).last_result == NO_TOPIC, "there is no topic")
        world.create()
        world.send(3)
        world.everything_is_there_and_in_order()


def test_a_function_can_be_invoked_by_hand(world):
    with world.host("shape", mapping={"enabled": False}) as host:
        done = host.invoke("fn", b'{"by": "hand"}', request_id="mine")
        assert (done.error, done.request_id, done.payload) == (None, "mine", b"null")
        assert (counts(host).state, host.ready) == ("Disabled", True)


def test_a_broker_that_was_away_is_waited_for(spare_cluster, tmp_path):
    world = World(spare_cluster, tmp_path)
    world.create()
    world.allow()
    world.send(30)
    with world.host("note") as host:
        until(world.all_seen, "every record has been seen")
        spare_cluster.kill_broker(spare_cluster.status().brokers[0].id)
        try:
            until(lambda: counts(host).last_result == NO_CONNECTION, "it is noticed")
        finally:
            spare_cluster.up()
        world.send(30)
        world.everything_is_there_and_in_order()
        until(lambda: counts(host).last_result == "OK", "it is well")


def test_stopping_does_not_wait_for_a_broker_that_has_just_died(spare_cluster, tmp_path):
    world = World(spare_cluster, tmp_path)
    world.create()
    world.allow()
    host = world.host("note")
    host.start()
    try:
        until(lambda: host.ready, "the poller has its partitions")
        world.send(300)
        until(lambda: world.got, "batches are delivered")
        spare_cluster.kill_broker(spare_cluster.status().brokers[0].id)
        begun = time.monotonic()
        host.stop()
        assert time.monotonic() - begun < 20
    finally:
        spare_cluster.up()


def test_stopping_does_not_wait_for_ever(world):
    world.send(3)
    host = world.host("slow_once", timeout=60)
    host.start()
    until(world.mended.exists, "the function is at work")
    (pid,) = host.processes()["fn"]
    begun = time.monotonic()
    host.stop(patience=0.2)
    assert time.monotonic() - begun < 20
    assert gone(pid)
    assert world.committed() == 0

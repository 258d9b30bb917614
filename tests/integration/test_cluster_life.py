"""The cluster's life: it converges, survives, mends itself, and answers clearly when something is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer, TopicPartition

from shopstream.cli import cluster as commands
from shopstream.cluster.admin import Admin
from shopstream.cluster.guard import exclusive
from shopstream.cluster.local import LocalCluster
from shopstream.cluster.plan import Plan
from shopstream.errors import ClusterError, UsageError
from shopstream.settings import ClientSettings
from tests.waiting import until

pytestmark = pytest.mark.kafka

TIMEOUT_S = 20


@pytest.fixture
def cluster(spare_cluster):
    """Up as the topology that comes with shopstream has it, before each test."""
    spare_cluster.up(prune=True)
    return spare_cluster


def admin_config(cluster):
    return {**ClientSettings.from_properties(cluster.properties("admin")).to_librdkafka(), "log_level": 0}


def write(cluster, topic, value=b"kept"):
    """Write a record to partition 0 that all replicas have acknowledged; return its offset."""
    delivered = []
    producer = Producer({**admin_config(cluster), "acks": "all"})
    producer.produce(topic, value, partition=0, on_delivery=lambda error, message: delivered.append((error, message)))
    assert producer.flush(TIMEOUT_S) == 0
    error, message = delivered[0]
    assert error is None
    return message.offset()


def read(cluster, topic, offset):
    consumer = Consumer({**admin_config(cluster), "group.id": "life"})
    consumer.assign([TopicPartition(topic, 0, offset)])
    try:
        message = consumer.poll(TIMEOUT_S)
        return message and message.value()
    finally:
        consumer.close()


def with_topology(cluster, topology):
    """The same cluster, for which another topology is declared."""
    return LocalCluster(cluster.home.root, cache=cluster._cache, topology=topology)


def changed(topology, topic, **changes):
    topics = {**topology.topics, topic: replace(topology.topics[topic], name=topic, **changes)}
    return replace(topology, topics=topics)


def processes_of(directory):
    """Every process whose command line names a directory."""
    return [p for p in psutil.process_iter(["cmdline"]) if str(directory) in " ".join(p.info["cmdline"] or ())]


def test_a_second_up_changes_nothing(cluster):
    pid = cluster.status().brokers[0].pid
    again = cluster.up()
    assert again.started == ()
    assert again.converged.plan == Plan()
    assert cluster.status().brokers[0].pid == pid


def test_data_passwords_and_ports_survive_down_and_up(cluster):
    offset = write(cluster, "notifications")
    files = {user: cluster.properties(user).read_text() for user in cluster.topology.users}
    assert cluster.down() == (1,)
    assert cluster.down() == ()
    assert [broker.state for broker in cluster.status().brokers] == ["down"]
    assert cluster.up().started == (1,)
    assert read(cluster, "notifications", offset) == b"kept"
    assert {user: cluster.properties(user).read_text() for user in files} == files


def test_a_killed_broker_is_seen_and_mended_without_loss(cluster):
    offset = write(cluster, "notifications", b"acknowledged")
    cluster.kill_broker(1)
    found = cluster.status()
    assert not found.up
    assert found.brokers[0].state == "died"
    assert "shopstream up" in found.brokers[0].diagnosis
    assert cluster.up().started == (1,)
    assert read(cluster, "notifications", offset) == b"acknowledged"


def test_a_lost_password_file_means_a_new_password(cluster):
    cluster.properties("auditor").unlink()
    cluster.up()  # returns only when the new password works
    assert cluster.properties("auditor").stat().st_mode & 0o777 == 0o600


def test_what_the_topology_changes_is_changed_and_the_rest_reported_then_pruned(cluster):
    shipped = cluster.topology
    declared = changed(
        shipped, "notifications", config={**shipped.topics["notifications"].config, "retention.ms": "1000"}
    )
    declared = changed(
        replace(declared, topics={**declared.topics, "extra": shipped.topics["notifications"]}), "extra", partitions=2
    )
    declared = replace(
        declared, operators={**shipped.operators, "guest": replace(shipped.operators["auditor"], name="guest")}
    )
    plan = with_topology(cluster, declared).up().converged.plan
    assert set(plan.create) == {"extra"}
    assert plan.configure == {"notifications": {"retention.ms": "1000"}}
    assert plan.users == ("guest",)
    assert {acl.user for acl in plan.grant} == {"guest"}

    back = cluster.up().converged
    assert set(back.plan.configure) == {"notifications"}
    assert back.left.topics == ("extra",)
    assert back.left.users == ("guest",)
    assert {acl.user for acl in back.left.acls} == {"guest"}

    assert not cluster.up(prune=True).converged.left
    assert not cluster.up().converged.left


def test_another_partition_count_is_refused_for_data_and_made_for_an_empty_topic(cluster):
    def with_partitions(topic, partitions):
        return with_topology(cluster, changed(cluster.topology, topic, partitions=partitions))

    def partitions(topic):
        return Admin(admin_config(cluster)).read()[0].topics[topic].partitions

    write(cluster, "notifications")
    with pytest.raises(ClusterError, match=r"notifications.*holds \d+ records.*down --wipe"):
        with_partitions("notifications", 7).up()
    assert partitions("notifications") == 6
    assert cluster.status().up

    empty = replace(
        cluster.topology, topics={**cluster.topology.topics, "empty": cluster.topology.topics["notifications"]}
    )
    with_topology(cluster, changed(empty, "empty", partitions=2)).up()
    assert partitions("empty") == 2
    assert set(with_topology(cluster, changed(empty, "empty", partitions=3)).up().converged.plan.reshape) == {"empty"}
    # It is deleted and made anew: a broker may tell of neither for a moment.
    until(lambda: "empty" in Admin(admin_config(cluster)).read()[0].topics, "the topic is told of")
    assert partitions("empty") == 3


def test_a_superuser_of_the_topology_restarts_the_broker(cluster):
    """Superusers are configuration, not ACLs: the one change that needs a restart gets it."""
    operators = cluster.topology.operators
    promoted = {**operators, "auditor": replace(operators["auditor"], superuser=True)}
    assert with_topology(cluster, replace(cluster.topology, operators=promoted)).up().started == (1,)
    assert cluster.up().started == (1,)


def test_a_port_in_use_is_named_with_its_holder_and_a_way_out(cluster, new_cluster):
    port = cluster.status().brokers[0].client_port
    rival = new_cluster(port=port)
    with pytest.raises(
        ClusterError, match=rf"port {port} .*java \(process {cluster.status().brokers[0].pid}\).*--port"
    ):
        rival.up()
    assert processes_of(rival.home.root) == []
    assert cluster.status().up


def test_other_ports_or_brokers_are_refused_while_it_runs(cluster):
    for options, remedy in (({"brokers": 3}, "down --wipe"), ({"port": 29999}, "down")):
        with pytest.raises(UsageError, match=remedy):
            LocalCluster(cluster.home.root, cache=cluster._cache, **options).up()
    assert cluster.status().up


def test_two_ups_at_once_get_a_clear_answer(cluster):
    with exclusive(cluster.home.guard), pytest.raises(ClusterError, match="at work"):
        cluster.up()


def test_a_broker_that_cannot_start_says_why(new_cluster):
    cluster = new_cluster()
    cluster.up()
    cluster.down()
    meta = cluster.home.broker(1) / "data" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(ClusterError, match=r"(?s)died.*node.id"):
        cluster.up()
    assert processes_of(cluster.home.root) == []


def test_a_damaged_cache_of_the_jvm_is_refused_and_replaced(new_cluster, tmp_path):
    """Files of a cache that others share must not be harmed: this cluster gets a copy."""
    shared = new_cluster()
    jvm = shared._jvm()
    copy = tmp_path / jvm.aot.name
    copy.write_bytes(b"damaged" + jvm.aot.read_bytes()[7:])
    told = []
    cluster = new_cluster(jvm=replace(jvm, cache=tmp_path), progress=told.append)
    assert cluster.up().started == (1,)
    assert "damaged" in told[-1]
    assert not copy.exists()


def test_ctrl_c_leaves_nothing_behind(new_cluster):
    cluster = new_cluster()
    cluster.up()
    cluster.down(wipe=True)
    environment = {**os.environ, "SHOPSTREAM_HOME": str(cluster.home.root), "PYTHONUNBUFFERED": "1"}
    cluster.home.cache.rmdir()
    cluster.home.cache.symlink_to(cluster._cache)  # so that it gets to the brokers at once
    command = [sys.executable, "-m", "shopstream.cli.main", "up", "--port", str(cluster._asked_port)]
    up = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        while "starting" not in up.stderr.readline():
            assert up.poll() is None
        pid_file = cluster.home.broker(1) / "pid"
        deadline = time.monotonic() + TIMEOUT_S
        while not (pid_file.exists() and pid_file.read_text()):
            assert time.monotonic() < deadline, "no broker was started"
        up.send_signal(signal.SIGINT)
        _, errors = up.communicate(timeout=TIMEOUT_S)
    finally:
        up.kill()
    assert up.returncode == 130, errors
    assert "Traceback" not in errors
    assert processes_of(cluster.home.root) == []


def test_the_commands_tell_all_of_it(cluster, monkeypatch):
    monkeypatch.setenv("SHOPSTREAM_HOME", str(cluster.home.root))

    def run(command, *arguments):
        result = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
        return result.exit_code, json.loads(result.stdout)

    code, status = run(commands.status)
    assert code == 0
    assert status["up"]
    (broker,) = status["brokers"]
    assert psutil.Process(broker["pid"]).memory_info().rss == pytest.approx(broker["memory_bytes"], rel=0.2)
    assert broker["data_bytes"] > 0
    assert broker["uptime_s"] > 0

    _, env = run(commands.env)
    assert env["bootstrap_servers"] == cluster.bootstrap_servers
    assert set(env["users"]) == set(cluster.topology.users)
    for user, path in env["users"].items():
        assert ClientSettings.from_properties(cluster.properties(user)).username == user
        assert path == str(cluster.properties(user))

    for command in (commands.status, commands.env):
        shown = CliRunner().invoke(command, [], catch_exceptions=False).stdout
        assert cluster.bootstrap_servers in shown
        password = ClientSettings.from_properties(cluster.properties("admin")).password.reveal()
        assert password not in shown


def test_three_brokers_keep_three_copies_and_survive_the_loss_of_one(new_cluster):
    cluster = new_cluster(brokers=3)
    cluster.up()
    state, up = Admin(admin_config(cluster)).read()
    assert up == 3
    assert {topic.replication for topic in state.topics.values()} == {3}
    assert {topic.config["min.insync.replicas"] for topic in state.topics.values()} == {"2"}

    offset = write(cluster, "notifications", b"before")
    cluster.kill_broker(2)
    assert write(cluster, "notifications", b"without") == offset + 1
    assert [broker.state for broker in cluster.status().brokers] == ["up", "died", "up"]
    assert cluster.up().started == (2,)
    assert read(cluster, "notifications", offset) == b"before"
    for topic in ("__consumer_offsets", "__transaction_state"):
        _internal_topic_is_as_safe(cluster, topic)
    cluster.down(wipe=True)
    assert not cluster.home.brokers.exists()


def _internal_topic_is_as_safe(cluster, topic):
    from confluent_kafka.admin import AdminClient, ConfigResource

    admin = AdminClient(admin_config(cluster))
    producer = Producer({**admin_config(cluster), "transactional.id": "life"})
    producer.init_transactions(TIMEOUT_S)
    read(cluster, "notifications", 0)
    partitions = admin.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions
    assert {len(partition.replicas) for partition in partitions.values()} == {3}
    (future,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).values()
    assert future.result(TIMEOUT_S)["min.insync.replicas"].value == "2"

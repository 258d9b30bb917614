"""While orders flow: restarts, crashes, hangs, partitions, new certificates and passwords. No order may suffer.

The flow is `shopstream run` with worker processes on the operator's machine; its verdict is the auditor's. Takes about
20 minutes; what needs no faults is in test_hosts_cluster.py.
"""

import secrets
import subprocess
import sys
import time

import pytest

from tests.infra.hosts_world import PLAYBOOKS, ROOT, recap, words

pytestmark = [pytest.mark.hosts, pytest.mark.faults, pytest.mark.timeout(1500)]

HANG_S = 25
"""Longer than a broker's session at ZooKeeper (18 s): it is declared dead, and comes back."""


def leader_of_zookeeper(world):
    for name in ("zookeeper1", "zookeeper2", "zookeeper3"):
        words = (
            "import socket; s = socket.create_connection(('127.0.0.1', 2181)); s.sendall(b'srvr'); print(s.recv(9999))"
        )
        if "Mode: leader" in world.hosts.run(name, ["python3", "-c", words]).stdout:
            return name
    raise AssertionError("no ZooKeeper leads")


# Orders come at 100 a second: each flow is long enough to outlast what is done to the machines meanwhile.


def in_sync(world):
    """Every replica is in sync again, as verify.yml asks for it."""
    world.play("verify.yml", "--tags", "kafka")


@pytest.fixture(autouse=True)
def whole(world):
    yield
    world.hosts.heal()
    world.hosts.thaw()
    world.hosts.start()


def test_a_rolling_restart(world):
    with world.flow("rolling", orders=25_000):
        world.play("rolling_restart.yml")


def test_a_crash_of_a_brokers_host(world):
    with world.flow("broker-crash"):
        world.hosts.cut("kafka2")
        time.sleep(15)
        world.hosts.start("kafka2")
    in_sync(world)


def test_a_crash_of_the_zookeeper_leaders_host(world):
    with world.flow("leader-crash"):
        leader = leader_of_zookeeper(world)
        world.hosts.cut(leader)
        time.sleep(10)
        world.hosts.start(leader)
    in_sync(world)


def test_a_crash_of_all_hosts_at_once(world):
    with world.flow("blackout"):
        world.hosts.cut()
        world.hosts.start()
    in_sync(world)


def test_a_broker_that_hangs(world):
    with world.flow("frozen"):
        world.hosts.freeze("kafka3")
        time.sleep(HANG_S)
        world.hosts.thaw("kafka3")
    in_sync(world)


def test_a_broker_that_zookeeper_does_not_hear(world):
    with world.flow("partitioned"):
        world.hosts.partition(["kafka1"], ["zookeeper1", "zookeeper2", "zookeeper3"])
        time.sleep(HANG_S)
        world.hosts.heal()
    in_sync(world)


def test_new_certificates(world):
    before = world.hosts.run("kafka1", ["cat", "/etc/kafka/tls/keystore.pem"]).stdout
    with world.flow("certificates", orders=30_000):
        world.play("rotate_certificates.yml")
    assert world.hosts.run("kafka1", ["cat", "/etc/kafka/tls/keystore.pem"]).stdout not in ("", before)
    in_sync(world)


def renew(world, name):
    world.secret(name, {**world.secret(name), "password": secrets.token_urlsafe(32)})
    world.play("rotate_passwords.yml")


def test_a_new_password_of_a_service(world):
    """The cluster learns it, then its clients do; open connections live on meanwhile, and new ones take the new one."""
    with world.flow("password", orders=25_000):
        renew(world, "kafka/payment_processor")
        world.write_clients()
        restarted = world.hosts.run("kafka2", ["systemctl", "restart", "kafka"], timeout=240)
        assert restarted.returncode == 0, restarted.stderr
        in_sync(world)
    world.play("verify.yml")


def test_new_passwords_of_the_brokers(world):
    """Each broker restarts twice: while the password changes they use a spare user."""
    with world.flow("passwords", orders=50_000):
        renew(world, "hosts/broker")
    world.play("verify.yml")


def test_another_version(world):
    """Kafka's next patch release, taken into use while orders flow; site.yml then wants to hear of it."""
    variables = [f"-e{key}={value}" for key, value in world.upgrade_variables().items()]
    with world.flow("upgrade", orders=50_000):
        world.play("upgrade.yml", *variables)
    refused = words(world.play("site.yml", "--tags", "kafka", expect=1))
    assert "upgrade.yml" in refused
    world.play("verify.yml", *variables)


def test_many_orders_fit_into_the_memory(world):
    with world.flow("many", orders=200_000, rate=100_000, within=1200):
        pass
    for host in world.hosts.status().hosts:
        assert host.oom_kills == 0, host
        assert host.memory_used < host.memory_limit, host
        print(f"{host.name}: {host.memory_used >> 20} of {host.memory_limit >> 20} MiB")


class TestBrokenInput:
    """Each stops early and says what to do; nothing is changed; a rerun after mending completes."""

    def stops(self, world, *arguments):
        """What is said by a run that fails, and that has changed nothing."""
        text = world.play(*arguments, expect=1)
        assert [host for host, counts in recap(text).items() if counts["changed"]] == [], text[-3000:]
        return words(text)

    def test_an_unknown_variable(self, world):
        assert "Nobody has declared: kafka_heap" in self.stops(world, "site.yml", "-e", "kafka_heap=384")

    def test_an_inventory_that_is_not_there(self, world):
        command = [ROOT / ".venv-ansible/bin/ansible-playbook", "-i", world.home / "no-inventory.ini", "site.yml"]
        done = subprocess.run(command, cwd=PLAYBOOKS, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode != 0
        assert "has no hosts for zookeeper, kafka, monitoring" in words(done.stdout + done.stderr)

    def test_too_little_memory(self, world):
        said = self.stops(world, "site.yml", "-e", "kafka_heap_mb=900")
        assert "kafka1 has 1024 MiB, and needs 1350" in said
        assert "Lower kafka_heap_mb" in said

    def test_an_unreachable_host(self, world):
        world.hosts.unplug("zookeeper3")
        try:
            said = self.stops(world, "site.yml", "--tags", "zookeeper")
            waited = self.stops(world, "reachable.yml", "-e", "reachable_seconds=5")
        finally:
            world.hosts.plug("zookeeper3")
        assert "No SSH to zookeeper3" in said, said[-2000:]
        assert "No SSH to zookeeper3" in waited, waited[-2000:]
        assert "within 5 s: does it run" in waited, waited[-2000:]
        assert "Nothing has been changed" in said

    def test_a_missing_secret(self, world):
        gone = "import boto3; c = boto3.client('secretsmanager', region_name='us-east-1'); "
        delete = gone + "c.delete_secret(SecretId='shopstream/hosts/grafana_admin', RecoveryWindowInDays=7)"
        restore = gone + "c.restore_secret(SecretId='shopstream/hosts/grafana_admin')"
        world.operator(sys.executable, "-c", delete)
        try:
            said = self.stops(world, "site.yml")
        finally:
            world.operator(sys.executable, "-c", restore)
        assert "lacks shopstream/hosts/grafana_admin" in said, said[-2000:]
        assert "scripts/deploy_all.sh makes what is missing" in said

    def test_a_wrong_checksum(self, world):
        # upgrade_variables' own address, with the checksum of another archive
        variables = {
            **world.upgrade_variables(),
            "kafka_version": "3.9.9",
            "kafka_archive_checksum": "sha512:" + "0" * 128,
        }
        said = words(world.play("upgrade.yml", *(f"-e{key}={value}" for key, value in variables.items()), expect=1))
        assert f"did not match {'0' * 128}" in said, said[-3000:]

    def test_mended_it_completes(self, world):
        variables = [f"-e{key}={value}" for key, value in world.upgrade_variables().items()]
        world.play("site.yml", *variables)

"""Twelve mistakes that people make, each planted in the copy that is rehearsed, and each caught with a clear message.

One kept rehearsal grows from phase to phase. Before each next one a mistake is planted, the cheapest phase that can see
it must fail and say why, the mistake is taken away, and the phase must succeed. Takes 25 to 40 minutes.
"""

import contextlib
import json
import os
import subprocess
import sys

import pytest

from shopstream.rehearsal.life import functions, preparing
from shopstream.rehearsal.life.record import Record
from shopstream.rehearsal.life.world import World
from tests.infra.hosts_world import CACHE, ROOT, words

pytestmark = [pytest.mark.rehearsal, pytest.mark.faults, pytest.mark.timeout(900)]


class Kept:
    """A rehearsal that is left up, and what a test does with it."""

    def __init__(self, home):
        self.home = home
        self.environment = {**os.environ, "SHOPSTREAM_HOME": str(home), "SHOPSTREAM_REHEARSAL_CACHE": str(CACHE)}
        self.world = World(ROOT, home, CACHE, os.environ, print)
        self.site = self.world.site

    def _run(self, *arguments):
        command = [sys.executable, "-m", "shopstream.cli.main", "rehearse", *arguments]
        return subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=800
        )

    def passes(self, phase):
        done = self._run("--only", phase)
        assert done.returncode == 0, done.stderr[-5000:]

    def fails(self, phase, *expected):
        """It ends with 1, and its message, without the report below it, has all that is expected."""
        done = self._run("--only", phase)
        error = Record.read(self.world.directory).results[phase].error
        print(f"{phase}: {error}")
        assert done.returncode == 1, done.stderr[-5000:]
        assert [each for each in expected if each not in words(error)] == [], error
        assert "Traceback" not in done.stderr

    def begins(self):
        """Up to where the copy is there, and an empty account."""
        for phase in ("needs", "supplies", "zips", "ground"):
            self.passes(phase)

    def down(self):
        done = self._run("hosts", "down")
        assert done.returncode == 0, done.stderr[-5000:]

    @contextlib.contextmanager
    def planted(self, name, *, instead_of, there_is):
        """Another text in a file of the copy, while the body runs."""
        file = self.site / name
        text = file.read_text(encoding="utf-8")
        assert text.count(instead_of) == 1, f"{name} has {text.count(instead_of)} times {instead_of!r}"
        file.write_text(text.replace(instead_of, there_is), encoding="utf-8")
        try:
            yield
        finally:
            file.write_text(text, encoding="utf-8")

    def access(self, change, group):
        """Take payment_processor's right to read in a group away, or give it back, on the cluster itself."""
        words = (
            f"/opt/kafka/bin/kafka-acls.sh --bootstrap-server $(hostname -I | cut -d' ' -f1):9092 {change} --force "
            f"--command-config /etc/kafka/client.properties --allow-principal User:payment_processor "
            f"--operation Read --group {group}"
        )
        done = self.world.hosts.run("kafka1", ["sh", "-c", words], timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    def new_code(self):
        """Build the zips from the copy, and deploy them."""
        preparing.rebuild(self.world)
        self.passes("infrastructure")

    def secret(self, name, value=None):
        """A secret's value, before it is replaced where there is another."""

        def question(client):
            secrets = client("secretsmanager")
            before = secrets.get_secret_value(SecretId=name)["SecretString"]
            if value is not None:
                secrets.put_secret_value(SecretId=name, SecretString=value)
            return before

        return self.world.ask(question)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    made = Kept(tmp_path_factory.mktemp("kept"))
    try:
        made.begins()
        yield made
    finally:
        made.down()


def test_a_resource_that_destroy_forgets(tmp_path):
    """In a rehearsal of its own, before the other has machines: what is forgotten would be in its way."""
    bare = Kept(tmp_path)
    try:
        bare.begins()
        line = "    volume_size = local.roles[each.value.role].disk\n"
        there_is = f"{line}    delete_on_termination = false\n"
        with bare.planted("infra/terraform/kafka.tf", instead_of=line, there_is=there_is):
            bare.passes("infrastructure")
            bare.fails("teardown", "EBS volume", "vol-")
    finally:
        bare.down()


def test_partitions_that_differ_between_joined_topics(kept):
    with kept.planted(
        "topology.yaml",
        instead_of="    events: [payment_approved, payment_declined, payment_refunded]\n",
        there_is="    events: [payment_approved, payment_declined, payment_refunded]\n    partitions: 12\n",
    ):
        kept.fails("infrastructure", "payment_result", "inventory_result", "partitions")


def test_a_wrong_handler_name(kept):
    with kept.planted(
        "infra/terraform/lambdas.tf",
        instead_of='"shopstream.runtime.entry.${each.key}"',
        there_is='"services.${each.key}.${each.key}.main"',
    ):
        kept.fails(
            "infrastructure",
            "function shopstream-payment_processor",
            "expected: handler shopstream.runtime.entry.payment_processor",
        )


def test_a_mapping_on_the_wrong_topic(kept):
    with kept.planted(
        "infra/terraform/lambdas.tf",
        instead_of="topics            = [each.value.topic]",
        there_is='topics            = [replace(each.value.topic, "order_shipped", "order_placed")]',
    ):
        kept.fails(
            "infrastructure",
            "mapping order_shipped to shopstream-notification_handler: missing",
            "mapping order_placed to shopstream-notification_handler",
        )


def test_the_brokers_port_missing_from_the_security_group(kept):
    line = "    lambdas               = { group = aws_security_group.lambdas.id, port = 9094, about = "
    with kept.planted("infra/terraform/security.tf", instead_of=line, there_is=line.replace("9094", "9095")):
        kept.fails(
            "infrastructure", "security group shopstream-kafka: port 9094", "expected: open to shopstream-lambdas"
        )


def test_then_there_are_machines(kept):
    for phase in ("infrastructure", "boot", "firewall"):
        kept.passes(phase)


def test_a_heap_above_the_hosts_memory(kept):
    with kept.planted(
        "infra/ansible/group_vars/all.yml", instead_of="kafka_heap_mb: 384", there_is="kafka_heap_mb: 900"
    ):
        kept.fails("configure", "has 1024 MiB, and needs 1350", "Lower kafka_heap_mb")


def test_a_wrong_name_in_a_certificate(kept):
    with kept.planted(
        "infra/ansible/roles/certificates/defaults/main.yml",
        instead_of='"{{ [private_ip] + ',
        there_is="\"{{ ['10.20.99.99'] + ",
    ):
        kept.fails("configure", "certificate", "10.20.")


def test_a_listener_that_advertises_the_wrong_name(kept):
    with kept.planted(
        "infra/ansible/roles/kafka/templates/server.properties.j2",
        instead_of="advertised.listeners={% for name, port in kafka_listeners.items() %}{{ name }}://{{ private_ip }}",
        there_is="advertised.listeners={% for name, port in kafka_listeners.items() %}{{ name }}://localhost",
    ):
        kept.fails("configure", "advertise")


def test_then_there_is_a_cluster(kept):
    kept.passes("configure")


def test_an_access_rule_that_the_poller_lacks(kept):
    group = "payment_processor.order_placed"
    kept.access("--remove", group)
    try:
        kept.fails("poll", "order_placed to shopstream-payment_processor", "Cluster failed to authorize Lambda")
    finally:
        kept.access("--add", group)


def test_a_wrong_secret(kept):
    name = "shopstream/kafka/inventory_manager"
    right = kept.secret(name)
    functions.stop(kept.world)  # pollers that are in stay in
    kept.secret(name, json.dumps({**json.loads(right), "password": "x" * 43}))
    try:
        kept.fails("poll", "order_placed to shopstream-inventory_manager", "SASL authentication failed")
    finally:
        kept.secret(name, right)


def test_then_the_pollers_poll(kept):
    kept.passes("poll")


def test_then_orders_flow(kept):
    kept.passes("flow")
    kept.passes("judge")


def test_a_task_that_is_not_idempotent(kept):
    with kept.planted(
        "infra/ansible/roles/node_exporter/tasks/main.yml",
        instead_of="- name: Configure the exporter\n",
        there_is="- name: Count the runs\n  ansible.builtin.shell: date >> /var/tmp/runs\n\n"
        "- name: Configure the exporter\n",
    ):
        kept.fails("change", "node_exporter : Count the runs on", "nothing was changed for them")


def test_a_handler_that_returns_before_flush(kept):
    with kept.planted(
        "src/shopstream/runtime/publisher.py",
        instead_of="left = self._wait(deadline, clock)",
        there_is="left = 0",
    ):
        kept.new_code()
        kept.passes("flow")
        kept.fails("judge", "order")

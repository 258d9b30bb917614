"""A module and an entry of topology.yaml are all that a new service takes: docs/adding-a-service.md, carried out.

The page's own code goes into a copy of the checkout, and the page's own commands are called there, on a cluster of the
copy's own. What Terraform plans for such an entry is in tests/infra/test_adding_a_service.py.

The tests of this file are one story and run in their order.
"""

import json
import os
import re
import signal
import zipfile
from collections import Counter
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, TopicPartition

from services.order_generator.order_generator import generate_orders
from shopstream.deadletter import origin_of
from shopstream.topology import load
from tests import adding
from tests.adding import ANSWERS, APART, COMMITTED, NAME, ON_LAMBDA, READS
from tests.integration.checkout import Checkout
from tests.integration.shop import WITHIN, Shop

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

START = datetime(2026, 11, 27, 8, tzinfo=UTC)


class Copy(Shop):
    """A copy of the checkout with a cluster of its own, whose state directory lies where the page has it."""

    def __init__(self, cluster, folder):
        super().__init__(cluster)
        self.folder = folder
        self.checkout = Checkout(folder, self.home)
        self.typed = set()

    def follow(self, title):
        """Put a section's code where it belongs."""
        adding.carry_out(title, self.folder)
        self.topology = load(self.folder / "topology.yaml")

    def type(self, title, *then, **options):
        """Type what a section says one should type, and perhaps more; what each command prints."""
        self.typed.add(title)
        return self.checkout.type(*adding.commands(title), *then, within=WITHIN, **options)

    def committed(self):
        """How far the new service's group has come, by partition of the topic with the orders."""
        consumer = Consumer({**self.admin.to_librdkafka(), "group.id": NAME})
        try:
            places = [TopicPartition("order_placed", n) for n in range(self.topology.topics["order_placed"].partitions)]
            return {place.partition: place.offset for place in consumer.committed(places, timeout=10)}
        finally:
            consumer.close()

    def last_orders(self):
        """By partition, the offset behind the last order or whatever stands in its place."""
        return {message.partition(): message.offset() + 1 for message in self.records("order_placed")}

    def edit(self, old, new):
        path = self.folder / "services" / NAME / f"{NAME}.py"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def there():
    """The process's own directory and environment while the tests run in a copy."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def copy(new_cluster, tmp_path_factory, there):
    cluster = new_cluster()
    cluster.up()  # with the topology as it was
    made = Copy(cluster, tmp_path_factory.mktemp("copy"))
    for name in ("PYTHONPATH", "SHOPSTREAM_HOME"):
        there.setenv(name, made.checkout.environ[name])
    there.chdir(made.folder)
    return made


def suspicious(order):
    """The page's rule, in other words."""
    return order.total > 20_000 or max(line.quantity for line in order.lines) >= 4


def test_one_that_only_reads_has_read_every_order_when_the_run_ends(copy):
    copy.follow(READS)
    copy.type(READS)
    assert copy.committed() == copy.last_orders()
    orders = [json.loads(message.value()) for message in copy.records("order_placed")]
    assert len(orders) == 500
    placed = generate_orders(0, 500, run_id=orders[0]["order_id"].rpartition("-")[0])
    (log,) = re.findall(r"`(\S+\.log)`", adding.section(READS))
    noted = re.findall(r" order (\S+): \w+$", (copy.folder / log).read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(noted) == [order.order_id for order in placed if suspicious(order)]
    assert noted
    assert not copy.records("dead_letters")
    assert copy.verdict("audit")["orders"] == 500


def test_its_user_may_do_what_the_entry_says_and_no_more(copy):
    assert copy.verdict("topology", "apply", "--check")["changed"] is False
    mine = {(acl["operation"], acl["name"]) for acl in copy.verdict("topology", "acls") if acl["user"] == NAME}
    assert ("read", "order_placed") in mine
    assert {name for operation, name in mine if operation == "write"} == {"dead_letters", f"{NAME}-"}


def test_what_it_cannot_use_is_dead_lettered_in_its_name_and_the_auditor_asks_for_that(copy):
    (order,) = generate_orders(0, 1, run_id="broken")
    producer = copy.producer()
    producer.produce("order_placed", b"{", order.order_id.encode())
    assert producer.flush(10) == 0
    assert copy.verdict("run", "--orders", 20)["ok"]
    letters = [origin_of(message.headers()) for message in copy.records("dead_letters")]
    assert Counter((letter.service, letter.topic, letter.reason) for letter in letters) == {
        (service, "order_placed", "not_json"): 1 for service in (NAME, "payment_processor", "inventory_manager")
    }
    verdict = copy.verdict("audit")
    assert (verdict["dead_letters"]["expected"], verdict["dead_letters"]["found"]) == (3, 3)
    copy.run("audit", "--topology", adding.ROOT / "topology.yaml", expect=1)  # there nobody of that name reads orders


def test_a_run_waits_for_it_even_if_it_is_slow(copy):
    copy.edit("    if isinstance(event", "    __import__('time').sleep(0.02)\n    if isinstance(event")
    done = copy.run("run", "--orders", 400)
    assert f"waiting for {NAME}" in done.stderr
    assert copy.committed() == copy.last_orders()


def test_a_mistake_in_its_code_is_shown_and_leaves_nothing_running(copy):
    copy.edit("    __import__('time').sleep(0.02)\n", "    return (event,)\n")
    failed = copy.run("run", "--orders", 10, expect=1)
    assert f"{NAME}-0 cannot be kept alive (ended with exit code 2)" in failed.stderr
    assert "'order_placed', which stands on no topic that it produces (none)" in failed.stderr


def test_one_that_answers_writes_one_finding_for_each_order(copy):
    copy.follow(ANSWERS)
    copy.type(ANSWERS)
    findings = [json.loads(message.value()) for message in copy.records("fraud_result")]
    orders = {json.loads(m.value())["order_id"] for m in copy.records("order_placed") if m.value() != b"{"}
    # It goes on where it stood: the ten orders of the failed run are among them, and those before are not.
    counted = Counter(finding["order_id"] for finding in findings)
    assert counted.keys() <= orders
    assert set(counted.values()) == {1}
    assert len(counted) == 510
    assert {finding["event_type"] for finding in findings} == {"order_cleared", "order_suspected"}
    assert copy.committed() == copy.last_orders()


def test_a_finding_is_what_the_rule_says_byte_for_byte_and_once_though_the_service_is_killed(copy):
    arguments = ("--orders", 6_000, "--run-id", "killed", "--start", "2026-11-27T08:00:00Z", "--rate", 1_500, "--json")
    with copy.running(*arguments) as process:
        start = copy.end_of("fraud_result")
        copy.wait(lambda: copy.end_of("fraud_result") > start + 1_000, "nothing is found")
        os.kill(copy.pids[f"{NAME}-0"], signal.SIGKILL)
        output, news = process.communicate(timeout=WITHIN)
    assert f"{NAME}-0 was killed by SIGKILL" in news
    assert json.loads(output)["ok"], output
    mine = [message for message in copy.records("fraud_result") if message.key().startswith(b"killed-")]
    found = {message.key().decode(): json.loads(message.value()) for message in mine}
    assert len(mine) == len(found) == 6_000
    for order in generate_orders(0, 6_000, run_id="killed", start=START):
        event = found[order.order_id]
        assert (event["event_type"] == "order_suspected") == suspicious(order)
        assert event["event_id"] == f"{order.order_id}:{event['event_type']}"
        assert event["total"] == order.total


def test_all_that_was_sent_audits_clean(copy):
    verdict = copy.verdict("audit")
    assert verdict["ok"], verdict["anomalies"]


def test_its_zip_is_built_with_its_code_and_its_topology(copy):
    (command,) = [command for command in adding.commands(ON_LAMBDA) if "build_zips" in command]
    copy.checkout.type(command, within=300)
    with zipfile.ZipFile(copy.folder / "build" / "lambdas" / f"{NAME}.zip") as archive:
        name = f"services/{NAME}/{NAME}.py"
        assert archive.read(name) == (copy.folder / name).read_bytes()
        assert archive.read("shopstream/topology.yaml") == (copy.folder / "topology.yaml").read_bytes()
        assert "confluent_kafka/__init__.py" in archive.namelist()


def test_what_is_made_from_the_topology_is_made_with_it(copy):
    copy.type(COMMITTED)
    for made in ("tests/golden/acls.txt", "docs/reference/topology.md"):
        assert NAME in (copy.folder / made).read_text(encoding="utf-8")
        assert NAME not in (adding.ROOT / made).read_text(encoding="utf-8")


def test_a_project_of_one_s_own_begins_with_a_topology(copy, tmp_path):
    mine = ("echo '# mine' >> topology.yaml", "shopstream topology check", "shopstream topology show --yaml")
    *_, shown = copy.type(APART, *mine, folder=tmp_path)
    assert shown.endswith("# mine\n")


def test_whatever_the_page_says_is_typed(copy):
    """On Lambda by the test below, which needs more than this one."""
    assert {*copy.typed, ON_LAMBDA} == set(adding.titles())


@pytest.mark.infra
def test_its_function_answers_to_the_same_orders_behind_an_event_source_mapping(copy):
    copy.follow(ANSWERS)  # it may be the only test of the file that runs
    *before, run = adding.commands(ON_LAMBDA)
    assert run.startswith("shopstream run --on lambda")
    copy.checkout.type(*before, within=300)
    copy.cluster.up()  # on the port of before, which is apart from those of other tests
    copy.checkout.type(run, within=400)
    findings = Counter(json.loads(message.value())["order_id"] for message in copy.records("fraud_result"))
    assert len(findings) == int(run.split()[-1])

"""The AsyncAPI document is valid, says all that topology.yaml says, and describes the records that the shop writes."""

import copy
import hashlib
import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from services.order_generator.order_generator import generate_orders
from shopstream import topology
from shopstream.events import encode
from shopstream.reference import asyncapi, events_page, flow
from shopstream.runs import encode_run
from shopstream.runtime.processor import look_beside
from shopstream.runtime.telemetry import traceparent
from tests import adding
from tests.behaviour import MemoryWorld

ROOT = Path(__file__).parent.parent
TOPOLOGY = topology.load(ROOT / "topology.yaml")
DOCUMENT = json.loads((ROOT / "docs/reference/asyncapi.json").read_text(encoding="utf-8"))
OFFICIAL = Path(__file__).parent / "asyncapi" / "3.0.0.json"
OFFICIAL_SHA256 = "d4571a420e6ffb7fcc7066c95a6db1202f299a3c51daa103d0706bf30f95e626"
ASYNCAPI = jsonschema.Draft7Validator(json.loads(OFFICIAL.read_text(encoding="utf-8")))


def resolve(reference):
    found = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def resolved(value):
    return resolve(value["$ref"]) if "$ref" in value else value


def references(value):
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref":
                yield each
            else:
                yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def valid(value, of_value):
    """Whether a value fits a schema of the document. AsyncAPI's own kind of schema is a superset of JSON Schema 7."""
    within = {**of_value, "components": DOCUMENT["components"]}
    return jsonschema.Draft7Validator(within, format_checker=jsonschema.FormatChecker()).is_valid(value)


def messages_of(topic):
    return [resolved(message) for message in DOCUMENT["channels"][topic]["messages"].values()]


def fitting(record):
    """The messages of a record's topic that the record fits: value, key and headers."""
    value, key = record.value, record.key.decode() if record.key is not None else None
    if record.topic != TOPOLOGY.dead_letters:
        value = json.loads(value) if value else None
    else:
        value = (value or b"").decode(errors="replace")
    headers = {name: (text or b"").decode(errors="replace") for name, text in record.headers or ()}
    return [
        message["name"]
        for message in messages_of(record.topic)
        if valid(value, message["payload"])
        and valid(key, message["bindings"]["kafka"]["key"])
        and valid(headers, message.get("headers", {}))
    ]


@pytest.fixture(scope="module")
def world():
    """The shop's own workers over Kafka in memory, when a few orders and a broken one have gone through."""
    made = MemoryWorld()
    orders = list(generate_orders(0, 30, run_id="asyncapi", start=flow.START))
    made.place(*orders)
    made.append("order_placed", b"asyncapi-00000099", b"{", headers=[("origin", b"a test")])
    made.append(TOPOLOGY.source.progress, b"asyncapi", encode_run(flow.progress()))
    # One after another, so that the join must keep what waits.
    for name, topic, count in (
        ("payment_processor", "payment_result", 30),
        ("shipping_handler", "shipping_handler_state", 30),
        ("inventory_manager", "inventory_result", 30),
    ):
        worker = made.worker(name)
        made.pump(worker, until=lambda topic=topic, count=count: len(made.records(topic)) >= count)
        worker.close()
    workers = [made.worker(service.name) for service in TOPOLOGY.processors]
    made.pump(*workers, until=lambda: len(made.records("notifications")) >= 30)
    for _ in range(3):
        made.pump(*workers, until=lambda: True)
    for worker in workers:
        worker.close()
    return made


class TestValidity:
    def test_the_schema_is_the_official_one_unchanged(self):
        assert hashlib.sha256(OFFICIAL.read_bytes()).hexdigest() == OFFICIAL_SHA256

    def test_the_document_is_valid(self):
        assert [f"{error.json_path}: {error.message[:200]}" for error in ASYNCAPI.iter_errors(DOCUMENT)] == []

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("asyncapi",), "3.0.1"),
            (("info", "title"), ...),
            (("servers", "local", "host"), ...),
            (("servers", "local", "port"), 9094),
            (("channels", "order_placed", "address"), 7),
            (("channels", "order_placed", "bindings", "kafka", "partitions"), 0),
            (("channels", "order_placed", "bindings", "kafka", "replicas"), "3"),
            (("channels", "order_placed", "bindings", "kafka", "copies"), 3),
            (("channels", "order_placed", "bindings", "kafka", "topicConfiguration", "cleanup.policy"), "delete"),
            (("operations", "payment_processor_sends_payment_result", "action"), "publish"),
            (("operations", "payment_processor_sends_payment_result", "channel"), ...),
            (("operations", "payment_processor_receives_order_placed", "bindings", "kafka", "groupId"), 7),
            (("components", "securitySchemes", "scram", "type"), "scramSha1024"),
            (("components", "messages", "order_placed", "payload", "type"), "object?"),
            (("components", "messages", "order_placed", "bindings", "kafka", "key"), []),
            (("components", "schemas", "Line", "properties", "quantity", "minimum"), "one"),
        ],
    )
    def test_a_planted_mistake_is_found(self, path, value):
        document = copy.deepcopy(DOCUMENT)
        place = document
        for step in path[:-1]:
            place = place[step]
        if value is ...:
            del place[path[-1]]
        else:
            place[path[-1]] = value
        assert not ASYNCAPI.is_valid(document)

    def test_every_reference_leads_somewhere(self):
        found = list(references(DOCUMENT))
        assert len(found) > 100
        for reference in found:
            assert isinstance(resolve(reference), dict), reference

    def test_every_component_is_used(self):
        used = set(references(DOCUMENT))
        for kind in ("messages", "schemas", "correlationIds", "securitySchemes"):
            for name in DOCUMENT["components"][kind]:
                assert f"#/components/{kind}/{name}" in used

    def test_an_operation_s_messages_are_messages_of_its_channel(self):
        for operation in DOCUMENT["operations"].values():
            channel = operation["channel"]["$ref"]
            assert operation["messages"]
            for message in operation["messages"]:
                assert message["$ref"].startswith(f"{channel}/messages/")

    def test_a_message_s_examples_fit_it(self):
        for message in DOCUMENT["components"]["messages"].values():
            assert message["examples"]
            for example in message["examples"]:
                assert valid(example["payload"], message["payload"])
                assert valid(example.get("headers", {}), message.get("headers", {}))


def test_a_service_s_own_events_are_described_too(tmp_path):
    shutil.copyfile(ROOT / "topology.yaml", tmp_path / "topology.yaml")
    adding.carry_out(adding.ANSWERS, tmp_path)
    look_beside(tmp_path / "topology.yaml")
    named = topology.load(tmp_path / "topology.yaml")
    seen = flow.observe(named)
    made = asyncapi.document(named, seen)
    assert [error.message[:200] for error in ASYNCAPI.iter_errors(made)] == []
    assert set(made["channels"]["fraud_result"]["messages"]) == {"order_cleared", "order_suspected"}
    within = {"components": made["components"]}
    for name in ("order_cleared", "order_suspected"):
        message = made["components"]["messages"][name]
        (example,) = message["examples"]
        assert jsonschema.Draft7Validator({**within, **message["payload"]}).is_valid(example["payload"])
        assert f"## {name}" in events_page.render(named, seen)


class TestTopology:
    @pytest.mark.parametrize("topic", TOPOLOGY.topics.values(), ids=lambda topic: topic.name)
    def test_each_topic_is_a_channel_with_its_configuration(self, topic):
        channel = DOCUMENT["channels"][topic.name]
        assert channel["address"] == topic.name
        kafka = channel["bindings"]["kafka"]
        assert (kafka["partitions"], kafka["replicas"]) == (topic.partitions, topic.replication)
        told = {
            key: ",".join(value) if isinstance(value, list) else str(value)
            for key, value in kafka["topicConfiguration"].items()
        }
        assert told == topic.config
        if topic.events:
            assert tuple(channel["messages"]) == topic.events

    def test_there_is_no_other_channel(self):
        assert list(DOCUMENT["channels"]) == list(TOPOLOGY.topics)

    def test_the_operations_are_what_each_service_reads_and_writes(self):
        found = {
            (
                operation["tags"][0]["name"],
                operation["action"],
                operation["channel"]["$ref"].removeprefix("#/channels/"),
            )
            for operation in DOCUMENT["operations"].values()
        }
        services = TOPOLOGY.services.values()
        assert found == {(service.name, "receive", topic) for service in services for topic in service.reads} | {
            (service.name, "send", topic) for service in services for topic in service.writes
        }
        assert len(found) == len(DOCUMENT["operations"])

    def test_the_groups_are_the_services_own(self):
        found = set()
        for operation in DOCUMENT["operations"].values():
            kafka = operation.get("bindings", {}).get("kafka", {})
            found |= set(kafka.get("groupId", {}).get("enum", ()))
        assert found == set(TOPOLOGY.groups)

    def test_a_client_id_is_a_transactional_id_of_the_service(self):
        for service in TOPOLOGY.services.values():
            for topic in service.writes:
                kafka = DOCUMENT["operations"][f"{service.name}_sends_{topic}"]["bindings"]["kafka"]
                assert valid(service.transactional_id(12), kafka["clientId"])
                assert not valid("somebody-else-0", kafka["clientId"])

    def test_another_topology_gives_another_document(self):
        text = (ROOT / "topology.yaml").read_text(encoding="utf-8")
        other = topology.parse(text.replace("  partitions: 6\n", "  partitions: 12\n"))
        made = asyncapi.document(other, flow.observe(other))
        assert made["channels"]["order_placed"]["bindings"]["kafka"]["partitions"] == 12
        assert ASYNCAPI.is_valid(made)


class TestRecords:
    """What workers really wrote, topic by topic, fits the document."""

    @pytest.mark.parametrize("topic", TOPOLOGY.topics)
    def test_every_record_fits_exactly_one_message_of_its_topic(self, world, topic):
        records = world.records(topic)
        assert records
        for record in records:
            if topic == "order_placed" and record.value == b"{":
                continue  # the broken one
            found = fitting(record)
            assert len(found) == 1, record
            if TOPOLOGY.topics[topic].events:
                assert found == [flow.type_of(record.value)]

    def test_the_state_had_records_with_and_without_a_value(self, world):
        values = [record.value for record in world.records("shipping_handler_state")]
        assert None in values
        assert any(values)

    def test_the_broken_record_became_dead_letters_with_its_own_header_in_front(self, world):
        letters = world.records("dead_letters")
        assert len(letters) == 2  # payment_processor and inventory_manager read the topic
        assert all(letter.headers[0] == ("origin", b"a test") for letter in letters)

    def test_a_record_of_another_topic_fits_none(self, world):
        record = world.records("order_placed")[0]
        moved = type(record)("order_shipped", 0, 0, 0, record.key, record.value)
        assert fitting(moved) == []

    def test_a_dead_letter_without_its_headers_fits_none(self, world):
        record = world.records("dead_letters")[0]
        bare = type(record)(record.topic, 0, 0, 0, record.key, record.value, record.headers[:2])
        assert fitting(bare) == []

    @pytest.mark.parametrize("text", ["00-" + "a" * 32 + "-" + "b" * 16 + "-01", "00-xyz", ""])
    def test_a_traceparent_fits_when_a_function_would_hand_it_on(self, text):
        headers = DOCUMENT["components"]["schemas"]["EventHeaders"]
        assert valid({"traceparent": text}, headers) == bool(traceparent([("traceparent", text.encode())]))

    def test_events_are_correlated_by_their_order(self):
        order = next(generate_orders(0, 1, run_id="asyncapi", start=flow.START))
        for name in TOPOLOGY.topic_of:
            where = resolved(DOCUMENT["components"]["messages"][name]["correlationId"])["location"]
            assert where == "$message.payload#/order_id"
        assert json.loads(encode(order))["order_id"] == order.order_id

"""A Lambda reads every payload that an event source mapping may send, and logs one JSON line for each result.

It never stops at a bad record, and says nothing about the customer.
"""

import json
from pathlib import Path

import pytest

from services.inventory_manager import inventory_manager
from services.notification_handler import notification_handler
from services.order_generator import order_generator
from services.payment_processor import payment_processor
from services.shipping_handler import shipping_handler
from shopstream.errors import BadRecord
from shopstream.events import EVENT_TYPES
from shopstream.runtime import esm

PAYLOADS = Path(__file__).parent / "events"
RAW = {"topic": "order_placed", "partition": 2, "offset": 9, "timestamp": 1, "timestampType": "CREATE_TIME"}
ALL_DONE = {"batchItemFailures": []}
CONSUMERS = [payment_processor, inventory_manager, shipping_handler, notification_handler]


def payload(name):
    return json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def run(capsys):
    """Call a service's handler: the lines that it logged, after a look at its answer."""

    def call(module, event):
        assert module.handler(event, None) == ALL_DONE
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call


def outcomes(lines):
    return [(line["order_id"][-1], line["outcome"]) for line in lines]


class TestHandlers:
    @pytest.mark.parametrize(
        ("module", "name", "expected"),
        [
            (payment_processor, "order_placed", [("0", "suspected_fraud"), ("1", "approved"), ("2", "approved")]),
            (payment_processor, "order_cancelled", [("3", "refunded")]),
            (inventory_manager, "order_placed", [("0", "rejected"), ("1", "reserved"), ("2", "reserved")]),
            (inventory_manager, "order_cancelled", [("4", "released")]),
            (
                shipping_handler,
                "results",
                [
                    ("4", "payment_declined"),
                    ("3", "out_of_stock"),
                    ("1", "shipped"),
                    ("0", "payment_declined_and_out_of_stock"),
                ],
            ),
            (
                notification_handler,
                "endings",
                [("0", "out_of_stock"), ("3", "out_of_stock"), ("4", "payment_declined"), ("1", "shipped")],
            ),
        ],
    )
    def test_each_logs_what_follows_from_its_batch(self, run, module, name, expected):
        lines = run(module, payload(name))
        assert sorted(outcomes(lines)) == sorted(expected)
        assert all(line.keys() == {"service", "event_type", "order_id", "outcome"} for line in lines)
        assert all(line["service"] == module.SERVICE for line in lines)
        assert all(line["event_type"] in EVENT_TYPES for line in lines)

    @pytest.mark.parametrize("module", CONSUMERS, ids=lambda module: module.SERVICE)
    @pytest.mark.parametrize(
        "event", [payload("empty"), {}, {"records": None}, {"records": {"order_placed-0": []}}], ids=repr
    )
    def test_an_empty_batch_is_no_trouble(self, run, module, event):
        assert run(module, event) == []

    def test_bad_records_are_logged_with_reason_and_origin_and_the_others_go_on(self, run):
        lines = run(payment_processor, payload("order_placed_with_bad_records"))
        bad = [line for line in lines if line["outcome"] == "bad_record"]
        assert [(b["topic"], int(b["partition"]), b["offset"], b["reason"], b["order_id"]) for b in bad] == [
            ("order_placed", 0, 16, "no_key", None),
            ("order_placed", 0, 17, "not_json", "spring-00000002"),
            ("order_placed", 0, 18, "empty", "spring-00000003"),
            ("order_placed", 0, 19, "not_a_record", None),
            ("order_placed", 1, 7, "wrong_topic", "spring-00000005"),
        ]
        assert [line["order_id"] for line in lines if line not in bad] == ["spring-00000000", "spring-00000006"]

    def test_no_line_tells_of_the_customer(self, capsys):
        for module, name in (
            (payment_processor, "order_placed"),
            (payment_processor, "order_placed_with_bad_records"),
            (shipping_handler, "results"),
            (notification_handler, "endings"),
        ):
            module.handler(payload(name), None)
        order_generator.handler({"orders": 20}, None)
        logged = capsys.readouterr().out
        assert "@" not in logged
        for number in range(1, 60):
            order = order_generator.generate_order_event(number, run_id="spring")
            assert order.customer.name not in logged
            assert order.customer.customer_id not in logged

    def test_shipping_forgets_a_half_at_the_end_of_the_batch(self, run):
        event = payload("results")
        halves = [{**event, "records": {topic: batch}} for topic, batch in event["records"].items()]
        assert [run(shipping_handler, half) for half in halves] == [[], []]


class TestRecords:
    def records(self, *raw):
        return list(esm.records({"records": {"order_placed-2": list(raw)}}, "test"))

    @pytest.mark.parametrize("partition", [2, "2"])
    def test_the_partition_is_a_number_also_when_it_comes_as_a_text(self, partition):
        (record,) = self.records(RAW | {"partition": partition})
        assert record.partition == 2

    @pytest.mark.parametrize("raw", [{}, {"key": None, "value": None, "headers": None}])
    def test_key_value_and_headers_may_be_missing(self, raw):
        (record,) = self.records(RAW | raw)
        assert (record.key, record.value, record.header_items) == (None, None, ())

    def test_key_and_value_are_bytes(self):
        (record,) = self.records(RAW | {"key": "AP8=", "value": ""})
        assert (record.key, record.value) == (b"\x00\xff", b"")

    def test_header_bytes_may_be_negative(self):
        (record,) = self.records(RAW | {"headers": [{"a": [-1, -128, 127, 0, 255]}, {"b": []}, {"a": [104]}]})
        assert record.header_items == (("a", b"\xff\x80\x7f\x00\xff"), ("b", b""), ("a", b"h"))

    def test_several_topic_partitions_come_in_sequence(self):
        assert [(r.topic, r.partition) for r in esm.records(payload("order_placed"), "test")] == [
            ("order_placed", 0),
            ("order_placed", 0),
            ("order_placed", 4),
        ]

    @pytest.mark.parametrize(
        "raw",
        [7, None, {}, RAW | {"offset": "x"}, RAW | {"partition": 1.5}, RAW | {"value": "*"}, RAW | {"headers": [[1]]}],
        ids=repr,
    )
    def test_what_is_no_record_is_logged_with_the_best_known_origin(self, capsys, raw):
        assert len(self.records(raw, RAW)) == 1
        line = json.loads(capsys.readouterr().out)
        assert (line["reason"], line["topic"]) == ("not_a_record", "order_placed")
        assert float(line["partition"]) in {2, 1.5}


class TestRead:
    def test_a_topic_without_events_is_refused(self):
        for topic in ("elsewhere", "dead_letters"):
            with pytest.raises(BadRecord, match="unknown_topic"):
                esm.read(esm.Record(topic=topic, partition=0, offset=0, key=b"k", value=b"{}"))

    def test_a_key_that_is_no_order_id_is_not_logged(self, capsys):
        key = "amVhbkBleGFtcGxlLmNvbQ=="  # somebody's address
        raw = RAW | {"key": key, "value": "e30="}
        assert list(esm.events({"records": {"order_placed-2": [raw]}}, "test")) == []
        assert json.loads(capsys.readouterr().out)["order_id"] is None

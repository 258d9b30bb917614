"""The events' JSON Schema takes what the shop writes and refuses what its readers refuse; the examples are real."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.order_generator.order_generator import generate_orders
from shopstream import topology
from shopstream.deadletter import headers_for, origin_of
from shopstream.errors import BadRecord
from shopstream.events import EVENT_TYPES, EventReader, encode
from shopstream.lambdas.samples import run_shop
from shopstream.reference import events_page, flow, schema
from tests.test_events import EVENTS, KEY, ORDER, every_event, order_events, raw

ROOT = Path(__file__).parent.parent
TOPOLOGY = topology.load(ROOT / "topology.yaml")
SCHEMA = json.loads((ROOT / "docs/reference/events.schema.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs/reference/events.md").read_text(encoding="utf-8")
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
SEEN = flow.observe(TOPOLOGY)


def valid(value):
    return VALIDATOR.is_valid(json.loads(value))


def read(value):
    """Whether a reader of all events takes a value, whatever it thinks of its key."""
    try:
        EventReader(EVENT_TYPES).read(KEY, value)
    except BadRecord as bad:
        return bad.reason in {"wrong_key", "wrong_event_id", "wrong_total"}  # what no JSON Schema can say
    return True


class TestSchema:
    def test_it_is_a_schema(self):
        jsonschema.Draft202012Validator.check_schema(SCHEMA)
        assert SCHEMA["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]

    def test_times_are_checked_here(self):
        assert not valid(raw(occurred_at="yesterday"))
        assert not valid(raw(occurred_at="2026-01-02T03:04:05"))

    def test_each_event_type_has_one(self):
        assert [part["$ref"] for part in SCHEMA["oneOf"]] == [f"#/$defs/{k.__name__}" for k in EVENT_TYPES.values()]

    def test_every_field_has_a_description_or_a_type_of_its_own(self):
        fields = [field for part in SCHEMA["$defs"].values() for field in part["properties"].values()]
        assert len(fields) > 80
        assert all(field.get("description") or "$ref" in field for field in fields)

    @every_event
    def test_it_takes_each_event(self, event):
        assert valid(encode(event))

    @given(order_events())
    @settings(max_examples=50)
    def test_it_takes_any_order(self, order):
        assert valid(encode(order))

    def test_it_takes_everything_that_the_shop_writes(self):
        log = run_shop(TOPOLOGY, generate_orders(0, 40, run_id="schema", start=flow.START))
        values = [record.value for records in log.values() for record in records]
        assert {flow.type_of(value) for value in values} == set(EVENT_TYPES)
        assert all(map(valid, values))

    @pytest.mark.parametrize(
        "value",
        [
            b"{}",
            b"[]",
            b"7",
            b"null",
            raw(event_type="order_lost"),
            raw(event_type=...),
            raw(schema_version=2),
            raw(schema_version="1"),
            raw(customer=...),
            raw(customer=None),
            raw(ship_to={"street": "S"}),
            raw(total="3780"),
            raw(total=0),
            raw(total=3780.5),
            raw(total=10**12 + 1),
            raw(lines=[]),
            raw(lines=[json.loads(raw())["lines"][0]] * 51),
            raw(order_id=""),
            raw(order_id="x" * 201),
            raw(currency="EURO"),
        ],
    )
    def test_it_refuses_what_a_reader_refuses(self, value):
        assert not valid(value)
        assert not read(value)

    @every_event
    @given(st.data())
    @settings(max_examples=30)
    def test_schema_and_reader_agree_when_fields_are_lost_or_changed(self, event, data):
        fields = json.loads(encode(event))
        name = data.draw(st.sampled_from(sorted(fields)))
        fields[name] = data.draw(st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just([]))
        if data.draw(st.booleans()):
            del fields[name]
        value = json.dumps(fields).encode()
        assert valid(value) == read(value)

    def test_unknown_fields_are_let_through_by_both(self):
        assert valid(raw(coupon=1))
        assert read(raw(coupon=1))


class TestExamples:
    def test_each_event_type_has_an_example_that_was_really_encoded_and_can_be_read(self):
        assert set(SEEN.examples) == set(EVENT_TYPES)
        for name, record in SEEN.examples.items():
            event = EventReader([name]).read(record.key, record.value)
            assert encode(event) == record.value
            assert record.topic == TOPOLOGY.topic_of[name]
            assert valid(record.value)

    def test_the_page_shows_just_these(self):
        shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
        assert shown[:-1] == [json.loads(SEEN.examples[name].value) for name in EVENT_TYPES]
        assert shown[-1] == flow.progress_data()

    def test_the_dead_letter_is_one(self):
        letter = flow.dead_letter(TOPOLOGY)
        assert origin_of(letter.headers).reason == "not_json"
        written = headers_for(BadRecord("r", "d"), service="s", topic="t", partition=0, offset=0, timestamp_ms=0)
        assert [name for name, _ in written] == list(events_page.HEADERS)


class TestPage:
    @pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=EVENT_TYPES)
    def test_an_event_has_a_section_with_all_its_own_fields(self, kind):
        part = PAGE.split(f"\n## {kind.event_type}\n", 1)[1].split("\n## ", 1)[0]
        table = part.split("| field | type | meaning |")[1]
        fields = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
        assert fields == [field for field in kind.__struct_fields__ if field not in schema.COMMON]

    def test_who_answers_is_what_the_services_do(self):
        """The README's table of the shop, in other words."""
        answering = {name: events_page.readers(TOPOLOGY, SEEN, name).answering for name in EVENT_TYPES}
        payment, stock, shipping, notice = (service.name for service in TOPOLOGY.processors)
        assert answering == {
            "order_placed": (payment, stock),
            "payment_approved": (shipping,),
            "payment_declined": (shipping,),
            "payment_refunded": (),
            "stock_reserved": (shipping,),
            "stock_rejected": (shipping, notice),
            "stock_released": (),
            "order_shipped": (notice,),
            "order_cancelled": (payment, stock, notice),
            "customer_notified": (),
        }

    def test_everybody_else_who_reads_the_topic_ignores_it(self):
        for name in EVENT_TYPES:
            found = events_page.readers(TOPOLOGY, SEEN, name)
            topic = TOPOLOGY.topic_of[name]
            consumers = {service.name for service in TOPOLOGY.processors if topic in service.consumes}
            assert {*found.answering, *found.ignoring} == consumers

    def test_what_waits_are_the_four_decisions(self):
        (kinds,) = SEEN.waits.values()
        assert kinds == {"payment_approved", "payment_declined", "stock_reserved", "stock_rejected"}

    @pytest.mark.parametrize(
        ("of_field", "words"),
        [
            ({"$ref": "#/$defs/Line"}, "[Line](#line)"),
            ({"enum": ["a", "b"]}, '`"a"` or `"b"`'),
            ({"enum": [1]}, "`1`"),
            ({"type": "string"}, "string"),
            ({"type": "string", "minLength": 3, "maxLength": 3}, "string of 3 characters"),
            ({"type": "string", "format": "date-time"}, "string: a time with its offset from UTC, RFC 3339"),
            ({"type": "integer"}, "integer"),
            ({"type": "integer", "minimum": 0}, "integer, 0 or more"),
            ({"type": "integer", "minimum": 1, "maximum": 10_000}, "integer, 1 to 10,000"),
            ({"type": "number", "exclusiveMinimum": 0}, "number above 0"),
            ({"type": "array", "items": {"type": "string"}, "maxItems": 50}, "array of 0 to 50: string"),
        ],
    )
    def test_types_and_limits_are_told_in_words(self, of_field, words):
        assert schema.in_words(of_field) == words


def test_the_events_of_the_tests_are_all_there_are():
    assert [event.event_type for event in EVENTS] == list(EVENT_TYPES)
    assert read(encode(ORDER))

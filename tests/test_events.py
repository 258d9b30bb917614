"""The contract between the services: it is written, read, named and decided the same everywhere, and never breaks.

`python tests/test_events.py`, with the project installed, records an addition to the contract in its golden file.
"""

import json
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopstream.errors import BadRecord
from shopstream.events import (
    EVENT_TYPES,
    MAX_EVENT_BYTES,
    SCHEMA_VERSION,
    Address,
    Customer,
    CustomerNotified,
    Event,
    EventReader,
    Line,
    OrderCancelled,
    OrderPlaced,
    OrderShipped,
    PaymentApproved,
    PaymentDeclined,
    PaymentRefunded,
    StockRejected,
    StockReleased,
    StockReserved,
    choose,
    derive,
    draw,
    encode,
    event_id,
    order_id,
    split_order_id,
    total_of,
    valid_run_id,
)

GOLDEN = Path(__file__).parent / "golden" / "events.schema.json"

LINES = (Line("KIT-0001", "Enamel mug", 2, 990), Line("BOO-0003", "Poems", 1, 1800))
CUSTOMER = Customer("customer-000001", "Zoë Müller", "zoe@example.com")
ADDRESS = Address("Lindenallee 3", "10115", "Berlin", "DE")
PAID = {"amount": 3780, "currency": "EUR"}
ORDER = OrderPlaced(
    event_id="run-00000001:order_placed",
    schema_version=1,
    order_id="run-00000001",
    occurred_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    customer=CUSTOMER,
    ship_to=ADDRESS,
    lines=LINES,
    total=3780,
    currency="EUR",
)
KEY = ORDER.order_id.encode()
EVENTS = [
    ORDER,
    derive(PaymentApproved, ORDER, **PAID, authorization="012345", customer=CUSTOMER, ship_to=ADDRESS, lines=LINES),
    derive(PaymentDeclined, ORDER, **PAID, reason="card_expired", customer=CUSTOMER),
    derive(PaymentRefunded, ORDER, **PAID),
    derive(StockReserved, ORDER, lines=LINES, customer=CUSTOMER),
    derive(StockRejected, ORDER, missing=("KIT-0001",), customer=CUSTOMER),
    derive(StockReleased, ORDER, lines=LINES),
    derive(
        OrderShipped,
        ORDER,
        **PAID,
        carrier="Parcel",
        tracking_number="SP1",
        customer=CUSTOMER,
        ship_to=ADDRESS,
        lines=LINES,
    ),
    derive(OrderCancelled, ORDER, reason="out_of_stock", customer=CUSTOMER, refund=3780, currency="EUR", release=()),
    derive(CustomerNotified, ORDER, kind="shipped", customer=CUSTOMER, channel="email", text="Hello"),
]
every_event = pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event_type)

names = st.text(min_size=1, max_size=40)
amounts = st.integers(1, 10**6)
lines = st.lists(st.builds(Line, names, names, st.integers(1, 10_000), amounts), min_size=1, max_size=3).map(tuple)


@st.composite
def order_events(draw):
    basket = draw(lines)
    order = draw(st.text("abc-0123456789", min_size=1, max_size=80))
    return OrderPlaced(
        event_id=event_id(order, "order_placed"),
        schema_version=1,
        order_id=order,
        occurred_at=draw(st.datetimes(timezones=st.just(UTC))),
        customer=draw(st.builds(Customer, names, names, names)),
        ship_to=draw(st.builds(Address, names, names, names, st.just("DE"))),
        lines=basket,
        total=sum(line.quantity * line.unit_price for line in basket),
        currency="EUR",
    )


def raw(**changes):
    """The order as JSON, with fields changed, or removed when their new value is `...`."""
    fields = json.loads(encode(ORDER)) | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


class TestModel:
    def test_these_are_the_ten_events(self):
        assert list(EVENT_TYPES) == [event.event_type for event in EVENTS]
        assert list(EVENT_TYPES.values()) == [type(event) for event in EVENTS]

    @every_event
    def test_an_event_cannot_be_changed(self, event):
        with pytest.raises(AttributeError):
            event.order_id = "another"

    @every_event
    def test_a_derived_event_has_its_cause_s_order_and_time_and_a_name_of_its_own(self, event):
        assert event.event_id == f"run-00000001:{event.event_type}"
        assert (event.order_id, event.occurred_at, event.schema_version) == ("run-00000001", ORDER.occurred_at, 1)

    @given(lines)
    def test_the_total_is_the_sum_of_quantity_times_price(self, basket):
        assert total_of(basket) == sum(line.quantity * line.unit_price for line in basket)

    def test_an_order_with_another_total_cannot_be_made(self):
        with pytest.raises(ValueError, match="total is not the sum of the lines"):
            msgspec.structs.replace(ORDER, total=3779)


class TestCodec:
    @every_event
    def test_an_event_is_read_back_as_it_was_and_written_again_with_the_same_bytes(self, event):
        written = encode(event)
        found = EventReader(EVENT_TYPES).read(KEY, written)
        assert found == event
        assert type(found) is type(event)
        assert encode(found) == written

    @given(order_events())
    def test_so_is_any_order(self, order):
        written = encode(order)
        found = EventReader(["order_placed"]).read(order.order_id.encode(), written)
        assert found == order
        assert encode(found) == written

    def test_the_bytes_are_compact_utf_8_with_the_fields_in_order(self):
        assert encode(EVENTS[3]) == (
            b'{"event_type":"payment_refunded","event_id":"run-00000001:payment_refunded","schema_version":1,'
            b'"order_id":"run-00000001","occurred_at":"2026-01-02T03:04:05.678901Z","amount":3780,"currency":"EUR"}'
        )
        assert "Zoë Müller".encode() in encode(ORDER)

    def test_unknown_fields_are_ignored_at_every_level(self):
        customer = json.loads(encode(ORDER))["customer"] | {"loyalty": 3}
        assert EventReader(["order_placed"]).read(KEY, raw(coupon={"code": [1]}, customer=customer)) == ORDER

    @pytest.mark.parametrize(
        ("key", "value", "reason"),
        [
            (KEY, None, "empty"),
            (KEY, b"", "empty"),
            (KEY, b" " * (MAX_EVENT_BYTES + 1), "too_large"),
            (KEY, b"hello", "not_json"),
            (KEY, b'{"event_type":', "not_json"),
            (KEY, b"\xff\xfe", "not_json"),
            (KEY, b'{"a":"\xff"}', "not_json"),
            (KEY, b"[" * 100_000, "not_json"),
            (KEY, b'{"event_type":"order_placed","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_json"),
            (KEY, b"[]", "not_an_object"),
            (KEY, b"7", "not_an_object"),
            (KEY, b"null", "not_an_object"),
            (KEY, b"{}", "missing_field"),
            (KEY, raw(event_type="order_lost"), "unknown_event_type"),
            (KEY, raw(event_type=7), "unknown_event_type"),
            (KEY, raw(event_type=["order_placed"]), "unknown_event_type"),
            (KEY, encode(EVENTS[1]), "wrong_topic"),
            (KEY, raw(schema_version=2), "unknown_version"),
            (KEY, raw(schema_version="1"), "unknown_version"),
            (KEY, raw(schema_version=True), "unknown_version"),
            (KEY, raw(schema_version=...), "missing_field"),
            (KEY, raw(customer=...), "missing_field"),
            (KEY, raw(ship_to={"street": "S"}), "missing_field"),
            (KEY, raw(total="3780"), "wrong_type"),
            (KEY, raw(total=-1), "wrong_type"),
            (KEY, raw(lines=[]), "wrong_type"),
            (KEY, raw(customer=None), "wrong_type"),
            (KEY, raw(order_id=""), "wrong_type"),
            (KEY, raw(occurred_at="2026-01-02T03:04:05"), "wrong_type"),
            (KEY, raw(occurred_at="yesterday"), "wrong_type"),
            (KEY, raw(total=3781), "wrong_total"),
            (None, encode(ORDER), "no_key"),
            (b"", encode(ORDER), "wrong_key"),
            (b"run-00000002", encode(ORDER), "wrong_key"),
            (b"\xff", encode(ORDER), "wrong_key"),
            (KEY, raw(event_id="run-00000001:order_shipped"), "wrong_event_id"),
        ],
    )
    def test_what_is_no_event_of_this_topic_is_a_bad_record_with_the_reason(self, key, value, reason):
        with pytest.raises(BadRecord) as caught:
            EventReader(["order_placed"]).read(key, value)
        assert caught.value.reason == reason
        assert 0 < len(caught.value.detail) <= 300

    @given(
        st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(str).map(str.encode)
    )
    def test_no_bytes_can_crash_a_reader(self, value):
        with pytest.raises(BadRecord):
            EventReader(EVENT_TYPES).read(KEY, value)

    @given(
        st.dictionaries(st.sampled_from([*ORDER.__struct_fields__, "event_type"]), st.none() | st.text() | st.floats())
    )
    def test_no_field_can_crash_a_reader(self, changes):
        with suppress(BadRecord):
            EventReader(["order_placed"]).read(KEY, raw(**changes))

    def test_a_bad_record_s_reason_quotes_no_content(self):
        with pytest.raises(BadRecord) as caught:
            EventReader(["order_placed"]).read(
                KEY, raw(customer={"customer_id": "c", "name": 7, "email": "eve@example.com"})
            )
        assert "eve" not in str(caught.value)


class TestIdentity:
    @given(st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", fullmatch=True), st.integers(0, 10**12 - 1))
    def test_an_order_id_can_be_taken_apart(self, run, index):
        assert valid_run_id(run)
        assert split_order_id(order_id(run, index)) == (run, index)

    @pytest.mark.parametrize("run", ["", "A", "a b", "-a", "a-", ".a", "a_", "a" * 65, "ä", "a\n", "a:b"])
    def test_what_cannot_name_a_run(self, run):
        assert not valid_run_id(run)

    @pytest.mark.parametrize(
        "order",
        ["", "a", "a-1", "a-0000001", "-00000001", "a-000000001", "A-00000001", "a-00000001\n", "a-0000000\u0661"],
    )
    def test_what_cannot_be_an_order_of_a_run(self, order):
        assert split_order_id(order) is None

    def test_order_ids_sort_as_the_orders_were_placed(self):
        ids = [order_id("a", index) for index in (0, 9, 10, 99_999_999)]
        assert ids == sorted(ids)

    def test_an_event_is_named_after_its_order(self):
        assert event_id("a-00000001", "order_placed") == "a-00000001:order_placed"


class TestChance:
    def test_the_answers_never_change_between_machines_and_versions(self):
        assert draw(0, "spring-00000000", "payment") == 0.9397589391233332
        assert draw(-7, "é", "x") == 0.06669388980551905
        assert choose("abcdef", 3, "s", "t") == "e"

    @given(st.integers(), st.text(), st.text())
    def test_a_draw_lies_in_0_to_1_and_stays(self, seed, subject, step):
        assert 0 <= draw(seed, subject, step) < 1
        assert draw(seed, subject, step) == draw(seed, subject, step)

    def test_draws_are_uniform(self):
        """Chi-square over 100 bins: 161.9 is exceeded by chance once in 100,000 (99 degrees of freedom)."""
        bins = Counter(int(100 * draw(0, str(n), "uniform")) for n in range(20_000))
        assert sum((bins[b] - 200) ** 2 / 200 for b in range(100)) < 161.9

    def test_seed_subject_and_step_all_matter(self):
        assert len({draw(*question) for question in [(0, "a", "b"), (1, "a", "b"), (0, "b", "b"), (0, "a", "c")]}) == 4

    @given(st.lists(st.integers(), min_size=1), st.integers(), st.text())
    def test_a_choice_is_one_of_the_options(self, options, seed, subject):
        assert choose(options, seed, subject, "step") in options


def schemas(kinds):
    return msgspec.json.schema_components(kinds)[1]


def contract():
    """The JSON Schema of every event, and of what they are made of."""
    return schemas(EVENT_TYPES.values())


def breaking_changes(old, new):
    """What readers or writers of the old contract cannot live with in the new one."""
    broken = [f"{kind} is gone" for kind in old.keys() - new.keys()]
    for kind in old.keys() & new.keys():
        before, after = old[kind], new[kind]
        for field, schema in before["properties"].items():
            found = after["properties"].get(field)
            if found is None:
                broken.append(f"{kind}.{field} is gone")
            elif {**found, "default": None} != {**schema, "default": None}:
                broken.append(f"{kind}.{field} is of another type")
            elif field in before["required"] and field not in after["required"]:
                broken.append(f"{kind}.{field} may be missing now")
        broken += [f"{kind}.{field} has become required" for field in {*after["required"]} - {*before["required"]}]
    return sorted(broken)


AMOUNT, NOTE = ("amount", int), ("note", str)


class TestContract:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}

    def test_nothing_breaks_it(self):
        assert SCHEMA_VERSION == 1
        assert breaking_changes(self.golden, contract()) == [], "this needs a new schema_version, and readers of both"

    def test_additions_are_recorded(self):
        assert contract() == self.golden, "an addition breaks nobody; record it: python tests/test_events.py"

    @pytest.mark.parametrize(
        ("fields", "complaints"),
        [
            ([AMOUNT, NOTE], []),
            ([AMOUNT, NOTE, ("tip", int, 0)], []),
            ([AMOUNT, NOTE, ("tip", int | None, None)], []),
            ([AMOUNT, NOTE, ("tip", int)], ["Paid.tip has become required"]),
            ([AMOUNT], ["Paid.note is gone"]),
            ([NOTE, ("sum", int)], ["Paid.amount is gone", "Paid.sum has become required"]),
            ([AMOUNT, ("note", int)], ["Paid.note is of another type"]),
            ([AMOUNT, ("note", str | None)], ["Paid.note is of another type"]),
            ([NOTE, ("amount", Annotated[int, msgspec.Meta(le=9)])], ["Paid.amount is of another type"]),
            ([NOTE, ("amount", int, msgspec.field(default_factory=int))], ["Paid.amount may be missing now"]),
        ],
    )
    def test_the_comparison_finds_what_breaks_and_lets_optional_additions_pass(self, fields, complaints):
        before, after = (schemas([msgspec.defstruct("Paid", each)]) for each in ([AMOUNT, NOTE], fields))
        assert breaking_changes(before, after) == complaints

    def test_the_comparison_misses_no_lost_event(self):
        assert breaking_changes(contract(), {}) == sorted(f"{kind} is gone" for kind in contract())


def test_every_event_is_an_event():
    assert all(issubclass(kind, Event) for kind in EVENT_TYPES.values())


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(contract(), indent=2) + "\n", encoding="utf-8")

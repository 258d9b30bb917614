"""A function answers to each record as the worker does, writes everything before it succeeds, and loses nothing.

Fakes come in through the functions' own seam; librdkafka and AWS are met in test_publisher.py, test_order_table.py and
tests/integration.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.inventory_manager import inventory_manager
from services.notification_handler import notification_handler
from services.order_generator import order_generator
from services.payment_processor import payment_processor
from services.shipping_handler import shipping_handler
from shopstream.deadletter import origin_of
from shopstream.errors import Retriable, SettingsError, UsageError
from shopstream.events import EVENT_TYPES, encode
from shopstream.runtime import function
from shopstream.runtime.order_table import MemoryOrderTable
from shopstream.runtime.processor import processor_for
from tests.lambda_fakes import (
    ALL_DONE,
    TOPOLOGY,
    TRACE,
    Context,
    Lines,
    Publishes,
    function_of,
    in_memory,
    payload,
    payload_of,
    raw,
)

PAYLOADS = Path(__file__).parent / "events"
CONSUMERS = [payment_processor, inventory_manager, shipping_handler, notification_handler]
START = datetime(2026, 1, 1, tzinfo=UTC)
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def from_file(name):
    return json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))


class World:
    """One service's function, called through its handler."""

    def __init__(self, module, **options):
        self.module = module
        self.publisher = options.pop("publisher", None) or Publishes()
        self.lines = Lines()
        self.function = function_of(module.SERVICE, self.publisher, lines=self.lines, **options)

    def call(self, event, context=None):
        with function.serving(self.module.SERVICE, self.function):
            return self.module.handler(event, context or Context())

    @property
    def letters(self):
        return [origin_of(message.headers) for message in self.publisher.on("dead_letters")]


def placed(*numbers, **more):
    """A batch of orders, at the offsets of their numbers."""
    orders = order_generator.generate_orders(0, max(numbers) + 1, run_id="fn", start=START)
    return payload(
        *(raw("order_placed", n, o.order_id.encode(), encode(o), **more) for n, o in enumerate(orders) if n in numbers)
    )


class TestBatches:
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
    @pytest.mark.parametrize("threads", [1, 4])
    def test_each_event_is_written_and_told_of(self, module, name, expected, threads):
        world = World(module, threads=threads)
        assert world.call(from_file(name)) == ALL_DONE
        assert sorted((line["order_id"][-1], line["outcome"]) for line in world.lines.events) == sorted(expected)
        assert len(world.publisher.messages) == len(expected)
        for line in world.lines.events:
            assert line.keys() == {"service", "event_type", "order_id", "outcome", "trace_id", "request_id"}
            assert (line["service"], line["trace_id"], line["request_id"]) == (
                module.SERVICE,
                TRACE,
                Context.aws_request_id,
            )
            assert line["event_type"] in EVENT_TYPES

    def test_it_writes_what_the_worker_writes(self):
        world = World(payment_processor)
        event = from_file("order_placed_with_bad_records")
        world.call(event)
        worker = processor_for(TOPOLOGY, TOPOLOGY.services["payment_processor"])
        records = [delivery.record for delivery in function.esm.deliveries(event) if delivery.bad is None]
        batch = worker.process(records)
        written = [(m.key, m.value) for m in world.publisher.on("payment_result")]
        assert written == batch.events["payment_result"]
        letters = [(m.key, m.value, m.headers) for m in world.publisher.on("dead_letters")]
        assert [tuple(letter) for letter in batch.dead_letters] == [
            letter for letter in letters if origin_of(letter[2]).reason != "not_a_record"
        ]

    @pytest.mark.parametrize("module", CONSUMERS, ids=lambda module: module.SERVICE)
    @pytest.mark.parametrize("event", [from_file("empty"), {}, {"records": None}, {"records": {"a-0": []}}], ids=repr)
    def test_an_empty_batch_needs_no_connection(self, module, event):
        world = World(module)
        assert world.call(event) == ALL_DONE
        assert (world.publisher.opened, world.publisher.messages) == (0, [])

    def test_a_batch_of_six_megabytes(self):
        orders = list(order_generator.generate_orders(0, 6_000, run_id="large", start=START))
        event = payload(*(raw("order_placed", n, o.order_id.encode(), encode(o)) for n, o in enumerate(orders)))
        assert 6_000_000 < len(json.dumps(event)) < 6_291_456
        world = World(payment_processor)
        assert world.call(event) == ALL_DONE
        assert len(world.publisher.on("payment_result")) == 6_000

    def test_the_payment_is_decided_the_same_whatever_the_odd_form_of_its_record(self):
        world = World(payment_processor)
        assert world.call(from_file("order_placed_odd")) == ALL_DONE
        assert len({message.value for message in world.publisher.on("payment_result")}) == 1
        assert len(world.publisher.messages) == 4

    def test_a_valid_traceparent_is_handed_on_and_told(self):
        world = World(payment_processor)
        world.call(from_file("order_placed_odd"))
        assert [list(message.headers) for message in world.publisher.messages] == [
            [],
            [("traceparent", PARENT)],
            [],
            [],
        ]
        assert [line.get("traceparent") for line in world.lines.events] == [None, PARENT.decode(), None, None]

    @pytest.mark.parametrize("bad", [b"", b"00-1-2-3", PARENT + b"x", PARENT.upper(), b"\xff" * 55])
    def test_anything_else_under_that_name_is_not(self, bad):
        world = World(payment_processor)
        world.call(placed(0, headers=[("traceparent", bad)]))
        assert [list(message.headers) for message in world.publisher.messages] == [[]]


class TestBadRecords:
    def test_they_are_dead_lettered_with_reason_and_origin_and_the_others_go_on(self):
        world = World(payment_processor)
        assert world.call(from_file("order_placed_with_bad_records")) == ALL_DONE
        expected = [(16, "no_key"), (17, "not_json"), (18, "empty"), (19, "not_a_record"), (7, "wrong_topic")]
        assert [(letter.offset, letter.reason) for letter in world.letters] == expected
        assert {(letter.service, letter.topic) for letter in world.letters} == {("payment_processor", "order_placed")}
        assert len(world.publisher.on("payment_result")) == 2
        told = world.lines.of("bad_record")
        assert [(line["offset"], line["reason"]) for line in told] == expected
        assert [line["order_id"] for line in told] == [
            None,
            "spring-00000002",
            "spring-00000003",
            None,
            "spring-00000005",
        ]

    @pytest.mark.parametrize(
        ("name", "reasons"),
        [("unknown_topic", ["unknown_topic"]), ("order_placed_without_key_or_value", ["no_key", "empty", "empty"])],
    )
    def test_each_with_its_reason(self, name, reasons):
        world = World(payment_processor)
        assert world.call(from_file(name)) == ALL_DONE
        assert [letter.reason for letter in world.letters] == reasons

    def test_what_is_no_record_at_all_is_not_lost_either(self):
        world = World(payment_processor)
        event = from_file("no_records")
        assert world.call(event) == ALL_DONE
        entries = [*event["records"]["order_placed-2"], event["records"]["order_placed-1"]]
        assert [json.loads(message.value) for message in world.publisher.on("dead_letters")] == entries
        assert world.lines.metrics[0]["DeadLetters"] == len(entries) == 6

    @pytest.mark.parametrize("place", ["", "a", "-1", "a-b"])
    def test_nor_is_it_where_nobody_can_tell_where_it_came_from(self, place):
        world = World(payment_processor)
        assert world.call({"records": {place: None}}) == ALL_DONE
        (letter,) = world.publisher.on("dead_letters")
        assert letter.value == b"null"

    def test_the_record_s_own_headers_stay(self):
        world = World(payment_processor)
        world.call(payload(raw("order_placed", 3, b"k", b"{", headers=[("channel", b"\xff\x80")])))
        (letter,) = world.publisher.messages
        assert (letter.key, letter.value, letter.headers[0]) == (b"k", b"{", ("channel", b"\xff\x80"))

    def test_no_line_tells_of_the_customer(self):
        lines = []
        for module, name in (
            (payment_processor, "order_placed"),
            (payment_processor, "order_placed_with_bad_records"),
            (shipping_handler, "results"),
            (notification_handler, "endings"),
        ):
            world = World(module)
            world.call(from_file(name))
            lines += world.lines
        world = World(payment_processor)
        world.call(payload(raw("order_placed", 3, b"jean@example.com", b"{}")))
        told = json.dumps([*lines, *world.lines])
        assert "@" not in told
        for number in range(60):
            order = order_generator.generate_order_event(number, run_id="spring")
            assert order.customer.name not in told
            assert order.customer.customer_id not in told


def refuse(number):
    """Fail the messages of one of the orders of `placed`."""
    return lambda message: "planned" if message.key == f"fn-{number:08d}".encode() else None


class TestWhatARetryMends:
    def test_messages_that_are_not_acknowledged_fail_the_invocation(self):
        world = World(payment_processor, publisher=Publishes(refuse(1)))
        with pytest.raises(Retriable, match="1 messages are not acknowledged: planned"):
            world.call(placed(0, 1, 2))
        assert world.lines.of("failed")[0]["reason"] == "Retriable"
        (metrics,) = world.lines.metrics
        assert (metrics["RecordsRead"], metrics["RecordsFailed"], metrics["EventsWritten"]) == (3, 3, 0)

    def test_so_does_a_dead_letter_that_is_not(self):
        world = World(payment_processor, publisher=Publishes(lambda message: "planned"))
        with pytest.raises(Retriable):
            world.call(from_file("unknown_topic"))

    def test_the_next_invocation_of_the_same_environment_succeeds(self):
        publisher = Publishes(refuse(1))
        world = World(payment_processor, publisher=publisher)
        with pytest.raises(Retriable):
            world.call(placed(0, 1, 2))
        publisher.fail = lambda message: None
        assert world.call(placed(0, 1, 2)) == ALL_DONE
        assert {message.key[-1:] for message in publisher.messages} == {b"0", b"1", b"2"}

    @pytest.mark.parametrize("threads", [1, 4])
    def test_a_table_that_does_not_answer_fails_it_before_anything_is_written(self, threads):
        world = World(shipping_handler, table=Throttled("spring-00000003"), threads=threads)
        with pytest.raises(Retriable, match=r"throttled|not begun"):
            world.call(from_file("results"))
        assert world.publisher.messages == []

    def test_what_it_fails_with_is_the_cause_and_not_that_another_turn_did_not_come(self):
        cause, idle = Retriable("throttled"), function._NotBegun("not begun")
        assert function._cause([idle, cause, Retriable("later")]) is cause
        assert function._cause([idle]) is idle

    @pytest.mark.parametrize("error", [SettingsError("KAFKA_… is missing"), Retriable("no secret")])
    def test_without_a_way_to_connect_nothing_is_recorded(self, error):
        def no_way():
            raise error

        table, publisher = MemoryOrderTable(), Publishes()
        publisher.open = no_way
        world = World(shipping_handler, table=table, publisher=publisher)
        with pytest.raises(type(error)):
            world.call(from_file("results"))
        assert not table.items

    def test_an_error_that_is_not_ours_is_told_without_its_words(self):
        def fail(message):
            raise RuntimeError("jean@example.com")

        world = World(payment_processor, publisher=Publishes(fail))
        with pytest.raises(RuntimeError):
            world.call(placed(0))
        assert "jean" not in json.dumps(world.lines)

    @pytest.mark.parametrize(("left", "wait"), [(60, 30), (10, 9), (1.5, 0.5), (0.2, 0.1)])
    def test_the_brokers_get_the_time_that_is_left_and_no_more(self, left, wait):
        world = World(payment_processor)
        world.call(placed(0), Context(left))
        assert world.publisher.waits == [pytest.approx(wait)]

    def test_records_that_would_take_too_long_are_left_to_the_retry(self):
        context = Context(60)
        table = Slow(context, 15)
        world = World(shipping_handler, table=table)
        with pytest.raises(Retriable, match="would not suffice"):
            world.call(from_file("results"), context)
        assert (table.calls, context.seconds) == (3, 15)


class Throttled(MemoryOrderTable):
    def __init__(self, order):
        super().__init__()
        self.order = order

    def record(self, order_id, topic, event, expires_at):
        if order_id == self.order:
            raise Retriable("throttled")
        return super().record(order_id, topic, event, expires_at)


class Slow(MemoryOrderTable):
    def __init__(self, context, seconds):
        super().__init__()
        self.context, self.seconds, self.calls = context, seconds, 0

    def record(self, *args):
        self.calls += 1
        self.context.seconds -= self.seconds
        return super().record(*args)


class TestPartialResponse:
    def test_it_names_each_record_whose_messages_failed(self):
        world = World(payment_processor, publisher=Publishes(refuse(1)), partial_response=True)
        assert world.call(placed(0, 1, 2)) == {
            "batchItemFailures": [{"itemIdentifier": {"partition": "order_placed-0", "offset": 1}}]
        }
        assert [line["order_id"][-1] for line in world.lines.events] == ["0", "2"]
        (told,) = world.lines.of("failed")
        assert (told["topic"], told["partition"], told["offset"]) == ("order_placed", 0, 1)
        (metrics,) = world.lines.metrics
        assert (metrics["EventsWritten"], metrics["RecordsFailed"]) == (2, 1)

    @pytest.mark.parametrize("threads", [1, 4])
    def test_what_the_table_did_not_take_is_named_and_the_rest_is_written(self, threads):
        table = Throttled("spring-00000003")
        world = World(shipping_handler, table=table, partial_response=True, threads=threads)
        answer = world.call(from_file("results"))
        assert len(answer["batchItemFailures"]) == 2  # both halves of that order
        assert {line["order_id"][-1] for line in world.lines.events} == {"0", "1", "4"}

    def test_the_named_records_alone_complete_the_rest(self):
        table = Throttled("spring-00000003")
        world = World(shipping_handler, table=table, partial_response=True)
        event = from_file("results")
        failed = {
            (f["itemIdentifier"]["partition"], f["itemIdentifier"]["offset"])
            for f in world.call(event)["batchItemFailures"]
        }
        table.order = None
        again = [r for place, batch in event["records"].items() for r in batch if (place, r["offset"]) in failed]
        assert world.call(payload(*again)) == ALL_DONE
        keys = [message.key[-1:] for message in world.publisher.messages]
        assert sorted(keys) == [b"0", b"1", b"3", b"4"]

    def test_if_everything_failed_it_raises_all_the_same(self):
        world = World(payment_processor, publisher=Publishes(lambda message: "planned"), partial_response=True)
        with pytest.raises(Retriable):
            world.call(placed(0, 1))

    def test_what_cannot_be_named_fails_the_whole_batch(self):
        publisher = Publishes(lambda message: "planned" if message.topic == "dead_letters" else None)
        world = World(payment_processor, publisher=publisher, partial_response=True)
        event = placed(0, 1)
        event["records"]["order_placed-0"].append({"no": "record"})
        with pytest.raises(Retriable):
            world.call(event)


class TestComposition:
    @pytest.mark.parametrize("service", TOPOLOGY.services)
    def test_every_service_can_be_composed_from_an_empty_environment(self, service):
        assert function.compose(TOPOLOGY, service, {})

    @pytest.mark.parametrize("module", CONSUMERS, ids=lambda module: module.SERVICE)
    def test_the_first_record_tells_which_variable_is_missing(self, module, capsys):
        composed = function.compose(TOPOLOGY, module.SERVICE, {})
        assert composed.handle({}, None) == ALL_DONE
        with pytest.raises(SettingsError, match=r"KAFKA_BOOTSTRAP_SERVERS is missing.*lambdas\.tf"):
            composed.handle(placed(0), Context())
        first, *_ = map(json.loads, capsys.readouterr().out.splitlines())
        assert (first["ColdStart"], first["service"]) == (1, module.SERVICE)

    def test_an_unusable_switch_is_refused(self):
        with pytest.raises(SettingsError, match="REPORT_BATCH_ITEM_FAILURES is 'perhaps'"):
            function.compose(TOPOLOGY, "payment_processor", {"REPORT_BATCH_ITEM_FAILURES": "perhaps"})

    def test_a_function_is_made_once_for_an_environment(self, monkeypatch):
        monkeypatch.setattr(function, "_functions", {})
        assert function.of("payment_processor") is function.of("payment_processor")
        inner = function_of("payment_processor")
        with function.serving("payment_processor", inner):
            assert function.of("payment_processor") is inner
        assert function.of("payment_processor") is not inner


def test_a_whole_shop_of_functions_in_memory():
    kafka, publisher = in_memory()
    table = MemoryOrderTable()
    functions = {s.name: function_of(s.name, publisher, table=table) for s in TOPOLOGY.processors}
    orders = list(order_generator.generate_orders(0, 200, run_id="shop", start=START))
    for order in orders:
        kafka.append("order_placed", order.order_id.encode(), encode(order))
    read = {}
    busy = True
    while busy:
        busy = False
        for service in TOPOLOGY.processors:
            for topic in service.consumes:
                records = kafka.records(topic)
                known = read.setdefault((service.name, topic), set())
                new = [r for r in records if (r.partition, r.offset) not in known]
                for at in range(0, len(new), 100):
                    assert functions[service.name].handle(payload_of(new[at : at + 100]), Context()) == ALL_DONE
                known |= {(r.partition, r.offset) for r in new}
                busy = busy or bool(new)
    ended = [r.key for topic in ("order_shipped", "order_cancelled") for r in kafka.records(topic)]
    told = [r.key for r in kafka.records("notifications")]
    assert sorted(ended) == sorted(told) == [order.order_id.encode() for order in orders]
    assert kafka.records("dead_letters") == []


def test_a_payload_for_another_kind_of_function_is_refused():
    world = World(payment_processor)
    with pytest.raises(UsageError, match="invoke it through a mapping"):
        world.call("hello")

"""Equal invocations make equal orders, and what cannot be made is refused in words that help who invoked it."""

import uuid
from datetime import UTC, datetime

import pytest

from services.order_generator import order_generator
from shopstream.errors import Retriable, SettingsError, UsageError
from shopstream.events import EventReader, encode
from shopstream.runtime import function
from shopstream.runtime.lambda_settings import LambdaSettings
from shopstream.runtime.order_function import MOST_ORDERS, OrderFunction
from shopstream.runtime.telemetry import TRACE_HEADER
from tests.lambda_fakes import TOPOLOGY, Context, Lines, Publishes, telemetry_of

SERVICE = TOPOLOGY.services["order_generator"]
SCHEDULED = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2026-03-02T08:00:00Z",
    "region": "us-east-1",
    "resources": ["arn:aws:events:us-east-1:123456789012:rule/shopstream-orders"],
    "detail": {},
}
BEGAN = 0x6900E988


class World:
    def __init__(self, publisher=None, trace=True, **environ):
        self.publisher = publisher or Publishes()
        self.lines = Lines()
        header = {TRACE_HEADER: f"Root=1-{BEGAN:x}-bd862e3fe1be46a994272793"} if trace else {}
        telemetry = telemetry_of("order_generator", self.lines, header)
        self.function = OrderFunction(
            TOPOLOGY, SERVICE, self.publisher, telemetry, order_generator.generate_orders, LambdaSettings(environ)
        )

    def call(self, event, context=None):
        with function.serving("order_generator", self.function):
            return order_generator.handler(event, context or Context())

    @property
    def orders(self):
        read = EventReader(["order_placed"]).read
        return [read(message.key, message.value) for message in self.publisher.on("order_placed")]


class TestScheduled:
    def test_the_event_names_run_and_time(self):
        world = World()
        assert world.call(SCHEDULED) == {
            "run_id": SCHEDULED["id"],
            "orders": 1,
            "first": 0,
            "start": "2026-03-02T08:00:00+00:00",
        }
        (order,) = world.orders
        assert order == order_generator.generate_order_event(
            0, run_id=SCHEDULED["id"], start=datetime(2026, 3, 2, 8, tzinfo=UTC)
        )

    def test_the_environment_says_how_many(self):
        assert World(ORDERS_PER_INVOCATION="25").call(SCHEDULED)["orders"] == 25

    def test_the_same_event_makes_the_same_bytes_whatever_the_invocation(self):
        one, other = World(), World(trace=False)
        other_context = Context()
        other_context.aws_request_id = str(uuid.uuid4())
        one.call(SCHEDULED | {"orders": 20})
        other.call(SCHEDULED | {"orders": 20}, other_context)
        assert one.publisher.messages == other.publisher.messages
        assert len(one.publisher.messages) == 20


class TestByHand:
    def test_the_request_names_the_run_and_its_trace_the_time(self):
        world = World()
        assert world.call({"orders": 3}) == {
            "run_id": Context.aws_request_id,
            "orders": 3,
            "first": 0,
            "start": datetime.fromtimestamp(BEGAN, UTC).isoformat(),
        }
        assert [order.order_id[-9:] for order in world.orders] == ["-00000000", "-00000001", "-00000002"]

    def test_a_repeated_request_makes_the_same_bytes(self):
        one, other = World(), World()
        one.call({"orders": 3})
        other.call({"orders": 3})
        assert one.publisher.messages == other.publisher.messages

    def test_a_run_may_be_brought_in_parts(self):
        whole, parts = World(), World()
        whole.call({"orders": 10, "id": "spring", "time": "2026-01-01T00:00:00Z"})
        for first in (0, 4, 8):
            parts.call(
                {"orders": min(4, 10 - first), "first": first, "id": "spring", "time": "2026-01-01T01:00:00+01:00"}
            )
        assert whole.publisher.messages == parts.publisher.messages

    @pytest.mark.parametrize("other", [{"seed": 5}, {"shop_rate": 2}, {"id": "b"}, {"time": "2027-01-01T00:00:00Z"}])
    def test_every_key_matters(self, other):
        event = {"id": "a", "time": "2026-01-01T00:00:00Z"}
        one, changed = World(), World()
        one.call(event)
        changed.call(event | other)
        assert encode(one.orders[0]) != encode(changed.orders[0])

    def test_the_environment_s_seed_counts_unless_the_event_has_one(self):
        worlds = [World(SEED="5"), World(), World(SEED="9")]
        for world, event in zip(worlds, ({}, {"seed": 5}, {"seed": 5}), strict=True):
            world.call({"id": "a", "time": "2026-01-01T00:00:00Z"} | event)
        assert len({world.publisher.messages[0].value for world in worlds}) == 1

    @pytest.mark.parametrize("event", [None, {}])
    def test_one_that_says_nothing_makes_one(self, event):
        world = World(trace=False)
        assert world.call(event)["orders"] == len(world.orders) == 1

    def test_none_is_possible_and_needs_no_connection(self):
        world = World()
        assert world.call({"orders": 0})["orders"] == 0
        assert (world.publisher.opened, world.publisher.messages) == (0, [])

    def test_the_most_that_one_invocation_makes(self):
        world = World()
        assert world.call({"orders": MOST_ORDERS})["orders"] == len(world.orders) == MOST_ORDERS


class TestRefused:
    @pytest.mark.parametrize(
        ("event", "words"),
        [
            ({"orders": "x"}, "orders"),
            ({"orders": "3"}, "orders"),
            ({"orders": -3}, "orders"),
            ({"orders": True}, "orders"),
            ({"orders": 1.5}, "orders"),
            ({"orders": 10_000_000}, "orders"),
            ({"id": 7}, "id"),
            ({"id": "Black Friday"}, "Black Friday"),
            ({"id": "x" * 65}, "cannot name a run"),
            ({"time": "yesterday"}, "time"),
            ({"time": "2026-01-01T00:00:00"}, "time"),
            ({"time": 5}, "time"),
            ({"time": "9999-12-31T23:59:59Z", "orders": 100, "shop_rate": 0.01}, "beyond the year 9999"),
            ({"first": -1}, "first"),
            ({"first": 10**12}, "not within"),
            ({"shop_rate": 0}, "shop_rate"),
            ({"seed": "a"}, "seed"),
            ([1], "object"),
            ("orders", "object"),
        ],
        ids=repr,
    )
    def test_in_words_that_help(self, event, words):
        world = World()
        with pytest.raises(UsageError) as caught:
            world.call(event)
        assert words in str(caught.value)
        assert world.publisher.messages == []
        assert world.lines.of("failed")[0]["detail"] == str(caught.value)

    @pytest.mark.parametrize("value", ["-1", "10001"])
    def test_an_environment_that_asks_for_the_impossible(self, value):
        with pytest.raises(UsageError, match=f"ORDERS_PER_INVOCATION is {value}"):
            World(ORDERS_PER_INVOCATION=value).call({})

    def test_one_without_kafka(self):
        with pytest.raises(SettingsError, match="KAFKA_BOOTSTRAP_SERVERS is missing"):
            function.compose(TOPOLOGY, "order_generator", {}).handle({}, Context())


class TestTrouble:
    def test_orders_that_are_not_acknowledged_fail_it_and_the_retry_brings_the_rest(self):
        publisher = Publishes(lambda message: "planned" if message.key.endswith(b"1") else None)
        world = World(publisher)
        with pytest.raises(Retriable, match="1 of 3 orders are not acknowledged: planned"):
            world.call({"orders": 3})
        publisher.fail = lambda message: None
        world.call({"orders": 3})
        assert len(publisher.messages) == 5
        assert len({(message.key, message.value) for message in publisher.messages}) == 3

    def test_it_tells_of_each_order_and_of_none_of_the_customers(self):
        world = World()
        world.call({"orders": 5})
        assert [line["outcome"] for line in world.lines.events] == ["placed"] * 5
        assert world.lines.metrics[0]["EventsWritten"] == 5
        told = str(world.lines)
        assert not any(order.customer.name in told or order.customer.email in told for order in world.orders)

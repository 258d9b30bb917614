"""A service may declare event types of its own: checked in the topology, read, routed and told of like the shop's."""

import sys
from types import ModuleType

import pytest

from services.order_generator.order_generator import generate_orders
from shopstream.errors import BadRecord, TopologyError, UsageError
from shopstream.events import EVENT_TYPES, Event, EventReader, OrderPlaced, OrderShipped, derive, encode
from shopstream.records import Record
from shopstream.runtime.function import ProcessorFunction
from shopstream.runtime.processor import own_events_of, processor_for
from shopstream.runtime.telemetry import Telemetry
from shopstream.topology import default_path, parse
from tests.lambda_fakes import Context, Lines, Publishes, raw
from tests.lambda_fakes import payload as batch

ENTRY = """\
services:
  fraud_checker:
    consumes: [order_placed]
    produces: [fraud_result]
"""
TOPIC = """\
topics:
  fraud_result:
    own_events: [order_cleared, order_suspected]
    sink: true
"""
SHOP = default_path().read_text(encoding="utf-8")
TEXT = SHOP.replace("services:\n", ENTRY, 1).replace("topics:\n", TOPIC, 1)
OWN = "    own_events: [order_cleared, order_suspected]\n"
(ORDER,) = generate_orders(0, 1, run_id="own")


class OrderCleared(Event, frozen=True, kw_only=True, gc=False):
    total: int


class OrderSuspected(Event, frozen=True, kw_only=True, gc=False):
    reason: str


@pytest.fixture
def core(monkeypatch):
    """A core as `services/fraud_checker/fraud_checker.py` would be one."""
    name = "services.fraud_checker.fraud_checker"
    module = ModuleType(name)
    for kind in (OrderCleared, OrderSuspected):
        monkeypatch.setattr(kind, "__module__", name)
        setattr(module, kind.__name__, kind)
    module.OrderPlaced = OrderPlaced
    module.react = lambda event: (derive(OrderCleared, event, total=event.total),)
    package = ModuleType("services.fraud_checker")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "services.fraud_checker", package)
    monkeypatch.setitem(sys.modules, name, module)
    return module


@pytest.fixture
def topology():
    return parse(TEXT)


@pytest.fixture
def service(topology):
    return topology.services["fraud_checker"]


class TestTypes:
    def test_a_type_is_named_after_its_class_and_is_none_of_the_shop_s(self):
        assert (OrderCleared.event_type, OrderShipped.event_type) == ("order_cleared", "order_shipped")
        assert not {"order_cleared", "order_suspected"} & EVENT_TYPES.keys()

    def test_it_is_derived_written_and_read_like_any_other(self):
        event = derive(OrderCleared, ORDER, total=3)
        assert event.event_id == f"{ORDER.order_id}:order_cleared"
        key = ORDER.order_id.encode()
        assert EventReader(["order_cleared"], {"order_cleared": OrderCleared}).read(key, encode(event)) == event
        with pytest.raises(BadRecord, match="unknown_event_type"):
            EventReader(["order_placed"]).read(key, encode(event))

    def test_what_is_no_such_event_is_explained(self):
        reader = EventReader(["order_cleared"], {"order_cleared": OrderCleared, "order_suspected": OrderSuspected})
        with pytest.raises(BadRecord, match="wrong_topic: order_suspected does not stand on this topic"):
            reader.read(ORDER.order_id.encode(), encode(derive(OrderSuspected, ORDER, reason="x")))


class TestTopology:
    def test_they_stand_on_a_topic_of_their_own(self, topology, service):
        topic = topology.topics["fraud_result"]
        assert (topic.events, topic.own_events) == ((), ("order_cleared", "order_suspected"))
        assert topology.topic_of["order_suspected"] == "fraud_result"
        assert ("fraud_checker", "fraud_result", "write") in {(a.user, a.name, a.operation) for a in topology.acls()}

    def test_such_a_service_is_an_onlooker_and_the_shop_s_are_none(self, topology, service):
        assert topology.onlookers == (service,)
        assert parse(SHOP).onlookers == ()

    @pytest.mark.parametrize(
        ("old", "new", "problem", "remedy"),
        [
            (OWN, "    own_events: [order_placed] #!\n", "'order_placed' is an event of the shop", "it under events"),
            (OWN, "    own_events: [OrderSuspected] #!\n", "'OrderSuspected' names no event", "like order_suspected"),
            (OWN, "    events: [order_suspected] #!\n", "unknown event 'order_suspected'", "or name it under own_e"),
            (
                "    events: [order_placed]\n",
                "    events: [order_placed]\n    own_events: [order_eaten] #!\n",
                "topic 'order_placed' has events of the shop, too",
                "a topic of their own",
            ),
            (
                "    sink: true\n  order_placed:\n",
                "    sink: true\n  other_result:\n    own_events: [order_cleared]\n    sink: true\n  order_placed:\n",
                "event 'order_cleared' is on 'fraud_result' already",
                "belongs on one topic",
            ),
            (
                "    produces: [payment_result]\n",
                "    produces: [payment_result, fraud_result]\n",
                "fraud_checker and payment_processor produce the own events of 'fraud_result'",
                "in one service's produces",
            ),
            (
                "    consumes: [order_placed]\n    produces: [fraud_result]\n",
                "    consumes: [order_placed]\n",
                "no service produces the own events of 'fraud_result'",
                "in one service's produces",
            ),
            (
                "    consumes: [inventory_result, ",
                "    consumes: [fraud_result, inventory_result, ",
                "'notification_handler' consumes 'fraud_result', whose events only their own service knows",
                "declare what services tell each other in shopstream.events",
            ),
        ],
    )
    def test_a_broken_rule_names_the_remedy(self, old, new, problem, remedy):
        assert TEXT.count(old) == 1
        with pytest.raises(TopologyError) as caught:
            parse(TEXT.replace(old, new))
        assert any(f": {problem}: " in line and remedy in line for line in str(caught.value).splitlines())


def record(value, offset=0):
    return Record("order_placed", 0, offset, 1_772_438_400_555, ORDER.order_id.encode(), value)


@pytest.mark.usefixtures("core")
class TestRuntime:
    def test_an_own_event_goes_to_its_topic(self, topology, service):
        made = processor_for(topology, service).process([record(encode(ORDER))])
        ((key, value),) = made.events["fraud_result"]
        assert (key, value) == (ORDER.order_id.encode(), encode(derive(OrderCleared, ORDER, total=ORDER.total)))
        assert made.events.keys() == {"fraud_result"}

    def test_what_it_cannot_use_is_a_dead_letter(self, topology, service):
        made = processor_for(topology, service).process([record(b"{")])
        assert (len(made.dead_letters), made.events) == (1, {})

    def test_a_type_that_the_module_lacks_is_named(self, topology, service, core):
        del core.OrderSuspected
        with pytest.raises(UsageError, match=r"declares no event 'order_suspected'.*there are: order_cleared\)"):
            processor_for(topology, service)

    def test_a_type_that_is_only_imported_is_none_of_its_own(self, topology, service, core, monkeypatch):
        monkeypatch.setattr(OrderSuspected, "__module__", "services.other.other")
        with pytest.raises(UsageError, match="declares no event 'order_suspected'"):
            own_events_of(topology, service)

    def test_a_service_without_own_events_is_not_even_imported(self, topology, core, monkeypatch):
        monkeypatch.setattr("shopstream.runtime.processor.core_of", lambda _: pytest.fail("imported"))
        assert own_events_of(topology, topology.services["payment_processor"]) == {}

    def test_an_event_without_a_topic_of_the_service_is_a_mistake_with_a_remedy(self, topology, service, core):
        core.react = lambda event: (event,)
        with pytest.raises(UsageError, match=r"'order_placed', which stands on no topic that it produces \(fraud_res"):
            processor_for(topology, service).process([record(encode(ORDER))])

    def test_as_a_function_it_writes_them_and_tells_of_them(self, topology, service):
        lines, publisher = Lines(), Publishes()
        function = ProcessorFunction(
            processor_for(topology, service), publisher, Telemetry(topology, service, "shop", {}, write=lines)
        )
        function.handle(batch(raw("order_placed", 0, ORDER.order_id.encode(), encode(ORDER))), Context())
        (message,) = publisher.messages
        assert message.topic == "fraud_result"
        assert [(line["event_type"], line["outcome"]) for line in lines.events] == [("order_cleared", "cleared")]

"""The test events are what AWS would send: a service can use every record of its own, and they show all it can do."""

import json
from base64 import b64decode
from collections import Counter
from pathlib import Path

import pytest

from services.order_generator.order_generator import generate_orders
from services.payment_processor.payment_processor import process_payment
from shopstream import topology
from shopstream.events import EVENT_TYPES, EventReader, PaymentDeclined, order_id
from shopstream.lambdas import samples
from shopstream.records import Record
from shopstream.runtime import function
from shopstream.runtime.lambda_settings import LambdaSettings
from shopstream.runtime.memory import partition_for
from shopstream.runtime.order_function import OrderFunction
from shopstream.runtime.processor import core_of
from tests.lambda_fakes import ALL_DONE, Context, Lines, Publishes, function_of, telemetry_of

SHOP = topology.load()
EVENTS = samples.sample_events(SHOP)
FOLDER = Path(__file__).parents[1] / "docs" / "test-events"


def received(event):
    """The records of an event, after the way through a file."""
    for records in json.loads(json.dumps(event))["records"].values():
        for record in records:
            assert (record["timestampType"], record["headers"]) == ("CREATE_TIME", [])
            key, value = (b64decode(record[field], validate=True) for field in ("key", "value"))
            yield Record(record["topic"], record["partition"], record["offset"], record["timestamp"], key, value)


def read(record):
    return EventReader(SHOP.topics[record.topic].events).read(record.key, record.value)


def test_every_function_has_one_and_no_file_is_left_over():
    assert {name.partition(".")[0] for name in EVENTS} == {*SHOP.services, "hello_world"}
    assert {path.stem for path in FOLDER.iterdir()} == set(EVENTS)


@pytest.mark.parametrize("service", SHOP.processors, ids=lambda service: service.name)
class TestABatch:
    def test_holds_events_of_every_topic_that_the_service_consumes(self, service):
        records = list(received(EVENTS[service.name]))
        assert {record.topic for record in records} == set(service.consumes)
        kinds = {read(record).event_type for record in records}
        assert kinds == {kind for topic in service.consumes for kind in SHOP.topics[topic].events}

    def test_stands_where_kafka_would_have_put_it(self, service):
        for name, records in EVENTS[service.name]["records"].items():
            assert [record["offset"] for record in records] == list(range(len(records)))
            assert {f"{record['topic']}-{record['partition']}" for record in records} == {name}
        for record in received(EVENTS[service.name]):
            assert record.partition == partition_for(record.key, SHOP.topics[record.topic].partitions)


def test_each_course_of_an_order_is_there_once():
    kinds = {}
    for service in SHOP.processors:
        for record in received(EVENTS[service.name]):
            event = read(record)
            kinds.setdefault(event.order_id, set()).add(event.event_type)
    decisions = [("payment_approved" in seen, "stock_reserved" in seen) for seen in kinds.values()]
    assert sorted(decisions) == [(False, False), (False, True), (True, False), (True, True)]
    assert set.union(*kinds.values()) == set(EVENT_TYPES) - {"customer_notified"}  # nobody consumes that one


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("payment_processor", {"payment_approved": 2, "payment_declined": 2, "payment_refunded": 1}),
        ("inventory_manager", {"stock_reserved": 2, "stock_rejected": 2, "stock_released": 1}),
        ("shipping_handler", {"order_shipped": 1, "order_cancelled": 3}),
        ("notification_handler", {"customer_notified": 4}),
    ],
)
def test_a_function_does_what_the_guide_says(name, written):
    publisher = Publishes()
    with function.serving(name, function_of(name, publisher)):
        assert core_of(SHOP.services[name]).handler(EVENTS[name], Context()) == ALL_DONE
    assert Counter(json.loads(message.value)["event_type"] for message in publisher.messages) == written


@pytest.mark.parametrize(
    ("name", "orders", "run_id"),
    [
        ("order_generator", 3, Context.aws_request_id),
        ("order_generator.scheduled", 1, EVENTS["order_generator.scheduled"]["id"]),
    ],
)
def test_the_source_brings_orders(name, orders, run_id):
    source, publisher, lines = SHOP.source, Publishes(), Lines()
    settings, telemetry = LambdaSettings({}), telemetry_of(SHOP.source.name, lines)
    brings = OrderFunction(SHOP, source, publisher, telemetry, generate_orders, settings)
    with function.serving(source.name, brings):
        answer = core_of(source).handler(EVENTS[name], Context())
    assert (answer["orders"], answer["run_id"]) == (orders, run_id)
    assert [message.key.decode() for message in publisher.messages] == [order_id(run_id, n) for n in range(orders)]


def test_of_orders_with_the_same_course_the_first_is_taken():
    orders = list(generate_orders(0, 40, run_id="same", start=samples.START))
    taken = samples.one_of_each_course(topology.parse(PAYMENT_ALONE), orders)
    declined = [isinstance(process_payment(order), PaymentDeclined) for order in orders]
    assert taken == [orders[0], orders[declined.index(not declined[0])]]


PAYMENT_ALONE = """
dead_letters: letters
topics:
  order_placed: {events: [order_placed], sink: true}
  progress: {compacted: true, partitions: 1}
  letters: {sink: true}
  payment_result: {events: [payment_approved, payment_declined, payment_refunded], sink: true}
services:
  order_generator: {produces: [order_placed], progress: progress}
  payment_processor: {consumes: [order_placed], produces: [payment_result]}
operators:
  admin: {superuser: true}
  auditor: {reads: all, watches_groups: true}
"""

"""The table keeps the first half from each topic for good, and whoever sees both halves derives the same bytes.

One suite for the table in memory and the one in DynamoDB (moto's), so that the fake promises no more than the real one.
Every crash between two steps is in test_order_table_crashes.py.
"""

from datetime import UTC, datetime

import boto3
import msgspec
import pytest
from moto import mock_aws

from services.inventory_manager.inventory_manager import check_inventory, release_stock
from services.order_generator.order_generator import generate_order_event
from services.payment_processor.payment_processor import process_payment, refund_payment
from services.shipping_handler.shipping_handler import cancel_order, join
from shopstream.deadletter import origin_of
from shopstream.errors import Retriable
from shopstream.events import encode
from shopstream.events.model import MOST_LINES
from shopstream.records import Record
from shopstream.runtime.dynamodb import CONFIG, DynamoOrderTable
from shopstream.runtime.order_table import ITEM_LIMIT, KEEP, MemoryOrderTable, TableJoinProcessor
from shopstream.topology import load

TOPOLOGY = load()
SERVICE = TOPOLOGY.services["shipping_handler"]
NOW = 1_700_000_000
ORDER = generate_order_event(7, run_id="table", start=datetime(2026, 1, 1, tzinfo=UTC))
APPROVED, DECLINED = (process_payment(ORDER, approval_rate=rate) for rate in (1, 0))
RESERVED, REJECTED = (check_inventory(ORDER, stock_rate=rate) for rate in (1, 0))


class TableSuite:
    """What a table promises."""

    def expires(self, table, order):
        raise NotImplementedError

    def test_the_first_half_stands_alone(self, table):
        assert table.record("a", "payment_result", b"1", 5) == {"payment_result": b"1"}

    def test_the_second_sees_both(self, table):
        table.record("a", "payment_result", b"1", 5)
        assert table.record("a", "inventory_result", "é".encode(), 5) == {
            "payment_result": b"1",
            "inventory_result": "é".encode(),
        }

    def test_what_is_stored_stays(self, table):
        table.record("a", "payment_result", b"1", 5)
        assert table.record("a", "payment_result", b"2", 5) == {"payment_result": b"1"}

    def test_orders_have_nothing_to_do_with_each_other(self, table):
        table.record("a", "payment_result", b"1", 5)
        assert table.record("b", "inventory_result", b"2", 5) == {"inventory_result": b"2"}

    def test_every_record_prolongs_the_item_s_life(self, table):
        table.record("a", "payment_result", b"1", 5)
        table.record("a", "inventory_result", b"2", 9)
        table.record("a", "payment_result", b"1", 12)
        assert self.expires(table, "a") == 12

    def test_an_item_has_a_limit(self, table):
        half = b"x" * (ITEM_LIMIT // 2)
        table.record("a", "payment_result", half, 5)
        with pytest.raises(Retriable):
            table.record("a", "inventory_result", half, 5)


class TestMemory(TableSuite):
    @pytest.fixture
    def table(self):
        return MemoryOrderTable()

    def expires(self, table, order):
        return table.expires_at[order]


def dynamodb():
    return boto3.client("dynamodb", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


class TestDynamoDB(TableSuite):
    @pytest.fixture
    def table(self):
        with mock_aws():
            client = dynamodb()
            client.create_table(
                TableName="orders",
                KeySchema=[{"AttributeName": "order_id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "order_id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
            yield DynamoOrderTable("orders", client=client)

    def expires(self, table, order):
        item = dynamodb().get_item(TableName="orders", Key={"order_id": {"S": order}})["Item"]
        return int(item["expires_at"]["N"])


class TestDynamoDBInTrouble:
    def test_a_table_that_is_not_there_may_be_there_later(self):
        with mock_aws(), pytest.raises(Retriable, match="table nowhere could not be updated"):
            DynamoOrderTable("nowhere", client=dynamodb()).record("a", "payment_result", b"1", 5)

    def test_no_answer_is_told_before_the_function_s_time_is_up(self):
        attempts = CONFIG["retries"]["total_max_attempts"]
        pauses = sum(2**n for n in range(attempts - 1))  # botocore's standard mode waits up to 2 ** n seconds
        assert attempts * (CONFIG["connect_timeout"] + CONFIG["read_timeout"]) + pauses <= 21

    def test_nobody_at_the_other_end(self):
        client = boto3.client(
            "dynamodb",
            "us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            endpoint_url="http://127.0.0.1:9",
            config=boto3.session.Config(retries={"total_max_attempts": 1}),
        )
        with pytest.raises(Retriable, match="order a"):
            DynamoOrderTable("orders", client=client).record("a", "payment_result", b"1", 5)


def record(event, offset=0, topic=None):
    topic = topic or TOPOLOGY.topic_of[event.event_type]
    return Record(topic, 3, offset, 0, event.order_id.encode(), encode(event))


class World:
    def __init__(self):
        self.table = MemoryOrderTable()
        self.now = NOW
        self.processor = TableJoinProcessor(TOPOLOGY, SERVICE, join, self.table, lambda: self.now + 0.9)

    def give(self, *events):
        """What follows from each event: topics and values, or the reason of a dead letter."""
        answers = []
        for event in events:
            batch = self.processor.process([record(event)])
            answers.append([(topic, value) for topic, pairs in batch.events.items() for _, value in pairs])
            answers[-1] += [origin_of(letter.headers).reason for letter in batch.dead_letters]
        return answers


def outcome(payment, stock):
    _, (event,) = join(payment, stock)
    return [(TOPOLOGY.topic_of[event.event_type], encode(event))]


PAIRS = [(payment, stock) for payment in (APPROVED, DECLINED) for stock in (RESERVED, REJECTED)]


class TestJoin:
    @pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(event.event_type for event in pair))
    def test_the_second_half_brings_the_outcome_whichever_it_is(self, pair):
        assert World().give(*pair) == World().give(*reversed(pair)) == [[], outcome(*pair)]

    @pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(event.event_type for event in pair))
    def test_every_later_delivery_of_a_half_brings_the_same_bytes_again(self, pair):
        assert World().give(*pair, *pair) == [[], *[outcome(*pair)] * 3]

    def test_a_second_decision_of_one_side_changes_nothing(self):
        world = World()
        assert world.give(APPROVED, DECLINED, REJECTED, DECLINED, RESERVED, APPROVED) == [
            [],
            ["contradiction"],
            outcome(APPROVED, REJECTED),
            ["contradiction"],
            ["contradiction"],
            outcome(APPROVED, REJECTED),
        ]

    def test_so_does_the_same_decision_with_another_amount(self):
        other = msgspec.structs.replace(APPROVED, amount=APPROVED.amount + 1)
        assert World().give(APPROVED, other, RESERVED) == [[], ["contradiction"], outcome(APPROVED, RESERVED)]

    def test_a_field_that_readers_ignore_is_no_contradiction(self):
        world = World()
        world.give(APPROVED)
        newer = msgspec.json.decode(encode(APPROVED)) | {"added_later": 1}
        again = Record("payment_result", 0, 9, 0, ORDER.order_id.encode(), msgspec.json.encode(newer))
        assert world.processor.process([again]).dead_letters == []

    def test_what_is_no_half_touches_no_table(self):
        world = World()
        refunded = refund_payment(cancel_order(APPROVED, REJECTED))
        released = release_stock(cancel_order(DECLINED, RESERVED))
        assert world.give(refunded, released) == [[], []]
        assert not world.table.items

    def test_an_item_outlives_the_topics_retention(self):
        world = World()
        world.give(APPROVED)
        assert world.table.expires_at == {ORDER.order_id: NOW + KEEP}
        retention = max(int(TOPOLOGY.topics[topic].config["retention.ms"]) for topic in SERVICE.consumes)
        assert retention / 1000 < KEEP / 2

    def test_the_largest_halves_that_can_be_read_fit_into_one_item(self):
        name = "\x01" * 256  # each character takes six bytes of JSON
        line = msgspec.structs.replace(APPROVED.lines[0], article_id=name, name=name)
        payment, stock = (msgspec.structs.replace(half, lines=(line,) * MOST_LINES) for half in (APPROVED, RESERVED))
        world = World()
        assert 150_000 < len(encode(payment)) < world.processor.most_bytes
        assert world.give(payment, stock) == [[], outcome(payment, stock)]

    def test_a_larger_one_would_be_refused_before_it_waits(self):
        world = World()
        world.processor.most_bytes = len(encode(APPROVED)) - 1
        assert world.give(APPROVED) == [["too_large"]]
        assert not world.table.items

    def test_a_table_that_holds_nonsense_is_for_people_to_mend(self):
        world = World()
        world.table.record(ORDER.order_id, "inventory_result", b"{}", 0)
        with pytest.raises(Retriable, match="is no event of the join"):
            world.give(APPROVED)

"""The shop's own zip in provisioned mode: only the record that failed comes again; the rest of its batch is done."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from confluent_kafka import Producer

from services.inventory_manager.inventory_manager import check_inventory
from services.order_generator.order_generator import generate_orders
from services.payment_processor.payment_processor import process_payment
from shopstream.cli.on_lambda import build_zips
from shopstream.events import encode
from shopstream.lambdas.host import LambdaHost
from shopstream.lambdas.model import Provisioned
from shopstream.lambdas.secrets import SecretsManager
from shopstream.rehearsal.aws import AwsStandIn
from shopstream.run.lambda_shop import set_up
from shopstream.settings import ClientSettings
from tests.integration.shop import Shop
from tests.lambda_world import runtime
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.infra, pytest.mark.timeout(300)]

SERVICE = "shipping_handler"
TABLE = "shopstream-shipping_handler_state"
ORDERS = list(generate_orders(0, 40, run_id="partial", start=datetime(2026, 11, 24, tzinfo=UTC)))
POISONED = ORDERS[17].order_id


@pytest.fixture
def shop(new_cluster):
    cluster = new_cluster()
    cluster.up()
    return Shop(cluster)


def place_halves(shop):
    """Both decisions on every order, as the services behind them would write them."""
    for user, topic, decide in (
        ("payment_processor", "payment_result", process_payment),
        ("inventory_manager", "inventory_result", check_inventory),
    ):
        client = ClientSettings.from_properties(shop.cluster.properties(user))
        producer = Producer({**client.to_librdkafka(), "partitioner": "murmur2_random"})
        for order in ORDERS:
            producer.produce(topic, key=order.order_id, value=encode(decide(order)))
        assert producer.flush(30) == 0


def ended(shop):
    """How often each order has come to an end."""
    topics = ("order_shipped", "order_cancelled")
    return Counter(record.key().decode() for topic in topics for record in shop.records(topic))


def test_the_rest_of_a_batch_is_done_while_one_record_fails(shop, tmp_path):
    properties = shop.cluster.properties(shop.topology.user_of("auditor"))
    with AwsStandIn(tmp_path / "aws.log") as aws:
        made = set_up(shop.topology, properties, build_zips(print), aws.client)
        function = next(each for each in made.functions if made.service_of[each.name] == SERVICE)
        environment = {**function.environment, "REPORT_BATCH_ITEM_FAILURES": "true"}
        mappings = [
            replace(each, provisioned=Provisioned(1, 1), report_batch_item_failures=True)
            for each in made.mappings
            if each.function == function.name
        ]
        # What somebody has broken in the table: the function cannot read it, and hopes for a mended one.
        table = aws.client("dynamodb")
        broken = {"order_id": {"S": POISONED}, "payment_result": {"S": "{"}}
        table.put_item(TableName=TABLE, Item=broken)
        place_halves(shop)
        host = LambdaHost(
            [replace(function, environment=environment)],
            mappings,
            secrets=SecretsManager(lambda: aws.client("secretsmanager")),
            runtime=runtime(),
            home=tmp_path / "lambda",
            tell=print,
            environment=aws.environment(),
        )
        host.start()
        try:
            others = {order.order_id for order in ORDERS} - {POISONED}
            until(lambda: ended(shop).keys() == others, "the rest is not done", 120)
            until(lambda: all(each.failures >= 2 for each in host.counts().values()), "it is not tried again", 60)
            assert POISONED not in ended(shop)
            table.delete_item(TableName=TABLE, Key={"order_id": {"S": POISONED}})
            until(lambda: POISONED in ended(shop), "it is not mended", 60)
            until(lambda: sum(each.lag for each in host.counts().values()) == 0, "something is left", 30)
        finally:
            host.stop()
        counts = host.counts().values()
        # Of every batch but the poisoned one's record nothing came twice: so the mapping read the partial answers.
        assert sum(each.delivered for each in counts) == 2 * len(ORDERS)
        assert {number for order, number in ended(shop).items() if order != POISONED} == {1}
        assert "is no event of the join" in host.log(function.name).read_text(encoding="utf-8")

"""What an order uses follows from the topology and from sizes that are measured here, in memory, once more."""

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from math import ceil, inf

import pytest

from services.inventory_manager.inventory_manager import STOCK_RATE
from services.order_generator.order_generator import generate_orders
from services.payment_processor.payment_processor import APPROVAL_RATE
from shopstream import topology
from shopstream.cost import usage
from shopstream.cost.plan import Plan, Resource, default_plan
from shopstream.cost.prices import price_table
from shopstream.cost.usage import FULL, SINGLE, Batches, events_per_order, flows, metrics, uncounted, use
from shopstream.events import EVENT_TYPES, encode
from shopstream.runtime.order_table import MemoryOrderTable
from tests.lambda_fakes import TOPOLOGY, Context, Publishes, function_of, payload, raw

TABLE = price_table()
ORDERS, BATCH = 2000, 100
RUN = "2f1c8a52-7d7e-4a35-9f0b-a1a4f3a4e6d1"  # as an id of EventBridge's
MILLION = 1_000_000


class SizedTable(MemoryOrderTable):
    """Keeps the size of the item after each update, as DynamoDB counts it: names and values."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def record(self, order_id, topic, event, expires_at):
        item = super().record(order_id, topic, event, expires_at)
        number = 6  # bytes of the time to live
        names = len("order_id" + order_id + "expires_at")
        self.sizes.append(names + number + sum(len(name) + len(value) for name, value in item.items()))
        return item


class Measured:
    """Orders through all functions, until nothing more follows."""

    def __init__(self):
        self.topics = defaultdict(list)
        self.table = SizedTable()
        self.lines = defaultdict(list)
        self.payload = self.payload_base64 = self.records = self.batches = 0
        orders = generate_orders(0, ORDERS, run_id=RUN, start=datetime(2026, 1, 1, tzinfo=UTC))
        self.topics["order_placed"] = [(order.order_id.encode(), encode(order)) for order in orders]
        self.publishers = {service.name: Publishes() for service in TOPOLOGY.processors}
        functions = {
            name: function_of(name, publisher, table=self.table, lines=self.lines[name].append)
            for name, publisher in self.publishers.items()
        }
        at = Counter()
        pairs = [(service, topic) for service in TOPOLOGY.processors for topic in service.consumes]
        while sum(self._step(service, functions, at, topic) for service, topic in pairs):
            pass

    def _step(self, service, functions, at, topic):
        batch = self.topics[topic][at[service.name, topic] : at[service.name, topic] + BATCH]
        if not batch:
            return False
        event = payload(*(raw(topic, at[service.name, topic] + n, *record) for n, record in enumerate(batch)))
        at[service.name, topic] += len(batch)
        functions[service.name].handle(event, Context())
        for message in self.publishers[service.name].messages:
            self.topics[message.topic].append((message.key, message.value))
        self.publishers[service.name].messages.clear()
        self.payload += len(json.dumps(event, separators=(",", ":")))
        self.payload_base64 += sum(4 * ceil(len(part) / 3) for record in batch for part in record)
        self.records += len(batch)
        self.batches += 1
        return True

    def sizes(self):
        """The sizes of all events, by type."""
        found = defaultdict(list)
        for records in self.topics.values():
            for _, value in records:
                found[json.loads(value)["event_type"]].append(len(value))
        return found

    def lines_with(self, word):
        return [len(line) for lines in self.lines.values() for line in lines if f'"{word}"' in line]


@pytest.fixture(scope="module")
def measured():
    return Measured()


def mean(numbers):
    return sum(numbers) / len(numbers)


class TestWhatIsMeasured:
    """3 % is what other customers and baskets make of the sizes."""

    def test_events_and_their_sizes(self, measured):
        sizes = measured.sizes()
        assert {kind: mean(found) for kind, found in sizes.items()} == pytest.approx(usage.EVENT_BYTES, rel=0.03)
        counted = {kind: len(found) / ORDERS for kind, found in sizes.items()}
        assert counted == pytest.approx(events_per_order(TOPOLOGY), abs=0.025)
        assert set(usage.EVENT_BYTES) == set(EVENT_TYPES) == set(events_per_order(TOPOLOGY))

    def test_keys_and_payloads(self, measured):
        assert {len(key) for records in measured.topics.values() for key, _ in records} == {usage.KEY_BYTES}
        rest = (measured.payload - measured.payload_base64) / measured.records
        assert rest == pytest.approx(usage.PAYLOAD_RECORD_BYTES, rel=0.03)

    def test_records_that_each_function_reads(self, measured):
        expected = sum(flows(TOPOLOGY)[topic].records for s in TOPOLOGY.processors for topic in s.consumes)
        assert measured.records / ORDERS == pytest.approx(expected, rel=0.01)

    def test_log_lines(self, measured):
        assert mean(measured.lines_with("event_type")) == pytest.approx(usage.EVENT_LINE_BYTES, rel=0.03)
        assert mean(measured.lines_with("_aws")) == pytest.approx(usage.METRICS_LINE_BYTES, rel=0.03)
        assert len(measured.lines_with("_aws")) == measured.batches

    def test_lines_that_lambda_itself_writes(self):
        request = {"requestId": "79b5e81f-9cdd-4145-b1f6-7c50ef8a2a36"}
        arn = "arn:aws:lambda:us-east-1:123456789012:function:shopstream-shipping_handler"
        times = {"durationMs": 33.96, "billedDurationMs": 34, "memorySizeMB": 512, "maxMemoryUsedMB": 123}
        records = {
            "platform.start": {**request, "functionArn": arn, "version": "$LATEST"},
            "platform.report": {**request, "metrics": times, "status": "success"},
        }
        found = [{"time": "2026-10-08T07:30:28.235Z", "type": kind, "record": each} for kind, each in records.items()]
        size = sum(len(json.dumps(each, separators=(",", ":"))) for each in found)
        assert size == pytest.approx(usage.PLATFORM_LINES_BYTES, rel=0.05)

    def test_the_table_of_the_join(self, measured):
        sizes = measured.table.sizes
        assert len(sizes) / ORDERS == usage.TABLE_WRITES
        assert sum(ceil(size / 1024) for size in sizes) / ORDERS == pytest.approx(usage.TABLE_UNITS, rel=0.03)
        items = [
            sum(len(name) + len(value) for name, value in item.items()) + len("order_id" + order + "expires_at") + 6
            for order, item in measured.table.items.items()
        ]
        assert mean(items) + 100 == pytest.approx(usage.ITEM_BYTES, rel=0.03)

    def test_the_services_own_rates(self):
        assert {"payment_approved": APPROVAL_RATE, "stock_reserved": STOCK_RATE} == usage.DEFAULT_RATES


class TestFlow:
    def test_events_follow_from_the_rates(self):
        text = topology.default_path().read_text(encoding="utf-8")
        other = topology.parse(text.replace("approval_rate: 0.9", "approval_rate: 0.5").replace("stock_rate: 0.8", ""))
        assert events_per_order(other) == pytest.approx(
            {
                "order_placed": 1, "payment_approved": 0.5, "payment_declined": 0.5, "payment_refunded": 0.1,
                "stock_reserved": 0.8, "stock_rejected": 0.2, "stock_released": 0.4, "order_shipped": 0.4,
                "order_cancelled": 0.6, "customer_notified": 1,
            }
        )  # fmt: skip

    def test_topics_carry_their_events(self):
        found = flows(TOPOLOGY)
        assert {name: flow.records for name, flow in found.items()} == pytest.approx(
            {
                "order_placed": 1, "payment_result": 1.18, "inventory_result": 1.08, "order_shipped": 0.72,
                "order_cancelled": 0.28, "notifications": 1,
            }
        )  # fmt: skip
        assert found["payment_result"].value_bytes == pytest.approx(0.9 * 714 + 0.1 * 396 + 0.18 * 262)
        assert found["order_cancelled"].wire_bytes == pytest.approx(0.28 * (470 + 45 + 20))
        assert found["order_cancelled"].payload_bytes == pytest.approx(0.28 * ((470 + 45) * 4 / 3 + 145))


class TestBatches:
    mapping = Resource("aws_lambda_event_source_mapping", "topic", "s.t", {"batch_size": 40})

    @pytest.mark.parametrize(
        ("pace", "records", "expected"),
        [(0.0, 1.0, 1.0), (10.0, 1.0, 6.0), (10.0, 0.2, 2.0), (1000.0, 1.0, 40.0), (inf, 0.0, 40.0)],
    )
    def test_a_batch_is_a_record_and_what_comes_within_half_a_second(self, pace, records, expected):
        assert Batches(pace).records(records, self.mapping) == pytest.approx(expected)

    def test_the_mapping_may_say_otherwise(self):
        assert Batches(10.0).records(1.0, self.mapping.but(maximum_batching_window_in_seconds=2)) == 21.0
        assert Batches(10.0).records(1.0, self.mapping.but(maximum_batching_window_in_seconds=0)) == 1.0
        several = self.mapping.but(provisioned_poller_config=[{"minimum_pollers": 5}])
        assert Batches(10.0).records(1.0, several) == 2.0
        assert FULL.records(1.0, self.mapping.but(batch_size=None)) == 100
        assert SINGLE.records(1.0, self.mapping) == 1


def usd(plan=None, *, orders=MILLION, batches=SINGLE, kept_hours=inf, shop=TOPOLOGY):
    found = use(plan or default_plan(), shop, TABLE, orders=orders, batches=batches, kept_hours=kept_hours)
    sums = defaultdict(float)
    for each in found:
        sums[each.service, each.what] += each.usd
    return dict(sums)


# A million orders by hand. Records read for each: payments and stock 1.28 each, shipping 2.26, notifications 2.08:
# 6.9, and a tenth of an invocation of the generator. 5.26 events are written.
READ = 1.28 + 1.28 + 2.26 + 2.08
VALUES_READ = 2 * 681 + 3 * 131.6 + 729.36 + 2 * 555.52 + 540
# Each topic: its bytes on the wire; to the leader and each reader two of three cross, and two copies leave the zone.
BETWEEN = (
    746 * (3 * 2 / 3 + 2)  # order_placed, read twice
    + 149.8 * (4 * 2 / 3 + 2)  # order_cancelled, three times
    + 806.06 * (2 * 2 / 3 + 2)  # payment_result, once
    + 625.72 * (3 * 2 / 3 + 2)  # inventory_result, twice
    + 586.8 * (2 * 2 / 3 + 2)  # order_shipped, once
    + 635 * (2 / 3 + 2)  # notifications, never
)


def expected(records_in_batch):
    invocations = READ / records_in_batch + 0.1
    waits = min(8, records_in_batch)
    ms = 30 * invocations + 0.2 * (READ + 1) + 2 * 5 / waits
    logged_gb = (5.26 * (244 + 26) + invocations * (596 + 455 + 3 * 26)) * MILLION / 1e9
    return {
        ("Lambda", "request"): 0.2 * invocations,
        ("Lambda", "GB-second of x86_64"): ms / 1000 * 0.5 * MILLION * 0.0000166667,
        ("DynamoDB", "write unit"): 3 * 0.625,
        ("DynamoDB", "GB kept, hours"): 1.402 * 0.25 * 720 / 730,
        ("CloudWatch logs", "GB written"): 0.5 * logged_gb,
        ("CloudWatch logs", "GB kept, hours"): 0.15 * logged_gb * 0.03 * 14 * 24 / 730,
        ("interface endpoints", "GB to functions"): 0.01 * ((VALUES_READ + READ * 45) * 4 / 3 + READ * 145) / 1000,
        ("data between zones", "GB, each way"): 2 * 0.01 * BETWEEN / 1000,
    }


class TestUse:
    @pytest.mark.parametrize(("batches", "records"), [(SINGLE, 1), (FULL, 100)])
    def test_a_million_orders_cost_what_a_hand_computes(self, batches, records):
        assert usd(batches=batches) == pytest.approx(expected(records))

    def test_it_grows_with_the_orders_and_is_nothing_without(self):
        assert usd(orders=MILLION // 4) == pytest.approx({what: each / 4 for what, each in usd().items()})
        assert usd(orders=0) == {}

    def test_what_is_kept_for_a_short_time_costs_less(self):
        short, long = usd(kept_hours=3), usd()
        assert short["DynamoDB", "GB kept, hours"] == pytest.approx(long["DynamoDB", "GB kept, hours"] * 3 / 720)
        assert short["CloudWatch logs", "GB kept, hours"] == pytest.approx(
            long["CloudWatch logs", "GB kept, hours"] * 3 / (14 * 24)
        )

    def but(self, change):
        plan = default_plan()
        return plan.having(each for one in plan.resources for each in change(one))

    @pytest.mark.parametrize("which", ["order_generator", None])
    def test_logs_without_a_limit_count_for_a_month(self, which):
        def unlimited(each):
            return each.type == "aws_cloudwatch_log_group" and which in {None, each.index}

        plan = self.but(lambda each: [each.but(retention_in_days=0)] if unlimited(each) else [each])
        ratio = usd(plan)["CloudWatch logs", "GB kept, hours"] / usd()["CloudWatch logs", "GB kept, hours"]
        assert ratio == pytest.approx(730 / (14 * 24))

    def test_the_longest_of_several_limits_counts(self):
        plan = self.but(lambda each: [each.but(retention_in_days=1)] if each.index == "order_generator" else [each])
        assert usd(plan)["CloudWatch logs", "GB kept, hours"] == usd()["CloudWatch logs", "GB kept, hours"]

    def test_memory_that_is_not_named_is_lambdas_least(self):
        silent = {"memory_size": None, "architectures": None}
        plan = self.but(lambda each: [each.but(**silent)] if each.type == "aws_lambda_function" else [each])
        gb_seconds = ("Lambda", "GB-second of x86_64")
        assert usd(plan)[gb_seconds] == pytest.approx(usd()[gb_seconds] / 4)

    def test_memory_and_architecture_are_the_plans(self):
        changed = {"memory_size": 1024, "architectures": ["arm64"]}
        plan = self.but(lambda each: [each.but(**changed)] if each.type == "aws_lambda_function" else [each])
        twice = 2 * 0.0000133334 / 0.0000166667
        assert usd(plan)["Lambda", "GB-second of arm64"] == pytest.approx(
            twice * usd()["Lambda", "GB-second of x86_64"]
        )

    def test_orders_for_each_invocation_are_the_plans(self):
        plan = default_plan()
        other = Plan(plan.resources, {**plan.variables, "orders_per_invocation": 1})
        assert usd(other)["Lambda", "request"] == pytest.approx(0.2 * (READ + 1))
        silent = Plan(plan.resources)
        assert usd(silent)["Lambda", "request"] == usd()["Lambda", "request"]

    def test_without_endpoints_the_payload_goes_through_the_nat_gateway(self):
        nat = Resource("aws_nat_gateway", "main")
        without = self.but(lambda each: [] if each.type == "aws_vpc_endpoint" else [each])
        assert not any(service in {"interface endpoints", "NAT gateway"} for service, _ in usd(without))
        through = usd(without.having([*without.resources, nat]))
        direct = usd()["interface endpoints", "GB to functions"]
        assert through["NAT gateway", "GB to functions"] == pytest.approx(4.5 * direct)
        both = default_plan()
        assert "NAT gateway" not in {service for service, _ in usd(both.having([*both.resources, nat]))}

    def test_more_zones_than_copies_take_no_copy_twice(self):
        more = [Resource("aws_subnet", "private", number) for number in range(3)]
        plan = default_plan().having([*default_plan().resources, *more])
        between = 746 * 4.5 + 149.8 * 32 / 6 + 806.06 * 22 / 6 + 625.72 * 4.5 + 586.8 * 22 / 6 + 635 * 17 / 6
        assert usd(plan)["data between zones", "GB, each way"] == pytest.approx(0.02 * between / 1000)

    def test_in_one_zone_nothing_crosses(self):
        plan = self.but(lambda each: [] if (each.type, each.name) == ("aws_subnet", "private") else [each])
        assert ("data between zones", "GB, each way") not in usd(plan)

    def test_in_two_zones_half_of_it_crosses_and_one_copy(self):
        gone = default_plan().all("aws_subnet", "private")[0]
        plan = self.but(lambda each: [] if each == gone else [each])
        between = (
            746 * 2.5 + 149.8 * 3 + 806.06 * 2 + 625.72 * 2.5 + 586.8 * 2 + 635 * 1.5
        )  # half for the leader and each reader, and one copy
        assert usd(plan)["data between zones", "GB, each way"] == pytest.approx(0.02 * between / 1000)

    def test_a_service_without_a_function_uses_nothing_and_is_named(self):
        gone = {"notification_handler"}
        plan = self.but(lambda each: [] if each.type == "aws_lambda_function" and each.index in gone else [each])
        assert usd(plan)["Lambda", "request"] == pytest.approx(0.2 * (READ - 2.08 + 0.1))
        assert uncounted(plan, TOPOLOGY) == ["notification_handler"]
        assert uncounted(default_plan(), TOPOLOGY) == []
        assert metrics(plan, TOPOLOGY, TABLE).quantity == 6 * 4

    def test_a_mapping_that_is_not_there_calls_nobody(self):
        plan = self.but(lambda each: [] if each.index == "notification_handler.order_shipped" else [each])
        assert usd(plan)["Lambda", "request"] == pytest.approx(0.2 * (READ - 0.72 + 0.1))

    def test_a_table_that_is_not_there_is_not_written(self):
        plan = self.but(lambda each: [] if each.type == "aws_dynamodb_table" else [each])
        assert not any(service == "DynamoDB" for service, _ in usd(plan))

    def test_a_service_that_is_added_to_the_topology_is_counted(self):
        text = topology.default_path().read_text(encoding="utf-8")
        new = "  fraud_checker:\n    consumes: [order_placed]\n    options: {seed: 0}\n"
        shop = topology.parse(text.replace("services:\n", f"services:\n{new}", 1))
        plan = default_plan()
        function = plan.all("aws_lambda_function")[0]
        mapping = plan.all("aws_lambda_event_source_mapping")[0]
        added = [
            Resource(function.type, function.name, "fraud_checker", function.values),
            Resource(mapping.type, mapping.name, "fraud_checker.order_placed", mapping.values),
        ]
        assert uncounted(plan, shop) == ["fraud_checker"]
        assert usd(plan, shop=shop) == pytest.approx(usd())
        more = usd(plan.having([*plan.resources, *added]), shop=shop)
        assert more["Lambda", "request"] == pytest.approx(0.2 * (READ + 1 + 0.1))
        assert more["data between zones", "GB, each way"] == pytest.approx(0.02 * (BETWEEN + 746 * 2 / 3) / 1000)


def test_the_functions_own_metrics_are_six_each_and_billed_while_orders_flow():
    line = metrics(default_plan(), TOPOLOGY, TABLE)
    assert (line.quantity, line.busy, line.stops) == (30, True, False)
    assert line.hourly == pytest.approx(30 * 0.3 / 730)

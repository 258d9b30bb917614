"""What orders use: requests and time of functions, writes and storage, log lines, data. Everything here is an estimate.

How many records an order brings to which function follows from the topology and its rates. The sizes were measured by
sending 2,000 orders through the functions in memory; `tests/test_cost_usage.py` measures them again. Only the times
are assumed: nobody has run this on AWS.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from shopstream.audit.rates import configured_rates
from shopstream.cost.prices import HOURS_A_MONTH
from shopstream.cost.standing import GB, Line
from shopstream.runtime.function import TABLE_THREADS
from shopstream.runtime.order_table import KEEP
from shopstream.runtime.telemetry import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shopstream.cost.plan import Plan, Resource
    from shopstream.cost.prices import Price, PriceTable
    from shopstream.topology import Service, Topology

DEFAULT_RATES = {"payment_approved": 0.9, "stock_reserved": 0.8}
"""The services' own rates, where the topology names none."""

EVENT_BYTES = {
    "order_placed": 681,
    "payment_approved": 714,
    "payment_declined": 396,
    "payment_refunded": 262,
    "stock_reserved": 558,
    "stock_rejected": 360,
    "stock_released": 464,
    "order_shipped": 750,
    "order_cancelled": 470,
    "customer_notified": 570,
}
"""Mean size of an event's JSON, bytes. Measured, with a run id of 36 characters, as AWS's event ids have."""

KEY_BYTES = 45
"""A record's key, bytes: the order's id. Measured, with the same run id."""

FRAMING_BYTES = 20
"""What Kafka's protocol adds to a record, bytes: its own header and its share of the batch's. Assumed."""

EVENT_LINE_BYTES = 244
"""A function's log line about one event, bytes. Measured."""

METRICS_LINE_BYTES = 596
"""A function's line of metrics, one for each invocation, bytes. Measured."""

PLATFORM_LINES_BYTES = 225 + 230
"""Lambda's own two JSON lines for an invocation, platform.start and platform.report, bytes: as published ones are."""

LINE_OVERHEAD_BYTES = 26
"""What CloudWatch adds to each line when it counts what is written (PutLogEvents)."""

LINES_OF_AN_INVOCATION = 3
"""platform.start, the metrics, platform.report."""

STORED_SHARE = 0.15
"""What is left of a log when CloudWatch has compressed it: AWS's price calculator counts so."""

TABLE_WRITES = 2
"""Updates of the join's table for each order: one for each half."""

TABLE_UNITS = 3.0
"""Write units for them, a unit for each started KiB of the item: measured."""

ITEM_BYTES = 1302 + 100
"""An order's item when both halves are there, bytes: measured, and what DynamoDB adds when it counts storage."""

PAYLOAD_RECORD_BYTES = 145
"""What a record has in a function's event beside its key and value in base64, bytes. Measured."""

INVOCATION_MS = 30.0
"""Billed time of an invocation without its records, ms: mostly waiting for three brokers. Assumed."""

RECORD_MS = 0.2
"""Time for one more record in a batch, ms: 45 us of CPU, measured on a whole core; 512 MB bring 0.29 cores."""

TABLE_MS = 5.0
"""One update of the table, ms. Assumed, as in `shopstream.runtime.function`; a batch does eight at a time."""

WINDOW_S = 0.5
"""How long a poller gathers, s, when the mapping does not say (MaximumBatchingWindowInSeconds)."""

BATCH = 100
"""Records in a batch at most, when the mapping does not say."""

POLLERS = 1
"""Pollers that share a topic at this pace in on-demand mode. AWS publishes no number; more make smaller batches."""

ORDERS_PER_INVOCATION = 10
"""Orders that order_generator makes each time, when the plan does not say."""

WAYS = 2
"""Data that goes from one zone to another is billed where it leaves and where it arrives."""


@dataclass(frozen=True)
class Use:
    """What is billed for some orders, of one kind.

    Attributes:
        service: What AWS's bill calls it, or nearly so.
        what: The pieces, for people.
        price: Of a piece, or of an hour of one GB.
        quantity: How many pieces, or GB times hours.
    """

    service: str
    what: str
    price: Price
    quantity: float

    @property
    def usd(self) -> float:
        """USD for all of it."""
        return self.quantity * (self.price.hourly if self.price.unit == "GB-month" else self.price.each)


@dataclass(frozen=True)
class Batches:
    """How full a function's batches are.

    Attributes:
        orders_per_s: The pace of orders; inf for batches that are always full, 0 for one record each.
    """

    orders_per_s: float

    def records(self, records_per_order: float, mapping: Resource) -> float:
        """Records in a mapping's batch: the first, and what arrives while its poller goes on gathering."""
        most = float(mapping.values.get("batch_size") or BATCH)
        if self.orders_per_s == inf:
            return most
        window = mapping.values.get("maximum_batching_window_in_seconds")
        pollers = sum(int(each.get("minimum_pollers") or 1) for each in mapping.blocks("provisioned_poller_config"))
        arriving = self.orders_per_s * records_per_order * (WINDOW_S if window is None else window)
        return min(most, 1 + arriving / (pollers or POLLERS))


FULL = Batches(inf)
SINGLE = Batches(0.0)


def events_per_order(topology: Topology) -> dict[str, float]:
    """How many events of each type an order has on average, from the shop's rules and its rates."""
    rates = {**DEFAULT_RATES, **configured_rates(topology)}
    paid, stocked = rates["payment_approved"], rates["stock_reserved"]
    return {
        "order_placed": 1.0,
        "payment_approved": paid,
        "payment_declined": 1 - paid,
        "payment_refunded": paid * (1 - stocked),
        "stock_reserved": stocked,
        "stock_rejected": 1 - stocked,
        "stock_released": stocked * (1 - paid),
        "order_shipped": paid * stocked,
        "order_cancelled": 1 - paid * stocked,
        "customer_notified": 1.0,
    }


@dataclass(frozen=True)
class TopicFlow:
    """What an order brings to a topic on average.

    Attributes:
        records: How many.
        value_bytes: Their values, bytes.
    """

    records: float
    value_bytes: float

    @property
    def wire_bytes(self) -> float:
        """Bytes on the way to or from a broker. Compression is left out, so this is the most that it may be."""
        return self.value_bytes + self.records * (KEY_BYTES + FRAMING_BYTES)

    @property
    def payload_bytes(self) -> float:
        """Bytes in a function's event: key and value in base64, in JSON."""
        return (self.value_bytes + self.records * KEY_BYTES) * 4 / 3 + self.records * PAYLOAD_RECORD_BYTES


def flows(topology: Topology) -> dict[str, TopicFlow]:
    """What an order brings to each topic that events stand on."""
    counts = events_per_order(topology)
    return {
        topic.name: TopicFlow(
            sum(counts.get(event, 0.0) for event in topic.events),
            sum(counts.get(event, 0.0) * EVENT_BYTES.get(event, 0) for event in topic.events),
        )
        for topic in topology.topics.values()
        if topic.events
    }


def uncounted(plan: Plan, topology: Topology) -> list[str]:
    """Services of the topology that the plan has no function for."""
    return [name for name in topology.services if _function(plan, name) is None]


def metrics(plan: Plan, topology: Topology, table: PriceTable) -> Line:
    """The functions' own metrics, which are billed in the hours in which they write any."""
    functions = sum(_function(plan, name) is not None for name in topology.services)
    return Line("CloudWatch metrics", "metric", table["custom metric"], len(METRICS) * functions, busy=True)


def use(
    plan: Plan, topology: Topology, table: PriceTable, *, orders: float, batches: Batches, kept_hours: float
) -> tuple[Use, ...]:
    """What some orders use.

    Args:
        plan: Which functions, mappings and tables there are, and how they reach Lambda.
        topology: What flows where.
        table: The prices.
        orders: How many.
        batches: How full the functions' batches are.
        kept_hours: How long logs and the join's items are kept, if they are not deleted before; hours.
    """
    found: dict[Use, float] = defaultdict(float)
    for each in _use(plan, topology, table, orders, batches, kept_hours):
        found[replace(each, quantity=0.0)] += each.quantity
    return tuple(replace(each, quantity=quantity) for each, quantity in found.items() if quantity)


def _use(
    plan: Plan, topology: Topology, table: PriceTable, orders: float, batches: Batches, kept_hours: float
) -> Iterator[Use]:
    flow = flows(topology)
    requests = logged = payload = 0.0
    for service in topology.services.values():
        function = _function(plan, service.name)
        if function is None:
            continue
        called = _Called.of(plan, service, flow, batches, orders)
        requests += called.invocations
        architecture = (function.values.get("architectures") or ["x86_64"])[0]
        gb_s = called.ms / 1000 * float(function.values.get("memory_size") or 128) / 1024
        yield Use("Lambda", f"GB-second of {architecture}", table[f"lambda {architecture}"], gb_s)
        payload += called.payload_bytes
        events = orders * sum(flow[topic].records for topic in service.produces)
        logged += events * (EVENT_LINE_BYTES + LINE_OVERHEAD_BYTES)
        logged += called.invocations * (
            METRICS_LINE_BYTES + PLATFORM_LINES_BYTES + LINES_OF_AN_INVOCATION * LINE_OVERHEAD_BYTES
        )
        if service.state and any(each.index == service.name for each in plan.all("aws_dynamodb_table")):
            yield Use("DynamoDB", "write unit", table["dynamodb writes"], orders * TABLE_UNITS)
            kept = min(KEEP / 3600, kept_hours)
            yield Use("DynamoDB", "GB kept, hours", table["dynamodb storage"], orders * ITEM_BYTES / GB * kept)
    yield Use("Lambda", "request", table["lambda requests"], requests)
    yield Use("CloudWatch logs", "GB written", table["logs"], logged / GB)
    kept = min(_log_hours(plan), kept_hours)
    yield Use("CloudWatch logs", "GB kept, hours", table["logs storage"], logged / GB * STORED_SHARE * kept)
    if any(each.values.get("vpc_endpoint_type") == "Interface" for each in plan.all("aws_vpc_endpoint")):
        yield Use("interface endpoints", "GB to functions", table["interface endpoint data"], payload / GB)
    elif plan.all("aws_nat_gateway"):
        yield Use("NAT gateway", "GB to functions", table["nat data"], payload / GB)
    between = orders * _bytes_between_zones(plan, topology, flow)
    yield Use("data between zones", "GB, each way", table["data between zones"], WAYS * between / GB)


@dataclass(frozen=True)
class _Called:
    """What orders make of a service's function.

    Attributes:
        invocations: How many.
        ms: Billed time of all of them, ms.
        payload_bytes: What they are handed, bytes.
    """

    invocations: float
    ms: float
    payload_bytes: float

    @classmethod
    def of(cls, plan: Plan, service: Service, flow: dict[str, TopicFlow], batches: Batches, orders: float) -> _Called:
        if service.progress:
            each = float(plan.variables.get("orders_per_invocation") or ORDERS_PER_INVOCATION)
            return cls(orders / each, orders / each * INVOCATION_MS + orders * RECORD_MS, 0.0)
        invocations = ms = payload = 0.0
        for source in service.event_sources:
            mapping = next((m for m in plan.all("aws_lambda_event_source_mapping") if m.index == source.group), None)
            if mapping is None:
                continue
            records = flow[source.topic].records
            in_batch = batches.records(records, mapping)
            invocations += orders * records / in_batch
            ms += orders * records * (INVOCATION_MS / in_batch + RECORD_MS)
            if service.state:
                ms += orders * TABLE_WRITES / len(service.event_sources) * TABLE_MS / min(TABLE_THREADS, in_batch)
            payload += orders * flow[source.topic].payload_bytes
        return cls(invocations, ms, payload)


def _bytes_between_zones(plan: Plan, topology: Topology, flow: dict[str, TopicFlow]) -> float:
    """Bytes of one order that leave a zone: to the leader, to its followers, and to each function's pollers.

    A client is in any zone, so it is in another one than the leader for all but one in `zones`. Brokers go round the
    zones, so each follower is elsewhere as long as there are as many zones as copies.
    """
    zones = max(plan.zones, 1)
    elsewhere = 1 - 1 / zones
    readers = {
        name: sum(name in s.consumes for s in topology.processors if _function(plan, s.name) is not None)
        for name in flow
    }
    total = 0.0
    for name, topic in flow.items():
        copies = topology.topics[name].replication - 1
        away = min(copies, zones - 1)
        total += topic.wire_bytes * (elsewhere * (1 + readers[name]) + away)
    return total


def _function(plan: Plan, service: str) -> Resource | None:
    return next((each for each in plan.all("aws_lambda_function") if each.index == service), None)


def _log_hours(plan: Plan) -> float:
    """How long the functions' logs are kept, hours. Without a limit a month is counted."""
    days = [int(each.values.get("retention_in_days") or 0) for each in plan.all("aws_cloudwatch_log_group")]
    return max(days) * 24.0 if all(days) and days else HOURS_A_MONTH

"""What is billed while it exists, whether used or not: which resource of a plan brings which price, and how often.

Every type of resource is in one of three places: `PRICED`, `BY_USE` (billed only when something happens) or `FREE`. A
type that is in none of them, or a kind of one that the price table lacks, is named as unpriced, and never counted as
free.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shopstream.cost.plan import Plan, Resource
    from shopstream.cost.prices import Price, PriceTable

POLLERS_OF_A_UNIT = 10
"""Event pollers that share a billing unit, unless they have much to do: those of one mapping, or of a poller group
("Apache Kafka event poller scaling modes" in Lambda's guide).
"""

SECRETS_BESIDE_THE_PLAN = 1
"""NAME/kafka-ca-key, which scripts/deploy_all.sh keeps and Terraform never sees."""

ZIP_BYTES = 4_980_000
"""A function's zip, measured on what scripts/build_all_zips.sh builds: 4.98 MB each. Plans tell no sizes."""

GB = 1e9
"""Bytes of a GB. AWS bills some sizes by GiB; the difference is smaller than what is estimated here."""

BASELINE = {"iops": 3000, "throughput": 125}
"""What every gp3 volume has without a price of its own: IOPS, MiB/s (Amazon EBS pricing)."""

_STANDARD_PERIOD_S = 60

FREE = {
    "aws_budgets_budget": "a budget without actions costs nothing",
    "aws_cloudwatch_event_rule": "a rule of the default bus on AWS's own events; Lambda bills the invocation",
    "aws_cloudwatch_event_target": "belongs to its rule",
    "aws_default_security_group": "part of a VPC",
    "aws_iam_role": "IAM costs nothing",
    "aws_iam_role_policy": "IAM costs nothing",
    "aws_iam_role_policy_attachment": "IAM costs nothing",
    "aws_internet_gateway": "only the traffic through it is billed",
    "aws_key_pair": "EC2 keeps it for nothing",
    "aws_lambda_permission": "a line in the function's policy",
    "aws_route": "part of a VPC",
    "aws_route_table": "part of a VPC",
    "aws_route_table_association": "part of a VPC",
    "aws_s3_bucket": "what lies in it is billed: aws_s3_object",
    "aws_s3_bucket_ownership_controls": "a setting of the bucket",
    "aws_s3_bucket_policy": "a setting of the bucket",
    "aws_s3_bucket_public_access_block": "a setting of the bucket",
    "aws_s3_bucket_server_side_encryption_configuration": "AES256 costs nothing",
    "aws_s3_bucket_versioning": "every version is billed as an object; zips that stay the same make no new ones",
    "aws_secretsmanager_secret_version": "billed with its secret",
    "aws_security_group": "part of a VPC",
    "aws_sns_topic_subscription": "a mail on an alarm: 1,000 a month are free",
    "aws_subnet": "part of a VPC",
    "aws_vpc": "costs nothing",
    "aws_vpc_security_group_egress_rule": "part of a VPC",
    "aws_vpc_security_group_ingress_rule": "part of a VPC",
}
"""Types without a price, each with the reason."""

BY_USE = {
    "aws_cloudwatch_log_group": "what is written and kept",
    "aws_dynamodb_table": "writes, and what is kept",
    "aws_lambda_event_source_mapping": "pollers of its own in provisioned mode; on demand the function's requests",
    "aws_lambda_function": "requests and time",
    "aws_sns_topic": "messages on alarms; none is assumed",
}
"""Types that cost nothing while nothing happens, each with what is billed of them."""


@dataclass(frozen=True)
class Line:
    """Some things of one price.

    Attributes:
        service: What AWS's bill calls it, or nearly so.
        what: The things, for people.
        price: Of one of them.
        quantity: How many of them, or how many GB.
        stops: Whether nothing is billed while the hosts are stopped.
        busy: Whether it is billed only in hours in which orders flow.
    """

    service: str
    what: str
    price: Price
    quantity: float
    stops: bool = False
    busy: bool = False

    @property
    def hourly(self) -> float:
        """USD for an hour."""
        return self.quantity * self.price.hourly


@dataclass(frozen=True)
class Unpriced:
    """What a plan brings and the price table lacks.

    Attributes:
        what: The type, and of which kind.
        count: How many.
    """

    what: str
    count: int

    def __str__(self) -> str:
        return f"{self.count} x {self.what}" if self.count > 1 else self.what


class Standing(NamedTuple):
    """What a plan costs while it stands.

    Attributes:
        lines: What has a price, things of one price together.
        unpriced: What has none that is known.
    """

    lines: tuple[Line, ...]
    unpriced: tuple[Unpriced, ...]

    @property
    def hourly(self) -> float:
        """USD for an hour in which no order flows."""
        return sum(line.hourly for line in self.lines if not line.busy)


class _Wanted(NamedTuple):
    """A line whose price has not been looked up yet.

    Attributes:
        service: Of the line.
        what: Of the line.
        key: The price's.
        quantity: Of the line.
        stops: Of the line.
        unpriced: What to call it when the table has no such price.
    """

    service: str
    what: str
    key: str
    quantity: float = 1.0
    stops: bool = False
    unpriced: str = ""


def standing(plan: Plan, table: PriceTable) -> Standing:
    """Price everything that stands when a plan has been carried out.

    Args:
        plan: The plan.
        table: The prices.
    """
    quantities: dict[_Wanted, float] = defaultdict(float)
    unpriced: dict[str, int] = defaultdict(int)
    for wanted in _all_wanted(plan):
        if table.get(wanted.key) is None:
            unpriced[wanted.unpriced or wanted.what] += 1
        else:
            quantities[wanted._replace(quantity=0.0)] += wanted.quantity
    lines = [
        Line(kind.service, kind.what, table[kind.key], quantity, kind.stops)
        for kind, quantity in quantities.items()
        if quantity
    ]
    lines.sort(key=lambda line: (SERVICES.index(line.service), -line.hourly))
    return Standing(tuple(lines), tuple(Unpriced(what, count) for what, count in sorted(unpriced.items())))


def _all_wanted(plan: Plan) -> Iterator[_Wanted]:
    zones = plan.zones
    for resource in plan.resources:
        if resource.type in PRICED:
            yield from PRICED[resource.type](resource, zones)
        elif resource.type not in FREE and resource.type not in BY_USE:
            yield _unknown(resource.type)
    yield _Wanted("pollers", "event poller unit", "poller unit", poller_units(plan))
    if plan.all("aws_secretsmanager_secret"):
        yield _Wanted("Secrets Manager", "secret beside the plan", "secret", SECRETS_BESIDE_THE_PLAN)


def _unknown(what: str) -> _Wanted:
    return _Wanted("", what, "")


def _instance(resource: Resource, _zones: int) -> Iterator[_Wanted]:
    kind = str(resource.values.get("instance_type"))
    yield _Wanted("EC2", kind, f"ec2 {kind}", stops=True, unpriced=f"aws_instance of type {kind}")
    if resource.values.get("associate_public_ip_address"):
        yield _Wanted("public IPv4", "address of a host", "public ipv4", stops=True)
    if resource.values.get("monitoring"):
        yield _unknown("aws_instance with detailed monitoring")
    for disk in resource.blocks("root_block_device", "ebs_block_device"):
        kind = str(disk.get("volume_type"))
        if any((disk.get(name) or 0) > most for name, most in BASELINE.items()):
            yield _unknown(f"{kind} volume with more IOPS or throughput than every gp3 volume has")
        else:
            size = float(disk.get("volume_size") or 0)
            yield _Wanted("EBS", f"GB of {kind}", f"ebs {kind}", size, unpriced=f"volume of type {kind}")


def _endpoint(resource: Resource, zones: int) -> Iterator[_Wanted]:
    kind = resource.values.get("vpc_endpoint_type") or "Gateway"  # Terraform's default
    zones = len(resource.values.get("subnet_ids") or ()) or zones  # the subnets of a new one are not known yet
    if kind == "Interface" and zones:
        yield _Wanted("interface endpoints", "endpoint in a zone", "interface endpoint", zones)
    elif kind != "Gateway":  # that one costs nothing
        yield _unknown(f"aws_vpc_endpoint of type {kind} in {zones or 'an unknown number of'} zones")


def _secret(resource: Resource, _zones: int) -> Iterator[_Wanted]:
    yield _Wanted("Secrets Manager", "secret", "secret", 1 + len(resource.values.get("replica") or ()))


def poller_units(plan: Plan) -> int:
    """Billing units of the pollers that are always there: each mapping's own, or those that a poller group shares."""
    pollers: dict[str, int] = defaultdict(int)
    for place, mapping in enumerate(plan.all("aws_lambda_event_source_mapping")):
        for config in mapping.blocks("provisioned_poller_config"):
            group = str(config.get("poller_group_name") or f"mapping {place}")
            pollers[group] += int(config.get("minimum_pollers") or 1)
    return sum(ceil(count / POLLERS_OF_A_UNIT) for count in pollers.values())


def _alarm(resource: Resource, _zones: int) -> Iterator[_Wanted]:
    if resource.values.get("metric_query") or (resource.values.get("period") or 0) < _STANDARD_PERIOD_S:
        yield _unknown("aws_cloudwatch_metric_alarm of several metrics or in high resolution")
    else:
        yield _Wanted("CloudWatch alarms", "alarm", "alarm")


def _table(resource: Resource, _zones: int) -> Iterator[_Wanted]:
    """Nothing for the plainest table: it is billed by use alone, at the prices that are known here."""
    values = resource.values
    if values.get("billing_mode") != "PAY_PER_REQUEST" or values.get("table_class") not in {None, "STANDARD"}:
        yield _unknown("aws_dynamodb_table with provisioned capacity or of another class")
    elif values.get("replica") or values.get("global_secondary_index"):
        yield _unknown("aws_dynamodb_table with replicas or indexes")


def _always(wanted: _Wanted) -> Callable[[Resource, int], Iterator[_Wanted]]:
    return lambda _resource, _zones: iter((wanted,))


PRICED: dict[str, Callable[[Resource, int], Iterator[_Wanted]]] = {
    "aws_cloudwatch_dashboard": _always(_Wanted("CloudWatch dashboards", "dashboard", "dashboard")),
    "aws_cloudwatch_metric_alarm": _alarm,
    "aws_dynamodb_table": _table,
    "aws_eip": _always(_Wanted("public IPv4", "address that stays", "public ipv4")),
    "aws_instance": _instance,
    "aws_nat_gateway": _always(_Wanted("NAT gateway", "gateway", "nat gateway")),
    "aws_s3_object": _always(_Wanted("S3", "GB of zips", "s3 storage", ZIP_BYTES / GB)),
    "aws_secretsmanager_secret": _secret,
    "aws_vpc_endpoint": _endpoint,
}
"""Types with a price for the time that they are there: what each brings, from the resource and the zones' number."""

SERVICES = (
    "EC2", "EBS", "public IPv4", "NAT gateway", "interface endpoints", "pollers", "Lambda", "DynamoDB",
    "Secrets Manager", "CloudWatch logs", "CloudWatch metrics", "CloudWatch alarms", "CloudWatch dashboards", "S3",
    "data between zones",
)  # fmt: skip
"""Every service that an estimate may have a line of, in the order of a report."""

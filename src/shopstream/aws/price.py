"""What a plan costs while nothing happens, roughly. Pure.

Prices are those of us-east-1 in USD (2026). What depends on use is left out: data, requests, logs, invocations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INSTANCE_HOUR = {
    "t2.micro": 0.0116,
    "t3.micro": 0.0104,
    "t3.small": 0.0208,
    "t3.medium": 0.0416,
    "t3.large": 0.0832,
}
NAT_HOUR = 0.045
ENDPOINT_HOUR = 0.01
"""An interface endpoint, for each zone."""
ADDRESS_HOUR = 0.005
POLLER_HOUR = 0.185
"""A mapping in provisioned mode, for each poller that is always there."""
DISK_GB_MONTH = 0.08
SECRET_MONTH = 0.40
HOURS = 730.0
"""Hours in a month, as AWS counts them."""


class Price(NamedTuple):
    """Roughly what is billed by the hour.

    Attributes:
        hourly: USD.
        unknown: Instance types whose price is not known here.
    """

    hourly: float
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        more = f", and {', '.join(self.unknown)} whose price is not known here" if self.unknown else ""
        return f"about {self.hourly:.2f} USD an hour ({self.hourly * 24:.2f} a day) at us-east-1's prices{more}"


def price(plan: Mapping[str, Any]) -> Price:
    """The price of everything that a plan (`terraform show -json`) leads to."""
    hourly, unknown = 0.0, set()
    resources = list(_resources(plan.get("planned_values", {}).get("root_module", {})))
    zones = sum(1 for each in resources if each["type"] == "aws_subnet" and each["name"] == "private")
    for resource in resources:
        values = resource.get("values") or {}
        match resource["type"]:
            case "aws_instance":
                kind = str(values.get("instance_type"))
                hourly += INSTANCE_HOUR.get(kind, 0.0)
                unknown |= set() if kind in INSTANCE_HOUR else {kind}
                hourly += ADDRESS_HOUR if values.get("associate_public_ip_address") else 0.0
                disks = values.get("root_block_device") or ()
                hourly += sum(disk.get("volume_size") or 0 for disk in disks) * DISK_GB_MONTH / HOURS
            case "aws_nat_gateway":
                hourly += NAT_HOUR
            case "aws_eip":
                hourly += ADDRESS_HOUR
            case "aws_vpc_endpoint" if values.get("vpc_endpoint_type") == "Interface":
                hourly += ENDPOINT_HOUR * zones
            case "aws_secretsmanager_secret":
                hourly += SECRET_MONTH / HOURS
            case "aws_lambda_event_source_mapping":
                pollers = values.get("provisioned_poller_config") or ()
                hourly += sum(each.get("minimum_pollers") or 1 for each in pollers) * POLLER_HOUR
    return Price(hourly, tuple(sorted(unknown)))


class Changes(NamedTuple):
    """How many resources a plan creates, changes and destroys; one that is replaced counts in both."""

    create: int
    change: int
    destroy: int


def changes(plan: Mapping[str, Any]) -> Changes:
    """Count what a plan does."""
    actions = [
        set(each["change"]["actions"]) for each in plan.get("resource_changes", ()) if each.get("mode") == "managed"
    ]
    return Changes(*(sum(action in each for each in actions) for action in ("create", "update", "delete")))


def _resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from (each for each in module.get("resources", ()) if each.get("mode") == "managed")
    for child in module.get("child_modules", ()):
        yield from _resources(child)

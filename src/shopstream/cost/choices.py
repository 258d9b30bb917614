"""What a choice costs or saves: the same plan with something changed, priced again.

A choice is a change of resources, as another setting of infra/terraform would make it.
`tests/infra/test_cost_sample.py` compares with what Terraform really plans for those settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shopstream.cost.estimate import NIGHT_HOURS, NIGHTS_A_MONTH, Amounts, estimate
from shopstream.cost.plan import Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from shopstream.cost.estimate import Estimate
    from shopstream.cost.plan import Plan
    from shopstream.topology import Topology

ENDPOINTS = ("lambda", "secretsmanager", "sts")
"""The interface endpoints of infra/terraform/network.tf."""

BASTION = Resource(
    "aws_instance",
    "bastion",
    0,
    {
        "associate_public_ip_address": True,
        "instance_type": "t3.micro",
        "root_block_device": [{"volume_size": 8, "volume_type": "gp3"}],
        "tags": {"Role": "bastion"},
    },
)
"""The bastion, as infra/terraform/variables.tf has it by default."""

NAT = (Resource("aws_nat_gateway", "main", 0), Resource("aws_eip", "nat", 0))
POLLERS: dict[str, int | str] = {"minimum_pollers": 1, "maximum_pollers": 3}
"""Pollers of a mapping in provisioned mode, as infra/terraform/variables.tf has them by default."""

SMALLER = {"t2.micro": "t3.micro"}


@dataclass(frozen=True)
class Choice:
    """What something else would cost more (above 0) or less (below 0).

    Attributes:
        name: The choice, in a few words.
        how: The setting that makes it, or what else is to be done.
        hour: USD for an hour without orders; None where an hour says nothing.
        run: USD for the run; None where it makes no difference of that kind.
        month: USD for a month without orders.
    """

    name: str
    how: str
    hour: float | None
    run: float | None
    month: float


Change = tuple[str, str, "Callable[[Plan], Plan | None]"]


def choices(base: Estimate, topology: Topology) -> tuple[Choice, ...]:
    """Every choice that the plan leaves open.

    Args:
        base: The estimate to compare with.
        topology: What flows where.
    """
    found = []
    for name, how, change in CHANGES:
        changed = change(base.plan)
        if changed is not None:
            other = estimate(changed, topology, base.table, hours=base.hours, orders=base.orders)
            found.append(_choice(name, how, other.total.minus(base.total)))
    return (*found, *_nights(base))


def _choice(name: str, how: str, more: Amounts) -> Choice:
    return Choice(name, how, more.hour, more.run, more.month)


def _nights(base: Estimate) -> tuple[Choice, ...]:
    """What is not billed from the evening to the morning; nothing to say where no host can be stopped."""
    if not base.plan.all("aws_instance"):
        return ()
    hour = base.total.hour
    hours = NIGHT_HOURS * NIGHTS_A_MONTH
    return (
        Choice(
            f"hosts stopped overnight, {NIGHT_HOURS:g} h",
            "stop the instances; disks, endpoints, secrets go on",
            None,
            None,
            -(hour - base.stopped_hour) * hours,
        ),
        Choice(
            f"all destroyed overnight, {NIGHT_HOURS:g} h",
            "scripts/destroy_all.sh, and up again in the morning",
            None,
            None,
            -hour * hours,
        ),
    )


def other_micro(plan: Plan) -> Plan | None:
    """t3.micro where there is t2.micro."""
    kinds = {each.values.get("instance_type") for each in plan.all("aws_instance")}
    if not kinds & SMALLER.keys():
        return None
    return plan.having(
        each.but(instance_type=SMALLER[kind])
        if each.type == "aws_instance" and (kind := str(each.values.get("instance_type"))) in SMALLER
        else each
        for each in plan.resources
    )


def without_control_center(plan: Plan) -> Plan | None:
    """The host of Control Center away, with its disk and its address."""
    rest = [each for each in plan.resources if (each.values.get("tags") or {}).get("Role") != "control_center"]
    return plan.having(rest) if len(rest) < len(plan.resources) else None


def provisioned_pollers(plan: Plan) -> Plan | None:
    """Every mapping in provisioned mode, if none is."""
    none = plan.all("aws_lambda_event_source_mapping") and not _provisioned(plan)
    return _pollers(plan, [POLLERS]) if none else None


def on_demand_pollers(plan: Plan) -> Plan | None:
    """No mapping in provisioned mode, if any is."""
    return _pollers(plan, []) if _provisioned(plan) else None


def pollers_in_a_group(plan: Plan) -> Plan | None:
    """Every mapping in provisioned mode and all in one group, if that is not so."""
    mappings = plan.all("aws_lambda_event_source_mapping")
    configs = [config for mapping in mappings for config in mapping.blocks("provisioned_poller_config")]
    if not mappings or (len(configs) == len(mappings) and all(each.get("poller_group_name") for each in configs)):
        return None
    return _pollers(plan, [{**POLLERS, "poller_group_name": "shop"}])


def nat_for_endpoints(plan: Plan) -> Plan | None:
    """A NAT gateway in the place of the interface endpoints."""
    if not _has_endpoints(plan):
        return None
    rest = [each for each in plan.resources if not _is_interface(each)]
    return plan.having([*rest, *(() if plan.all("aws_nat_gateway") else NAT)])


def endpoints_for_nat(plan: Plan) -> Plan | None:
    """Interface endpoints in the place of the NAT gateway, which goes unless hosts without an address need it."""
    if _has_endpoints(plan) or not plan.all("aws_nat_gateway"):
        return None
    needed = bool(plan.all("aws_instance", "bastion"))
    rest = [each for each in plan.resources if needed or each.type not in {gone.type for gone in NAT}]
    return plan.having([*rest, *_endpoints()])


def behind_a_bastion(plan: Plan) -> Plan | None:
    """Hosts without addresses behind a bastion, with a NAT gateway in the place of the interface endpoints."""
    if plan.all("aws_instance", "bastion") or not plan.all("aws_instance"):
        return None
    hidden = plan.having(
        each.but(associate_public_ip_address=None) if each.type == "aws_instance" else each for each in plan.resources
    )
    with_nat = nat_for_endpoints(hidden) or hidden
    return with_nat.having([*with_nat.resources, BASTION])


def in_public(plan: Plan) -> Plan | None:
    """Hosts with an address each and no bastion, with interface endpoints in the place of the NAT gateway."""
    if not plan.all("aws_instance", "bastion"):
        return None
    rest = plan.having(
        each.but(associate_public_ip_address=True) if each.type == "aws_instance" else each
        for each in plan.resources
        if not (each.type == "aws_instance" and each.name == "bastion")
    )
    return endpoints_for_nat(rest) or rest


CHANGES: tuple[Change, ...] = (
    ("t3.micro for t2.micro", 'instance_types = { zookeeper = "t3.micro", kafka = "t3.micro" }', other_micro),
    ("no Control Center", "stop or terminate its host; no setting leaves it out", without_control_center),
    ("pollers provisioned", 'poller_mode = "provisioned"', provisioned_pollers),
    (
        "pollers provisioned, one group",
        "PollerGroupName; the provider 5.100.0 has no such argument",
        pollers_in_a_group,
    ),
    ("pollers on demand", 'poller_mode = "on_demand"', on_demand_pollers),
    ("NAT gateway for endpoints", 'service_access = "nat"', nat_for_endpoints),
    ("endpoints for the functions", 'service_access = "endpoints"', endpoints_for_nat),
    ("private hosts, bastion, NAT", 'access = "bastion"', behind_a_bastion),
    ("public hosts, endpoints", 'access = "public"', in_public),
)
"""Each choice: its name, the setting that makes it, and the change; a change that is None does not apply."""


def _pollers(plan: Plan, config: list[dict[str, int | str]]) -> Plan:
    return plan.having(
        each.but(provisioned_poller_config=config) if each.type == "aws_lambda_event_source_mapping" else each
        for each in plan.resources
    )


def _provisioned(plan: Plan) -> bool:
    mappings = plan.all("aws_lambda_event_source_mapping")
    return any(each.values.get("provisioned_poller_config") for each in mappings)


def _is_interface(resource: Resource) -> bool:
    return resource.type == "aws_vpc_endpoint" and resource.values.get("vpc_endpoint_type") == "Interface"


def _has_endpoints(plan: Plan) -> bool:
    return any(_is_interface(each) for each in plan.resources)


def _endpoints() -> list[Resource]:
    return [Resource("aws_vpc_endpoint", "interface", name, {"vpc_endpoint_type": "Interface"}) for name in ENDPOINTS]

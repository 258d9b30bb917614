"""What a plan leads to, as far as its cost goes: read from `terraform show -json`, and trimmed to a sample."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from importlib import resources as package_files
from typing import TYPE_CHECKING, Any

from shopstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

SAMPLE = "default_plan.json"
"""A plan of infra/terraform with all defaults, trimmed by `trimmed`. scripts/sample_plan.py writes it anew."""

# What of a resource's values, and of the variables, says something about its cost. Of any other type the name is kept.
_KEPT: dict[str, tuple[str, ...]] = {
    "aws_budgets_budget": ("limit_amount", "limit_unit", "time_unit"),
    "aws_cloudwatch_event_rule": ("schedule_expression", "state"),
    "aws_cloudwatch_log_group": ("retention_in_days",),
    "aws_cloudwatch_metric_alarm": ("metric_query", "period"),
    "aws_dynamodb_table": ("billing_mode", "global_secondary_index", "replica", "table_class"),
    "aws_instance": (
        "associate_public_ip_address", "ebs_block_device", "instance_type", "monitoring", "root_block_device", "tags",
    ),
    "aws_lambda_event_source_mapping": (
        "batch_size", "maximum_batching_window_in_seconds", "provisioned_poller_config",
    ),
    "aws_lambda_function": ("architectures", "memory_size"),
    "aws_secretsmanager_secret": ("replica",),
    "aws_vpc_endpoint": ("subnet_ids", "vpc_endpoint_type"),
}  # fmt: skip
_KEPT_VARIABLES = ("orders_per_invocation", "region")
_KEPT_OF_BLOCKS = {
    "Role", "iops", "maximum_pollers", "minimum_pollers", "poller_group_name", "throughput", "volume_size",
    "volume_type",
}  # fmt: skip


@dataclass(frozen=True)
class Resource:
    """A managed resource.

    Attributes:
        type: As Terraform calls it, for example "aws_instance".
        name: In the configuration.
        index: Its key, where there are several; else None.
        values: Its attributes, without those that are not known yet.
    """

    type: str
    name: str
    index: str | int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def but(self, **values: Any) -> Resource:
        """The same with other attributes."""
        return replace(self, values={**self.values, **values})

    def blocks(self, *names: str) -> Iterator[Mapping[str, Any]]:
        """Its nested blocks of these names."""
        for name in names:
            yield from self.values.get(name) or ()


@dataclass(frozen=True)
class Plan:
    """What there will be when a plan has been carried out.

    Attributes:
        resources: Every managed resource, those of child modules too.
        variables: The root module's variables, as far as they are known.
    """

    resources: tuple[Resource, ...]
    variables: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Plan:
        """From the data of `terraform show -json`, of a plan or of a state."""
        values = data.get("planned_values") or data.get("values") or {}
        variables = {name: each.get("value") for name, each in (data.get("variables") or {}).items()}
        return cls(tuple(_resources(values.get("root_module") or {})), variables)

    def all(self, kind: str, name: str | None = None) -> list[Resource]:
        """The resources of a type, and of a name if one is given."""
        return [each for each in self.resources if each.type == kind and name in {None, each.name}]

    def having(self, resources: Iterable[Resource]) -> Plan:
        """The same with other resources."""
        return replace(self, resources=tuple(resources))

    @property
    def region(self) -> str | None:
        """The region, if the plan tells."""
        found = self.variables.get("region")
        return str(found) if found else None

    @property
    def zones(self) -> int:
        """How many zones the private subnets lie in; 0 if there are none."""
        return len(self.all("aws_subnet", "private"))


def read_plan(path: Path) -> Plan:
    """A plan from the file that `terraform show -json` has written.

    Raises:
        UsageError: The file cannot be read, holds something else, or leads to nothing.
    """
    remedy = f"write it with `terraform show -json TFPLAN > {path.name}`"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--plan {path}: the file cannot be read ({error.strerror}): {remedy}") from error
    if text.startswith(b"PK"):
        raise UsageError(f"--plan {path}: this is Terraform's own plan file, and its JSON is expected: {remedy}")
    try:
        data = json.loads(text)
        plan = Plan.of(data)
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise UsageError(f"--plan {path}: this is not the JSON of a plan: {remedy}") from error
    if not plan.resources:
        raise UsageError(f"--plan {path}: it leads to no resource, so there is nothing to price: {remedy}")
    return plan


def default_plan() -> Plan:
    """The sample that comes with this package: the deployment with all defaults."""
    text = package_files.files(__package__).joinpath(SAMPLE).read_text(encoding="utf-8")
    return Plan.of(json.loads(text))


def trimmed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a plan that decides about its cost, in the same form. Nothing secret and no address is in it."""
    plan = Plan.of(data)
    return {
        "format_version": data.get("format_version"),
        "variables": {name: {"value": plan.variables[name]} for name in _KEPT_VARIABLES if name in plan.variables},
        "planned_values": {"root_module": {"resources": [_trimmed(each) for each in plan.resources]}},
    }


def _trimmed(resource: Resource) -> dict[str, Any]:
    kept = {name: _without_the_rest(resource.values.get(name)) for name in _KEPT.get(resource.type, ())}
    values = {name: value for name, value in kept.items() if value not in (None, [], {})}
    index = {} if resource.index is None else {"index": resource.index}
    return {"mode": "managed", "type": resource.type, "name": resource.name, **index, "values": values}


def _without_the_rest(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_the_rest(each) for each in value]
    if isinstance(value, dict):
        return {name: each for name, each in value.items() if name in _KEPT_OF_BLOCKS and each is not None}
    return value


def _resources(module: Mapping[str, Any]) -> Iterator[Resource]:
    for each in module.get("resources", ()):
        if each.get("mode") == "managed":
            yield Resource(each["type"], each["name"], each.get("index"), each.get("values") or {})
    for child in module.get("child_modules", ()):
        yield from _resources(child)

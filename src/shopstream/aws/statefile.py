"""What Terraform's state says about where it belongs: accounts, regions, deployments, networks. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shopstream.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shopstream.aws.ownership import Deployment

_ARN = re.compile(r"^arn:[^:]+:[^:]*:(?P<region>[^:]*):(?P<account>\d{12}):")


@dataclass(frozen=True)
class StateFacts:
    """What a state knows.

    Attributes:
        resources: How many managed resources it has.
        accounts: The AWS accounts that its ARNs name.
        regions: The regions that they name.
        deployments: The values of the tag Deployment.
        vpcs: The ids of its networks.
        secrets_version: The version of the passwords that was written last; 0 for none.
        names: The type and the name (or id) of each resource, for example to see whether a secret is in it.
    """

    resources: int
    accounts: frozenset[str]
    regions: frozenset[str]
    deployments: frozenset[str]
    vpcs: frozenset[str]
    secrets_version: int
    names: frozenset[tuple[str, str]]

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secrets that Terraform manages."""
        return frozenset(name for kind, name in self.names if kind == "aws_secretsmanager_secret")

    def check(self, deployment: Deployment) -> None:
        """See that this state is the one of this deployment, before anything is changed or destroyed by it.

        Raises:
            DeploymentError: it belongs to another account, region or deployment.
        """
        for what, found, wanted, remedy in (
            ("AWS account", self.accounts, deployment.account, "log in to that account, or use another state"),
            ("region", self.regions, deployment.region, "say --region, or use another state (--state FILE)"),
            ("deployment", self.deployments, deployment.name, "say --name, or use another state (--state FILE)"),
        ):
            others = found - {wanted}
            if others:
                raise DeploymentError(
                    f"Terraform's state belongs to {what} {', '.join(sorted(others))}, and you asked for {wanted}: "
                    f"{remedy}"
                )


def read_state(data: Mapping[str, Any]) -> StateFacts:
    """Read a state as `terraform state pull` gives it (format version 4)."""
    count = version = 0
    accounts, regions, deployments, vpcs, names = set(), set(), set(), set(), set()
    for resource in data.get("resources", ()):
        if resource.get("mode") != "managed":
            continue
        for instance in resource.get("instances", ()):
            count += 1
            attributes = instance.get("attributes") or {}
            arn = _ARN.match(str(attributes.get("arn") or ""))
            # AWS's own things, a managed policy for example, have no account in their ARN.
            if arn:
                accounts.add(arn["account"])
                # Services without regions leave it out; budgets and IAM do.
                if arn["region"]:
                    regions.add(arn["region"])
            name = (attributes.get("tags_all") or {}).get("Deployment")
            if name:
                deployments.add(name)
            kind = str(resource.get("type"))
            if kind == "aws_vpc" and attributes.get("id"):
                vpcs.add(str(attributes["id"]))
            # A write that was interrupted leaves some secrets at the old number; the highest one has been used.
            version = max(version, attributes.get("secret_string_wo_version") or 0)
            names.add((kind, str(attributes.get("name") or attributes.get("id") or "")))
    return StateFacts(
        resources=count,
        accounts=frozenset(accounts),
        regions=frozenset(regions),
        deployments=frozenset(deployments),
        vpcs=frozenset(vpcs),
        secrets_version=version,
        names=frozenset(names),
    )

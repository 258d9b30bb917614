"""Roles, policies and instance profiles. IAM's lists come without tags: each thing is asked for its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shopstream.aws.account import pages
from shopstream.aws.leftovers.asking import tagged
from shopstream.aws.leftovers.model import Found, Lister, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator


def _roles(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("iam")
    # AWS's own service roles cannot carry our tags.
    roles = (
        role
        for role in pages(client, "list_roles", "Roles")
        if not role.get("Path", "/").startswith("/aws-service-role/")
    )

    def tags(role: Any) -> Any:
        return pages(client, "list_role_tags", "Tags", RoleName=role["RoleName"])

    yield from tagged(scope, "IAM role", roles, name=lambda role: role["RoleName"], tags=tags)


def _policies(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("iam")
    policies = pages(client, "list_policies", "Policies", Scope="Local")

    def tags(policy: Any) -> Any:
        return pages(client, "list_policy_tags", "Tags", PolicyArn=policy["Arn"])

    yield from tagged(scope, "IAM policy", policies, name=lambda policy: policy["Arn"], tags=tags)


def _profiles(scope: Scope) -> Iterator[Found]:
    client = scope.aws.client("iam")
    profiles = pages(client, "list_instance_profiles", "InstanceProfiles")

    def tags(profile: Any) -> Any:
        name = profile["InstanceProfileName"]
        return client.get_instance_profile(InstanceProfileName=name)["InstanceProfile"].get("Tags")

    yield from tagged(
        scope, "instance profile", profiles, name=lambda profile: profile["InstanceProfileName"], tags=tags
    )


LISTERS = (
    Lister("IAM role", "iam:role/", _roles),
    Lister("IAM policy", "iam:policy/", _policies),
    Lister("instance profile", "iam:instance-profile/", _profiles),
)

"""The search itself: every lister, then what the tagging API knows beyond them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from shopstream.aws.account import code_of, pages
from shopstream.aws.leftovers import functions, identity, messaging, network, storage, watching
from shopstream.aws.leftovers.asking import TagsDenied
from shopstream.aws.leftovers.model import Found, Inventory, Lister, Scope, Unasked
from shopstream.aws.ownership import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment

LISTERS: tuple[Lister, ...] = (
    *network.LISTERS,
    *identity.LISTERS,
    *functions.LISTERS,
    *storage.LISTERS,
    *messaging.LISTERS,
    *watching.LISTERS,
)

_PARTS = ("ec2:security-group-rule/",)
"""What ends with the thing that it is part of, and is tagged all the same."""


def find(
    aws: Aws,
    deployment: Deployment,
    *,
    vpcs: Iterable[str] = (),
    listers: Iterable[Lister] = LISTERS,
    tell: Callable[[str], None] = lambda _: None,
) -> Inventory:
    """List everything of a deployment that is there.

    Args:
        aws: The account.
        deployment: Whose things to list.
        vpcs: Networks that are known to be the deployment's, besides those with its tags.
        listers: What to ask for.
        tell: Gets the name of each kind before it is asked for.
    """
    found: set[Found] = set()
    unasked: list[Unasked] = []
    asked: list[str] = [*_PARTS]
    networks = frozenset(vpcs)
    try:
        networks |= owned_networks(aws, deployment)
    except (ClientError, BotoCoreError) as error:
        unasked.append(Unasked("VPC, to look into it", reason(error)))
    scope = Scope(aws, deployment, networks)
    for lister in listers:
        tell(lister.kind)
        try:
            # One by one: what has been found before an error stays found.
            for each in lister.search(scope):
                found.add(each)
        except (ClientError, BotoCoreError, TagsDenied) as error:
            unasked.append(Unasked(lister.kind, reason(error)))
        else:
            asked.append(lister.arns)
    tell("everything with tags")
    try:
        found.update(_beyond(scope, tuple(asked), {each.identity for each in found}))
    except (ClientError, BotoCoreError) as error:
        unasked.append(Unasked("everything with tags (tagging API)", reason(error)))
    return Inventory(tuple(sorted(found)), tuple(unasked))


def owned_networks(aws: Aws, deployment: Deployment) -> frozenset[str]:
    """The ids of the networks with the deployment's tags."""
    found = pages(aws.client("ec2"), "describe_vpcs", "Vpcs")
    return frozenset(item["VpcId"] for item in found if deployment.owns(item.get("Tags")))


def reason(error: Exception) -> str:
    """An error of AWS in one line."""
    if isinstance(error, ClientError):
        text = error.response.get("Error", {}).get("Message") or ""
        return f"{code_of(error)}: {text}".removesuffix(": ")
    return str(error)


def _beyond(scope: Scope, asked: tuple[str, ...], known: set[str]) -> Iterator[Found]:
    """What the tagging API finds of kinds that no lister has answered for."""
    filters = [
        {"Key": "Project", "Values": [PROJECT]},
        {"Key": "Deployment", "Values": [scope.deployment.name]},
    ]
    client = scope.aws.client("resourcegroupstaggingapi")
    for item in pages(client, "get_resources", "ResourceTagMappingList", TagFilters=filters):
        arn = item["ResourceARN"]
        service, resource = split_arn(arn)
        name = resource.rpartition("/")[2]
        if f"{service}:{resource}".startswith(asked) or {arn, resource, name} & known:
            continue
        if scope.deployment.owns(item.get("Tags")):
            yield Found(f"{service} resource", arn, "as the tagging API says", arn=arn)


def split_arn(arn: str) -> tuple[str, str]:
    """An ARN's service, and what stands after the account."""
    _, _, service, _, _, resource = arn.split(":", 5)
    return service, resource

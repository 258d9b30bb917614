"""What AWS has of a deployment and Terraform's state does not know: then it is the wrong state.

Such a state is empty or an older one: another checkout's, or a local one where the right one lies in a bucket. What
would be made by it stands beside the deployment that lives, and what would be destroyed is partly that deployment's.

A state may also lack something because Terraform was killed while it was making it. Nothing was made after that in a
network that no state knows, so an empty one is nobody's: it is a leftover, and stands in nobody's way. A network with
subnets is taken for a living one. Whoever knows better deletes it, and goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shopstream.aws.account import code_of, pages
from shopstream.aws.leftovers.listing import owned_networks
from shopstream.aws.mappings import groups_of_others
from shopstream.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment
    from shopstream.aws.statefile import StateFacts
    from shopstream.topology import Topology

RIGHT_STATE = "use the state that knows it (--state FILE, --backend-config KEY=VALUE)"
NO_STATE = (
    "If Terraform was killed while it made this, no state knows it: delete it, or `terraform import` it; "
    "`python -m shopstream.aws leftovers` lists what is there"
)


def networks(aws: Aws, deployment: Deployment, known: Collection[str]) -> tuple[list[str], list[str]]:
    """The deployment's networks that a state does not know.

    Args:
        aws: The account.
        deployment: Whose networks.
        known: The ids of the networks in the state.

    Returns:
        The ids of those with subnets, and of those that are empty.
    """
    unknown = owned_networks(aws, deployment) - set(known)
    if not unknown:
        return [], []
    used = {item["VpcId"] for item in pages(aws.client("ec2"), "describe_subnets", "Subnets")}
    return sorted(unknown & used), sorted(unknown - used)


def check_deploy(aws: Aws, deployment: Deployment, facts: StateFacts, tell: Callable[[str], None]) -> None:
    """See that what AWS has of a deployment is in the state, before anything is planned by it.

    A name is enough for functions and roles: Terraform could not make another one. A role's is the same in all regions.

    Args:
        aws: The account.
        deployment: What is to be brought up.
        facts: What the state knows.
        tell: Gets a line about each empty network that is nobody's.

    Raises:
        DeploymentError: AWS has something that the state does not know.
    """
    used, empty = networks(aws, deployment, facts.vpcs)
    unknown = [*used, *_functions(aws, deployment, facts), *_roles(aws, deployment, facts)]
    if unknown:
        shown = ", ".join(unknown[:4]) + (f" and {len(unknown) - 4} more" if len(unknown) > 4 else "")
        raise DeploymentError(
            f"AWS has what Terraform's state does not know of {deployment.name}: {shown}. Nothing was changed: "
            f"{RIGHT_STATE}, or another --name where it is a deployment of another region. {NO_STATE}"
        )
    for vpc in empty:
        tell(f"{vpc} has the deployment's tags, is empty, and no state knows it: a leftover, delete it")


def check_destroy(aws: Aws, deployment: Deployment, facts: StateFacts) -> None:
    """See that a state that knows something knows the networks too, before anything is destroyed.

    Raises:
        DeploymentError: There is a network in use that it does not know.
    """
    used, _ = networks(aws, deployment, facts.vpcs)
    if facts.resources and used:
        raise DeploymentError(
            f"AWS has a network of {deployment.name} that Terraform's state does not know: {', '.join(used)}. A "
            f"deployment lives there, and its functions and buckets would go too. Nothing was touched: {RIGHT_STATE}. "
            f"{NO_STATE}"
        )


def check_groups(aws: Aws, deployment: Deployment, topology: Topology) -> None:
    """See that no other mapping has a consumer group that this deployment needs.

    AWS wants it to be unique among all Kafka event sources of an account and region (Lambda's API reference,
    "SelfManagedKafkaEventSourceConfig").

    Raises:
        DeploymentError: One has.
    """
    wanted = {source.group for service in topology.services.values() for source in service.event_sources}
    others = groups_of_others(aws, deployment)
    taken = sorted((each for each in others if each.group in wanted), key=lambda each: each.group)
    if taken:
        first = taken[0]
        more = f" (and {len(taken) - 1} more mappings have others)" if len(taken) > 1 else ""
        raise DeploymentError(
            f"the event source mapping {first.uuid} of the function {first.function} has the consumer group "
            f"{first.group}{more}, and AWS takes each group once in an account and region. Nothing was changed: "
            "choose another --region or account for a second deployment, or take that mapping away"
        )


def _functions(aws: Aws, deployment: Deployment, facts: StateFacts) -> Iterator[str]:
    client = aws.client("lambda")
    for name in deployment.functions:
        if ("aws_lambda_function", name) in facts.names:
            continue
        try:
            client.get_function_configuration(FunctionName=name)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
        else:
            yield f"function {name}"


def _roles(aws: Aws, deployment: Deployment, facts: StateFacts) -> Iterator[str]:
    client = aws.client("iam")
    for name in deployment.functions:
        if ("aws_iam_role", name) in facts.names:
            continue
        try:
            client.get_role(RoleName=name)
        except ClientError as error:
            if code_of(error) != "NoSuchEntity":
                raise
        else:
            yield f"role {name}"

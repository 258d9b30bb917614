"""Event source mappings of a deployment: list them, and take them down before anything else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shopstream.aws.account import code_of, pages
from shopstream.aws.waiting import pauses
from shopstream.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment

_GONE = "ResourceNotFoundException"
_BUSY = frozenset({"ResourceInUseException", "ResourceConflictException", "TooManyRequestsException"})


@dataclass(frozen=True)
class Mapping:
    """One event source mapping.

    Attributes:
        uuid: Its id.
        function: The name of the function that it calls.
        state: As Lambda says: Enabled, Disabled, Creating, Deleting, …
        raw: The whole answer.
    """

    uuid: str
    function: str
    state: str
    raw: dict[str, Any]

    @property
    def group(self) -> str:
        """The consumer group that it reads with, of either kind of Kafka; empty where Lambda names none."""
        kinds = ("SelfManagedKafkaEventSourceConfig", "AmazonManagedKafkaEventSourceConfig")
        return next((str(self.raw[kind].get("ConsumerGroupId", "")) for kind in kinds if self.raw.get(kind)), "")


def mappings_of(aws: Aws, deployment: Deployment) -> list[Mapping]:
    """The deployment's mappings.

    A mapping is ours if its function is, by the function's tags. It can outlive its function: then its own tags
    decide, and, where it has none, the name of the function that it would call.
    """
    return [mapping for mapping, ours in _judged(aws, deployment) if ours]


def groups_of_others(aws: Aws, deployment: Deployment) -> list[Mapping]:
    """The mappings of the account and region that are not the deployment's and have a consumer group."""
    return [mapping for mapping, ours in _judged(aws, deployment) if mapping.group and not ours]


def _judged(aws: Aws, deployment: Deployment) -> Iterator[tuple[Mapping, bool]]:
    """Every mapping of the account and region, and whether it is the deployment's."""
    client = aws.client("lambda")
    owned: dict[str, bool | None] = {}
    for item in pages(client, "list_event_source_mappings", "EventSourceMappings"):
        arn = item["FunctionArn"]
        function = function_name(arn)
        if arn not in owned:
            owned[arn] = _owns_function(client, deployment, arn)
        ours = owned[arn]
        if ours is None:
            ours = deployment.may_own(_tags(client, item), function, deployment.functions)
        yield Mapping(item["UUID"], function, item.get("State", ""), item), ours


def function_name(arn: str) -> str:
    """The name in a function's ARN, without version or alias."""
    parts = arn.split(":")
    return parts[6] if len(parts) > 6 else arn


def _owns_function(client: Any, deployment: Deployment, arn: str) -> bool | None:
    """Whether a function is the deployment's; None when it does not exist."""
    unqualified = ":".join(arn.split(":")[:7])
    try:
        return deployment.owns(client.list_tags(Resource=unqualified).get("Tags"))
    except ClientError as error:
        if code_of(error) == _GONE:
            return None
        raise


def _tags(client: Any, item: dict[str, Any]) -> Any:
    arn = item.get("EventSourceMappingArn")
    if not arn:
        return None
    try:
        return client.list_tags(Resource=arn).get("Tags")
    except ClientError as error:
        if code_of(error) == _GONE:
            return None
        raise


def remove(
    aws: Aws,
    deployment: Deployment,
    *,
    tell: Callable[[str], None],
    limit_s: float = 900.0,
    poll_s: float = 5.0,
) -> int:
    """Disable and delete the deployment's mappings, and wait until they are gone.

    Disabled first, so that the pollers stop taking records while their deletion is under way.

    Returns:
        How many there were.

    Raises:
        AwsError: Some are still there after the time limit.
    """
    client = aws.client("lambda")
    first = left = mappings_of(aws, deployment)
    if not first:
        return 0
    deadline = time.monotonic() + limit_s
    for pause_s in pauses(poll_s):
        for mapping in left:
            if mapping.state not in {"Disabled", "Disabling", "Deleting"}:
                _try(client.update_event_source_mapping, UUID=mapping.uuid, Enabled=False)
            if mapping.state != "Deleting":
                _try(client.delete_event_source_mapping, UUID=mapping.uuid)
        left = mappings_of(aws, deployment)
        if not left:
            break
        if time.monotonic() > deadline:
            names = ", ".join(f"{mapping.uuid} of {mapping.function} ({mapping.state})" for mapping in left)
            raise AwsError(
                f"after {limit_s:.0f} s Lambda still has {len(left)} event source mappings: {names}. "
                "Call the same command again: it goes on from there"
            )
        tell(f"waiting until Lambda has deleted {len(left)} event source mappings")
        time.sleep(pause_s)
    return len(first)


def _try(call: Callable[..., Any], **arguments: Any) -> None:
    """Call, and leave to the next round what Lambda is not ready for."""
    try:
        call(**arguments)
    except ClientError as error:
        if code_of(error) not in {_GONE, *_BUSY}:
            raise

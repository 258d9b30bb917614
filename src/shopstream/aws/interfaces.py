"""Waits for the network interfaces that Lambda made for functions and pollers.

They outlive both, by 20 to 40 minutes as AWS's own support pages say, and hold the security group, the subnets and
the VPC. Lambda removes them with the rights of the functions' execution roles: those must stay until then, or the
interfaces are stranded (terraform-provider-aws issues 10329 and 32130).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shopstream.aws.account import code_of, pages
from shopstream.aws.waiting import pauses
from shopstream.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from shopstream.aws.account import Aws

LIMIT_S = 3600.0
USUAL = "AWS takes 20 to 40 minutes for this"
_TELL_EVERY_S = 30.0
_LATER = frozenset(
    {
        "InvalidNetworkInterfaceID.NotFound",
        "InvalidNetworkInterface.InUse",
        "AuthFailure",  # it is managed by its requester, and only that may delete it
        "InvalidParameterValue",  # it is in use, as EC2 words it for some
        "OperationNotPermitted",  # it is Lambda's own for the moment
    }
)


@dataclass(frozen=True)
class Interface:
    """A network interface that Lambda made.

    Attributes:
        identity: Its id.
        status: `in-use`, or `available` once nothing uses it any more.
        subnet: Where it is.
    """

    identity: str
    status: str
    subnet: str


def of_lambda(aws: Aws, vpcs: Collection[str], group: str = "") -> list[Interface]:
    """The interfaces in these networks that belong to Lambda.

    Args:
        aws: The account.
        vpcs: The networks.
        group: The name of the security group of functions and pollers, which nothing else is in.
    """
    return [
        Interface(item["NetworkInterfaceId"], item.get("Status", ""), item.get("SubnetId", ""))
        for item in pages(aws.client("ec2"), "describe_network_interfaces", "NetworkInterfaces")
        if item.get("VpcId") in vpcs and _is_lambdas(item, group)
    ]


def _is_lambdas(item: dict[str, Any], group: str) -> bool:
    """By type, by the group, and by the description that Lambda gives its functions' interfaces.

    What it writes on those of the pollers, and for how long on any, is documented nowhere.
    """
    return (
        item.get("InterfaceType") == "lambda"
        or str(item.get("Description", "")).startswith("AWS Lambda VPC ENI")
        or (bool(group) and group in {each.get("GroupName") for each in item.get("Groups") or ()})
    )


def wait_until_gone(
    aws: Aws,
    vpcs: Collection[str],
    *,
    tell: Callable[[str], None],
    group: str = "",
    limit_s: float = LIMIT_S,
    poll_s: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Wait until Lambda has given back every interface in these networks.

    One that nothing uses any more (`available`) is deleted here: whoever would have done it may be gone.

    Args:
        aws: The account.
        vpcs: The deployment's networks.
        tell: Gets a line about what is waited for, every half minute.
        group: The name of the security group of functions and pollers.
        limit_s: How long to wait.
        poll_s: How long between two looks, after the first ones.
        clock: Seconds that only grow.

    Returns:
        How many there were at first.

    Raises:
        AwsError: Some are still there after the time limit.
    """
    begin = told = clock()
    first = left = of_lambda(aws, vpcs, group)
    if left:
        tell(f"waiting for {_named(left)}, which Lambda made; {USUAL}")
    for pause_s in pauses(poll_s):
        if not left:
            break
        for interface in left:
            if interface.status == "available":
                _delete(aws, interface)
        left = of_lambda(aws, vpcs, group)
        now = clock()
        if not left:
            tell(f"Lambda's network interfaces are gone after {_duration(now - begin)}")
            break
        if now - begin >= limit_s:
            raise AwsError(
                f"after {_duration(now - begin)} Lambda still holds {_named(left)}; {USUAL}. Nothing is lost: the "
                "execution roles are still there. Call the same command again later, it goes on from here"
            )
        if now - told >= _TELL_EVERY_S:
            told = now
            tell(f"still waiting for {_named(left)}, for {_duration(now - begin)} so far; {USUAL}")
        time.sleep(min(pause_s, max(0.0, limit_s - (now - begin))))
    return len(first)


def _delete(aws: Aws, interface: Interface) -> None:
    try:
        aws.client("ec2").delete_network_interface(NetworkInterfaceId=interface.identity)
    except ClientError as error:
        # Lambda was faster, or has taken it into use again: the next look tells.
        if code_of(error) not in _LATER:
            raise


def _named(interfaces: list[Interface]) -> str:
    shown = ", ".join(each.identity for each in interfaces[:3])
    more = f" and {len(interfaces) - 3} more" if len(interfaces) > 3 else ""
    count = f"{len(interfaces)} network interface{'s' if len(interfaces) > 1 else ''}"
    return f"{count} ({shown}{more})"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"

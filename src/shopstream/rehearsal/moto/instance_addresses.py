"""An EC2 instance's private address, and the interface that was made for it.

AWS: "RunInstances" and "TerminateInstances" of the EC2 API reference: an interface made at launch is deleted at
termination unless told otherwise, and its address is free again; "NetworkInterface": it has an association when it has
a public address; "Subnet sizing" of the VPC user guide: the first four addresses and the last are reserved.

moto: keeps such interfaces for ever, and their addresses; shows an empty association where there is no public address,
which the Terraform provider takes for one; an address that cannot be had is an internal error.

Here: as AWS has it, with AWS's error codes.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.instances import Instance
from moto.ec2.models.subnets import Subnet

from shopstream.rehearsal.moto.patching import around, replaced

if TYPE_CHECKING:
    from collections.abc import Callable


def apply() -> None:
    """Teach moto's instances and subnets."""
    around(Instance, "prep_nics", _interfaces)
    around(Instance, "terminate", _terminate)
    around(Subnet, "request_ip", _request)
    shown = NetworkInterface.association.fget  # type: ignore[attr-defined]
    replaced(NetworkInterface, "association", property(lambda interface: shown(interface) or None))


def _interfaces(
    original: Callable[..., None], instance: Any, specifications: list[dict[str, Any]], *rest: Any, **more: Any
) -> None:
    brought = {int(each["DeviceIndex"]) for each in specifications if each.get("NetworkInterfaceId")}
    kept = {int(each["DeviceIndex"]) for each in specifications if each.get("DeleteOnTermination") is False}
    original(instance, specifications, *rest, **more)
    for index, interface in instance.nics.items():
        interface.delete_on_termination = index not in brought | kept


def _terminate(original: Callable[..., Any], instance: Any) -> Any:
    if instance._state.name == "terminated":  # noqa: SLF001 - moto's own; AWS accepts it a second time
        return instance._state  # noqa: SLF001
    previous = original(instance)
    # Its destructor would free them once more, when another instance may have them.
    instance._private_ips.clear()  # noqa: SLF001
    return previous


def _request(original: Callable[..., None], subnet: Any, ip: str, instance: Any) -> None:
    address = ipaddress.ip_address(ip)
    if address not in subnet.cidr:
        raise EC2ClientError("InvalidParameterValue", f"Address {ip} does not fall within the subnet's address range")
    position = int(address) - int(subnet.cidr.network_address)
    if position < 4 or address == subnet.cidr.broadcast_address:
        raise EC2ClientError("InvalidParameterValue", f"Address {ip} is in subnet's reserved address range")
    if ip in subnet._subnet_ips:  # noqa: SLF001
        raise EC2ClientError("InvalidIPAddress.InUse", f"Address {ip} is in use.")
    original(subnet, ip, instance)

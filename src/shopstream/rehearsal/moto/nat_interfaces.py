"""A NAT gateway that is deleted leaves nothing but its address.

AWS: "DeleteNatGateway" of the EC2 API reference: deleting a public NAT gateway disassociates its Elastic IP address,
which stays allocated; "NAT gateway basics" of the VPC user guide: its network interface goes with it.

moto: keeps the interface in the subnet for ever, and the address associated; an unknown gateway is an internal error.

Here: as AWS has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.nat_gateways import NatGatewayBackend

from shopstream.rehearsal.moto.patching import around

if TYPE_CHECKING:
    from collections.abc import Callable


def apply() -> None:
    """Teach moto's NAT gateways."""
    around(NatGatewayBackend, "delete_nat_gateway", _delete)


def _delete(original: Callable[..., Any], backend: Any, nat_gateway_id: str) -> Any:
    if nat_gateway_id not in backend.nat_gateways:
        raise EC2ClientError("NatGatewayNotFound", f"NatGateway {nat_gateway_id} was not found")
    gateway = original(backend, nat_gateway_id)
    interface = gateway._eni  # noqa: SLF001 - moto's own
    for address in backend.addresses:
        if address.eni is interface:
            address.eni = None
            address.association_id = None
    if interface.id in backend.enis:
        interface.delete()
    return gateway

"""What EC2's interface knows: instances, disks, addresses and the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shopstream.aws.account import pages
from shopstream.aws.leftovers.model import Found, Lister, Scope
from shopstream.aws.ownership import read_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True)
class _Kind:
    """One of EC2's describe operations, which are all alike.

    Attributes:
        name: For people.
        arn: The type in its ARNs.
        operation: The method of boto3's client.
        key: Where the answer has the list.
        identity: The attribute with the id.
        gone: Values of `State` (or `Status`) under which AWS goes on showing what no longer exists.
        goes_with: Whether it disappears together with something else that is listed, so that it is no leftover.
        arguments: For the operation.
    """

    name: str
    arn: str
    operation: str
    key: str
    identity: str
    gone: tuple[str, ...] = ()
    goes_with: Callable[[Mapping[str, Any]], bool] | None = None
    arguments: tuple[tuple[str, Any], ...] = ()

    def search(self, scope: Scope) -> Iterator[Found]:
        """What carries the deployment's tags, or lies in one of its networks."""
        client = scope.aws.client("ec2")
        for item in pages(client, self.operation, self.key, **dict(self.arguments)):
            if not (scope.deployment.owns(item.get("Tags") or item.get("TagSet")) or _vpcs(item) & scope.vpcs):
                continue
            state = _state(item)
            if state in self.gone or (self.goes_with and self.goes_with(item)):
                continue
            yield Found(self.name, str(item[self.identity]), _detail(item, state))


def _state(item: Mapping[str, Any]) -> str:
    state = item.get("State") or item.get("Status") or ""
    return str(state.get("Name") or state.get("Code") or "") if isinstance(state, dict) else str(state).lower()


def _vpcs(item: Mapping[str, Any]) -> frozenset[str]:
    """The networks that a thing lies in, or joins."""
    found = {item.get("VpcId"), item.get("ResourceId")}
    for key in ("Attachments", "VpcAttachments"):
        found |= {each.get("VpcId") for each in item.get(key) or () if isinstance(each, dict)}
    found |= {(item.get(key) or {}).get("VpcId") for key in ("RequesterVpcInfo", "AccepterVpcInfo")}
    return frozenset(each for each in found if each)


def _detail(item: Mapping[str, Any], state: str) -> str:
    name = read_tags(item.get("Tags") or item.get("TagSet")).get("Name") or item.get("GroupName") or ""
    extra = item.get("Description") or item.get("PublicIp") or item.get("InstanceType") or ""
    return ", ".join(str(each) for each in (name, state, extra) if each)


def _is_default(item: Mapping[str, Any]) -> bool:
    """A network's own default group, table and access list: they cannot be deleted, and end with it."""
    main = any(each.get("Main") for each in item.get("Associations") or ())
    return item.get("GroupName") == "default" or bool(item.get("IsDefault")) or main


def _instances(scope: Scope) -> Iterator[Found]:
    for reservation in pages(scope.aws.client("ec2"), "describe_instances", "Reservations"):
        for item in reservation["Instances"]:
            state = _state(item)
            if state != "terminated" and (scope.deployment.owns(item.get("Tags")) or _vpcs(item) & scope.vpcs):
                yield Found("EC2 instance", item["InstanceId"], _detail(item, state))


def _volumes(scope: Scope) -> Iterator[Found]:
    """Disks: by their tags, and those that an instance of ours has attached."""
    ours = {found.identity for found in _instances(scope)}
    for item in pages(scope.aws.client("ec2"), "describe_volumes", "Volumes"):
        attached = {each.get("InstanceId") for each in item.get("Attachments") or ()}
        if scope.deployment.owns(item.get("Tags")) or attached & ours:
            yield Found("EBS volume", item["VolumeId"], f"{item.get('Size')} GiB, {item.get('State')}")


def _interfaces(scope: Scope) -> Iterator[Found]:
    """Network interfaces: by tag, and by network."""
    client = scope.aws.client("ec2")
    # An interface cannot outlive its network on AWS. One that says so is a stand-in's residue.
    networks = {item["VpcId"] for item in pages(client, "describe_vpcs", "Vpcs")}
    for item in pages(client, "describe_network_interfaces", "NetworkInterfaces"):
        if item.get("VpcId") not in networks:
            continue
        if scope.deployment.owns(item.get("TagSet")) or _vpcs(item) & scope.vpcs:
            yield Found("network interface", item["NetworkInterfaceId"], _detail(item, _state(item)))


_KINDS = (
    _Kind("EBS snapshot", "snapshot/", "describe_snapshots", "Snapshots", "SnapshotId",
          arguments=(("OwnerIds", ["self"]),)),
    _Kind("machine image", "image/", "describe_images", "Images", "ImageId", arguments=(("Owners", ["self"]),)),
    _Kind("elastic address", "elastic-ip/", "describe_addresses", "Addresses", "AllocationId"),
    _Kind("VPC", "vpc/", "describe_vpcs", "Vpcs", "VpcId"),
    _Kind("subnet", "subnet/", "describe_subnets", "Subnets", "SubnetId"),
    _Kind("route table", "route-table/", "describe_route_tables", "RouteTables", "RouteTableId",
          goes_with=_is_default),
    _Kind("network ACL", "network-acl/", "describe_network_acls", "NetworkAcls", "NetworkAclId",
          goes_with=_is_default),
    _Kind("internet gateway", "internet-gateway/", "describe_internet_gateways", "InternetGateways",
          "InternetGatewayId"),
    _Kind("egress-only internet gateway", "egress-only-internet-gateway/", "describe_egress_only_internet_gateways",
          "EgressOnlyInternetGateways", "EgressOnlyInternetGatewayId"),
    _Kind("VPN gateway", "vpn-gateway/", "describe_vpn_gateways", "VpnGateways", "VpnGatewayId", gone=("deleted",)),
    _Kind("VPC peering connection", "vpc-peering-connection/", "describe_vpc_peering_connections",
          "VpcPeeringConnections", "VpcPeeringConnectionId", gone=("deleted", "rejected", "expired", "failed")),
    _Kind("NAT gateway", "natgateway/", "describe_nat_gateways", "NatGateways", "NatGatewayId", gone=("deleted",)),
    _Kind("VPC endpoint", "vpc-endpoint/", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId",
          gone=("deleted",)),
    _Kind("VPC flow log", "vpc-flow-log/", "describe_flow_logs", "FlowLogs", "FlowLogId"),
    _Kind("security group", "security-group/", "describe_security_groups", "SecurityGroups", "GroupId",
          goes_with=_is_default),
    _Kind("key pair", "key-pair/", "describe_key_pairs", "KeyPairs", "KeyPairId"),
    _Kind("launch template", "launch-template/", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
    _Kind("DHCP options", "dhcp-options/", "describe_dhcp_options", "DhcpOptions", "DhcpOptionsId"),
)  # fmt: skip

LISTERS = (
    Lister("EC2 instance", "ec2:instance/", _instances),
    Lister("EBS volume", "ec2:volume/", _volumes),
    Lister("network interface", "ec2:network-interface/", _interfaces),
    *(Lister(kind.name, f"ec2:{kind.arn}", kind.search) for kind in _KINDS),
)

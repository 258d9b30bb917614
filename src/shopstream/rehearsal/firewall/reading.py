"""A site from what the APIs of EC2 and Lambda answer."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from shopstream.errors import RehearsalError
from shopstream.rehearsal.firewall.site import LAMBDAS, Endpoint, Operator, Party, Rule, Service, Site

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_NUMBERS = {"6": "tcp", "17": "udp", "1": "icmp", "all": "-1"}
_GONE = {"terminated", "shutting-down"}
_ALL_PORTS = (0, 65535)


def site_of(
    *,
    groups: Iterable[Mapping[str, Any]],
    rules: Iterable[Mapping[str, Any]],
    reservations: Iterable[Mapping[str, Any]],
    endpoints: Iterable[Mapping[str, Any]] = (),
    interfaces: Iterable[Mapping[str, Any]] = (),
    prefix_lists: Iterable[Mapping[str, Any]] = (),
    functions: Iterable[Mapping[str, Any]] = (),
    mappings: Iterable[Mapping[str, Any]] = (),
    lambdas: IPv4Address | None,
    operator: Operator,
    services: Sequence[Service] = (),
) -> Site:
    """Put together what the single answers say.

    Args:
        groups: From DescribeSecurityGroups.
        rules: From DescribeSecurityGroupRules.
        reservations: From DescribeInstances.
        endpoints: From DescribeVpcEndpoints.
        interfaces: From DescribeNetworkInterfaces.
        prefix_lists: From DescribePrefixLists.
        functions: From ListFunctions.
        mappings: From ListEventSourceMappings.
        lambdas: The address that functions and pollers have here; None when there are none.
        operator: Who stands outside.
        services: What listens on this machine in place of something else.

    Raises:
        RehearsalError: An answer has something that is not understood here.
    """
    lists = list(prefix_lists)
    parties = [_instance(each) for each in _instances(reservations)]
    if lambdas is not None and (sets := function_groups(functions, mappings)):
        parties.append(Party(LAMBDAS, (lambdas,), None, sets))
    addresses = {each["NetworkInterfaceId"]: each.get("PrivateIpAddress") for each in interfaces}
    return Site(
        parties=tuple(parties),
        rules=tuple(read for each in rules if (read := _rule(each)) is not None),
        operator=operator,
        services=tuple(services),
        endpoints=tuple(_endpoint(each, addresses, lists) for each in endpoints if _is_there(each)),
        prefix_lists=MappingProxyType(
            {each["PrefixListId"]: tuple(IPv4Network(cidr) for cidr in each.get("Cidrs") or ()) for each in lists}
        ),
        group_names=MappingProxyType({each["GroupId"]: str(each["GroupName"]) for each in groups}),
    )


def describe(
    ec2: Any,
    functions: Any,
    *,
    lambdas: IPv4Address | None,
    operator: Operator,
    services: Sequence[Service] = (),
) -> Site:
    """Ask the APIs, and put together what they say.

    Args:
        ec2: boto3's client for EC2.
        functions: boto3's client for Lambda.
        lambdas: The address that functions and pollers have here.
        operator: Who stands outside.
        services: What listens on this machine in place of something else.

    Raises:
        RehearsalError: An answer has something that is not understood here.
    """

    def pages(client: Any, operation: str, key: str) -> list[Mapping[str, Any]]:
        return [each for page in client.get_paginator(operation).paginate() for each in page[key]]

    return site_of(
        groups=pages(ec2, "describe_security_groups", "SecurityGroups"),
        rules=pages(ec2, "describe_security_group_rules", "SecurityGroupRules"),
        reservations=pages(ec2, "describe_instances", "Reservations"),
        endpoints=pages(ec2, "describe_vpc_endpoints", "VpcEndpoints"),
        interfaces=pages(ec2, "describe_network_interfaces", "NetworkInterfaces"),
        prefix_lists=pages(ec2, "describe_prefix_lists", "PrefixLists"),
        functions=pages(functions, "list_functions", "Functions"),
        mappings=pages(functions, "list_event_source_mappings", "EventSourceMappings"),
        lambdas=lambdas,
        operator=operator,
        services=services,
    )


def function_groups(
    functions: Iterable[Mapping[str, Any]], mappings: Iterable[Mapping[str, Any]]
) -> tuple[frozenset[str], ...]:
    """The different sets of groups that functions and pollers are in.

    Args:
        functions: From ListFunctions. One without a VPC counts as being in none.
        mappings: From ListEventSourceMappings: pollers have the groups that their mapping names.
    """
    sets = [frozenset((each.get("VpcConfig") or {}).get("SecurityGroupIds") or ()) for each in functions]
    for mapping in mappings:
        access = mapping.get("SourceAccessConfigurations") or ()
        named = [each["URI"] for each in access if each.get("Type") == "VPC_SECURITY_GROUP"]
        if named:
            sets.append(frozenset(each.removeprefix("security_group:") for each in named))
    return tuple(dict.fromkeys(sets))


def _instances(reservations: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for reservation in reservations:
        for instance in reservation["Instances"]:
            if (instance.get("State") or {}).get("Name") not in _GONE:
                yield instance


def _instance(answer: Mapping[str, Any]) -> Party:
    tags = {each["Key"]: each["Value"] for each in answer.get("Tags") or ()}
    public = answer.get("PublicIpAddress")
    return Party(
        name=tags.get("Name") or str(answer["InstanceId"]),
        private=(IPv4Address(answer["PrivateIpAddress"]),),
        public=IPv4Address(public) if public else None,
        groups=(frozenset(each["GroupId"] for each in answer.get("SecurityGroups") or ()),),
    )


def _rule(answer: Mapping[str, Any]) -> Rule | None:
    """None for a rule about IPv6, which nobody speaks here."""
    cidr = answer.get("CidrIpv4")
    referenced = (answer.get("ReferencedGroupInfo") or {}).get("GroupId")
    prefix_list = answer.get("PrefixListId")
    if not (cidr or referenced or prefix_list):
        if answer.get("CidrIpv6"):
            return None
        raise RehearsalError(
            f"the security group rule {answer.get('SecurityGroupRuleId')} has no other side that is understood here: "
            "give it a range of addresses, a group or a prefix list"
        )
    protocol = str(answer["IpProtocol"]).lower()
    protocol = _NUMBERS.get(protocol, protocol)
    first, last = answer.get("FromPort"), answer.get("ToPort")
    if protocol in {"-1", "icmp"} or first is None or last is None or (first, last) == (-1, -1):
        first, last = _ALL_PORTS
    return Rule(
        id=str(answer["SecurityGroupRuleId"]),
        group=str(answer["GroupId"]),
        egress=bool(answer["IsEgress"]),
        protocol=protocol,
        first=int(first),
        last=int(last),
        cidr=IPv4Network(cidr, strict=False) if cidr else None,
        referenced=referenced or None,
        prefix_list=prefix_list or None,
        description=str(answer.get("Description") or ""),
    )


def _is_there(answer: Mapping[str, Any]) -> bool:
    return str(answer.get("State", "available")).lower() not in {"deleting", "deleted", "rejected", "failed"}


def _endpoint(
    answer: Mapping[str, Any], addresses: Mapping[str, str | None], prefix_lists: Iterable[Mapping[str, Any]]
) -> Endpoint:
    name = str(answer["ServiceName"])
    short = name.rpartition(".")[2]
    if str(answer.get("VpcEndpointType", "Gateway")).lower() == "gateway":
        found = next((each["PrefixListId"] for each in prefix_lists if each.get("PrefixListName") == name), None)
        return Endpoint(short, prefix_list=found)
    known = [IPv4Address(ip) for each in answer.get("NetworkInterfaceIds") or () if (ip := addresses.get(each))]
    return Endpoint(
        short,
        groups=frozenset(each["GroupId"] for each in answer.get("Groups") or ()),
        address=known[0] if known else None,
    )

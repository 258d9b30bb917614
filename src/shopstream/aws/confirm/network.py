"""VPC, subnets, gateway, routes, and who may talk to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shopstream.aws.account import pages
from shopstream.aws.confirm.model import Check, Line, Network, compare, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shopstream.aws.account import Aws
    from shopstream.aws.ownership import Deployment

_ANYWHERE = frozenset({"0.0.0.0/0", "::/0"})
_ZONES = 2


def look(aws: Aws, deployment: Deployment) -> Network:
    """The deployment's network. Which subnets are public is what their routes say, whatever they are called."""
    client = aws.client("ec2")
    vpcs = [vpc["VpcId"] for vpc in pages(client, "describe_vpcs", "Vpcs") if deployment.owns(vpc.get("Tags"))]
    vpc = vpcs[0] if len(vpcs) == 1 else ""
    subnets = {item["SubnetId"] for item in _in(client, "describe_subnets", "Subnets", vpc)}
    public = set()
    for table in _in(client, "describe_route_tables", "RouteTables", vpc):
        if str(_way_out(table) or "").startswith("igw-"):
            public |= {each.get("SubnetId") for each in table.get("Associations") or ()} & subnets
    groups = {
        item["GroupName"]: item["GroupId"] for item in _in(client, "describe_security_groups", "SecurityGroups", vpc)
    }
    return Network(vpc, frozenset(public), frozenset(subnets - public), groups)


def routing(check: Check) -> Iterator[Line]:
    """The VPC, its subnets in two zones or more, its gateway, and the ways out."""
    client, network = check.aws.client("ec2"), check.network
    if not network.vpc:
        yield missing("VPC", "exactly one with the deployment's tags")
        return
    vpc = next(iter(client.describe_vpcs(VpcIds=[network.vpc])["Vpcs"]))
    yield Line("VPC", True, f"{network.vpc}, {vpc['CidrBlock']}")
    zones = {
        item["SubnetId"]: item["AvailabilityZone"] for item in _in(client, "describe_subnets", "Subnets", network.vpc)
    }
    for kind, members in (("public", network.public), ("private", network.private)):
        where = sorted({zones[subnet] for subnet in members})
        ok = len(where) >= _ZONES
        yield Line(
            f"{kind} subnets", ok, f"{len(members)} in {', '.join(where) or 'no zone'}", "" if ok else f"{_ZONES} zones"
        )
    gateways = [
        gateway["InternetGatewayId"]
        for gateway in pages(client, "describe_internet_gateways", "InternetGateways")
        if any(each.get("VpcId") == network.vpc for each in gateway.get("Attachments") or ())
    ]
    yield Line("internet gateway", len(gateways) == 1, ", ".join(gateways) or "missing",
               "" if len(gateways) == 1 else "one, attached to the VPC")  # fmt: skip
    yield from _ways_out(check, gateways)


def _ways_out(check: Check, gateways: list[str]) -> Iterator[Line]:
    client, network = check.aws.client("ec2"), check.network
    ways: dict[str, str] = {}
    main = ""
    for table in _in(client, "describe_route_tables", "RouteTables", network.vpc):
        way = _way_out(table) or "none"
        for each in table.get("Associations") or ():
            if each.get("Main"):
                main = way
            elif each.get("SubnetId"):
                ways[each["SubnetId"]] = way
    outs = {
        kind: sorted({ways.get(subnet, main) for subnet in members})
        for kind, members in (("public", network.public), ("private", network.private))
    }
    yield compare("route to the internet from public subnets", outs["public"], gateways)
    if check.expected.access == "bastion":
        ok = bool(outs["private"]) and all(way.startswith("nat-") for way in outs["private"])
        wanted = "" if ok else "a NAT gateway, for the hosts' packages"
    else:
        ok = not any(way.startswith("igw-") for way in outs["private"])
        wanted = "" if ok else "none, or a NAT gateway"
    yield Line("route to the internet from private subnets", ok, ", ".join(outs["private"]) or "none", wanted)


def _way_out(table: dict[str, Any]) -> str | None:
    """Where a table sends what is for nobody in particular."""
    for route in table.get("Routes") or ():
        if route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State", "active") == "active":
            return str(route.get("GatewayId") or route.get("NatGatewayId") or route.get("InstanceId"))
    return None


def groups(check: Check) -> Iterator[Line]:
    """The groups for SSH and for Kafka: which port is open to whom."""
    name, admin = check.expected.deployment.name, check.expected.admin_cidr
    found = {
        item["GroupName"]: _rules(item, check.network)
        for item in _in(check.aws.client("ec2"), "describe_security_groups", "SecurityGroups", check.network.vpc)
    }
    bastion = check.expected.access == "bastion"
    wanted = {f"{name}-ssh": {("22", f"{name}-bastion" if bastion else admin)}}
    if bastion:
        wanted[f"{name}-bastion"] = {("22", admin)}
    for group, rules in wanted.items():
        what = f"security group {group}: SSH"
        yield compare(what, _say(found[group]), _say(rules)) if group in found else missing(what, _say(rules))

    kafka = f"{name}-kafka"
    if kafka not in found:
        yield missing(f"security group {kafka}")
        return
    clients = {"9092": {kafka}, "9093": {f"{name}-control-center", f"{name}-monitoring"}, "9094": {f"{name}-lambdas"}}
    members = {kafka, f"{name}-control-center", f"{name}-monitoring", f"{name}-lambdas"}
    for port, needed in clients.items():
        sources = {source for each, source in found[kafka] if each == port}
        ok = needed <= sources <= members
        yield Line(f"security group {kafka}: port {port}", ok, ", ".join(sorted(sources)) or "closed",
                   "" if ok else f"open to {', '.join(sorted(needed))}, and to the deployment's own only")  # fmt: skip
    others = {(port, source) for port, source in found[kafka] if port not in clients}
    strange = {(port, source) for port, source in others if source not in members}
    yield Line(f"security group {kafka}: anything else", not strange, _say(others),
               "nothing from outside the deployment" if strange else "")  # fmt: skip
    for group, rules in sorted(found.items()):
        open_to_all = {(port, source) for port, source in rules if source in _ANYWHERE}
        if open_to_all:
            yield Line(f"security group {group}", False, _say(open_to_all), "open to no network as a whole")


def _rules(group: dict[str, Any], network: Network) -> set[tuple[str, str]]:
    """Who may come in: port and source, a network or a group's name."""
    rules = set()
    for permission in group.get("IpPermissions") or ():
        first, last = permission.get("FromPort"), permission.get("ToPort")
        port = "all" if first is None else str(first) if first == last else f"{first}-{last}"
        sources = [each["CidrIp"] for each in permission.get("IpRanges") or ()]
        sources += [each["CidrIpv6"] for each in permission.get("Ipv6Ranges") or ()]
        sources += [network.group_name(each["GroupId"]) for each in permission.get("UserIdGroupPairs") or ()]
        sources += [each["PrefixListId"] for each in permission.get("PrefixListIds") or ()]
        rules |= {(port, source) for source in sources}
    return rules


def _say(rules: set[tuple[str, str]]) -> str:
    return ", ".join(f"{port} from {source}" for port, source in sorted(rules)) or "closed"


def _in(client: Any, operation: str, key: str, vpc: str) -> Iterator[Any]:
    return (item for item in pages(client, operation, key) if vpc and item.get("VpcId") == vpc)

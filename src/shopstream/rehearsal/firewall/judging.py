"""What the groups allow, and why not. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from shopstream.errors import UsageError
from shopstream.rehearsal.firewall.site import INTERNET, Endpoint, Operator, Party, Rule, Service, Site

if TYPE_CHECKING:
    from collections.abc import Iterable

Ports = tuple[tuple[int, int], ...]
"""Ranges of ports, both ends included, in ascending order and apart from each other."""

ALL: Ports = ((0, 65535),)


@dataclass(frozen=True)
class Side:
    """One end of a connection, as the other end's rules see it.

    Attributes:
        name: For messages.
        address: What ranges of addresses are compared with.
        groups: Its groups; None where no group guards it. Several sets must all allow.
        referable: Whether rules that name a group mean it: only within the VPC, by private addresses.
        prefix_list: The list that its address is in, if it is an endpoint's.
    """

    name: str
    address: IPv4Address
    groups: tuple[frozenset[str], ...] | None
    referable: bool = False
    prefix_list: str | None = None


@dataclass(frozen=True)
class Decision:
    """What becomes of an attempt to connect.

    Attributes:
        allowed: Whether it gets through.
        missing: "egress" or "ingress" when a rule is missing, "route" when no rule would help, "" when allowed.
        why: In one sentence: which rules let it through, or which one is missing.
        rules: The ids of the rules that let it through.
    """

    allowed: bool
    missing: str
    why: str
    rules: tuple[str, ...] = ()


def explain(
    site: Site, source: str, destination: str, port: int, *, protocol: str = "tcp", public: bool = False
) -> Decision:
    """What becomes of an attempt to connect.

    Args:
        site: Who is there and what the groups say.
        source: The name of a party, or of the operator.
        destination: The name of a party or of a service, or any address.
        port: The port at the destination; for a service it is the service's own here.
        protocol: "tcp", "udp" or "icmp".
        public: Whether the party's public address is meant. From outside it always is.

    Raises:
        UsageError: A name is nobody's.
    """
    sender = _sender(site, source)
    service = next((each for each in site.services if destination in {each.name, str(each.address)}), None)
    if service is not None and (destination == service.name or _listens(site, service.address, port) is not None):
        return _to_service(site, sender, _listens(site, service.address, port) or service, protocol)
    receiver, address = _receiver(site, destination, public=public or isinstance(sender, Operator))
    if address in site.operator.here:
        return Decision(
            False, "route", f"nothing at {address} port {port} stands in for anything at AWS or in the world"
        )
    if receiver is None:
        ends = ends_of(sender, None, address)
    elif isinstance(sender, Operator) and address in receiver.private and not sender.inside:
        text = (
            f"{receiver.name} has no public address: from outside a private one cannot be reached, whatever rules say"
        )
        return Decision(False, "route", text)
    else:
        ends = ends_of(sender, receiver, address)
    return judge(site, *ends, port, protocol)


def ends_of(sender: Party | Operator, receiver: Party | None, address: IPv4Address) -> tuple[Side, Side]:
    """Both ends of a connection as each other's rules see them.

    Args:
        sender: Who connects.
        receiver: Whom the address belongs to; None for somebody in the world.
        address: Where to.
    """
    within = receiver is not None and address in receiver.private and isinstance(sender, Party)
    if isinstance(sender, Operator):
        source = Side(sender.name, sender.seen_as, None)
    else:
        # Through the internet gateway it is seen with its public address; through NAT with one that nobody names.
        seen = sender.private[0] if within else sender.public or INTERNET
        source = Side(sender.name, seen, sender.groups, referable=within)
    if receiver is None:
        return source, Side(str(address), address, None)
    return source, Side(receiver.name, address, receiver.groups, referable=within)


def ends_at_service(site: Site, sender: Party, service: Service) -> list[tuple[Side, Side]]:
    """The ways that a service's place at AWS or in the world can be reached: any one will do."""
    ways = [_to_aws(sender, name, [e for e in site.endpoints if e.service == name]) for name in sorted(service.aws)]
    if service.internet:
        source, target = ends_of(sender, None, INTERNET)
        ways.append((source, replace(target, name=f"{service.name} in the world")))
    return ways


def judge(site: Site, source: Side, target: Side, port: int, protocol: str) -> Decision:
    """What the rules of both ends say to one port.

    Args:
        site: The rules.
        source: Who connects.
        target: Where to.
        port: The port there.
        protocol: "tcp", "udp" or "icmp".
    """
    used: list[str] = []
    for side, other, egress in ((source, target, True), (target, source, False)):
        for groups in side.groups or ():
            fitting = [
                rule
                for rule in _rules(site, groups, egress=egress, protocol=protocol)
                if _means(site, rule, other) and rule.first <= port <= rule.last
            ]
            if not fitting:
                kind = "egress" if egress else "ingress"
                way = f"to {target.name} ({target.address})" if egress else f"from {source.name} ({source.address})"
                if not egress and not other.referable:
                    way += ", where rules that name a group do not count"
                what = protocol if protocol == "icmp" else f"{protocol} {port}"
                text = f"no {kind} rule of {side.name} (in {site.named(groups)}) allows {what} {way}"
                return Decision(False, kind, text)
            used += [rule.id for rule in fitting]
    rules = tuple(dict.fromkeys(used))
    by_id = {rule.id: rule for rule in site.rules}
    shown = ", ".join(f"{each} ({by_id[each].description or 'no description'})" for each in rules)
    return Decision(True, "", f"allowed by {shown}" if rules else "allowed: no group guards either end", rules)


def ports_between(site: Site, source: Side, target: Side, protocol: str) -> Ports:
    """The ports at the target that the rules of both ends let the source reach.

    Args:
        site: The rules.
        source: Who connects.
        target: Where to.
        protocol: "tcp", "udp" or "icmp" (where any port means: yes).
    """
    open_ports = ALL
    for side, other, egress in ((source, target, True), (target, source, False)):
        for groups in side.groups or ():
            rules = _rules(site, groups, egress=egress, protocol=protocol)
            mine = merged((rule.first, rule.last) for rule in rules if _means(site, rule, other))
            open_ports = common(open_ports, mine)
    return open_ports


def merged(ranges: Iterable[tuple[int, int]]) -> Ports:
    """The same ports in as few ranges as possible."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(last, result[-1][1]))
        else:
            result.append((first, last))
    return tuple(result)


def common(one: Ports, other: Ports) -> Ports:
    """The ports that are in both."""
    return merged((max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) <= min(b, d))


def _rules(site: Site, groups: frozenset[str], *, egress: bool, protocol: str) -> list[Rule]:
    return [
        rule
        for rule in site.rules
        if rule.group in groups and rule.egress == egress and rule.protocol in {protocol, "-1"}
    ]


def _means(site: Site, rule: Rule, other: Side) -> bool:
    if rule.cidr is not None:
        return other.address in rule.cidr
    if rule.referenced is not None:
        # Of several sets each must have the group, or the rule would let in one that is not meant.
        return other.referable and bool(other.groups) and all(rule.referenced in each for each in other.groups or ())
    if rule.prefix_list is not None:
        ranges = site.prefix_lists.get(rule.prefix_list, ())
        return rule.prefix_list == other.prefix_list or any(other.address in each for each in ranges)
    return False


def _to_service(site: Site, sender: Party | Operator, service: Service, protocol: str) -> Decision:
    if service.unguarded or isinstance(sender, Operator):
        return Decision(True, "", f"allowed: {service.name} is no part of the VPC for {sender.name}")
    decision = Decision(False, "route", f"{service.name} stands in for nothing that a group could allow")
    for source, target in ends_at_service(site, sender, service):
        decision = judge(site, source, target, service.as_port, protocol)
        if decision.allowed:
            break
    return decision


def _to_aws(sender: Party, service: str, endpoints: list[Endpoint]) -> tuple[Side, Side]:
    source, world = ends_of(sender, None, INTERNET)
    if not endpoints:
        return source, Side(f"{service} at AWS", world.address, None)
    endpoint = endpoints[0]
    if endpoint.prefix_list is not None or endpoint.address is None:
        name = f"{service} at AWS, through its gateway endpoint"
        return source, Side(name, world.address, None, prefix_list=endpoint.prefix_list)
    inside = Side(sender.name, sender.private[0], sender.groups, referable=True)
    return inside, Side(f"the endpoint of {service}", endpoint.address, (endpoint.groups,), referable=True)


def _sender(site: Site, name: str) -> Party | Operator:
    if name == site.operator.name:
        return site.operator
    for party in site.parties:
        if name == party.name:
            return party
    known = ", ".join((site.operator.name, *(party.name for party in site.parties)))
    raise UsageError(f"nobody is called {name!r}; there are: {known}")


def _receiver(site: Site, name: str, *, public: bool) -> tuple[Party | None, IPv4Address]:
    for party in site.parties:
        if name == party.name:
            return party, party.public if public and party.public else party.private[0]
        if name in map(str, party.addresses):
            return party, IPv4Address(name)
    try:
        return None, IPv4Address(name)
    except ValueError:
        known = ", ".join([*(each.name for each in site.parties), *(each.name for each in site.services)])
        raise UsageError(f"nobody is called {name!r}; there are: {known}; or give an address") from None


def _listens(site: Site, address: IPv4Address, port: int) -> Service | None:
    return next((each for each in site.services if (each.address, each.port) == (address, port)), None)

"""The groups' rules as an nftables script, and what such a firewall has blocked. Pure.

There is no connection tracking, which bridges lack in some kernels. A connection is judged by its first packet (SYN
without ACK); what belongs to one that was allowed is let through by not being a first packet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shopstream.errors import RehearsalError
from shopstream.rehearsal.firewall.judging import ALL, Ports, common, ends_at_service, ends_of, merged, ports_between
from shopstream.rehearsal.firewall.site import INTERNET, Operator, Party, Site

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from ipaddress import IPv4Address

TABLE = "shopstream_groups"
SET = "blocked"
COMMENT = "no security group rule allows it"

# After the partitions of `shopstream rehearse hosts`, which cut cables and so come first.
_PRIORITY = 10
_HOOKS = ("forward", "input", "output")
_PROTOCOLS = ("tcp", "udp", "icmp")
# Answers to what was allowed; groups let them through.
_ICMP_ANSWERS = "echo-reply, destination-unreachable, time-exceeded, parameter-problem"
# Name service, DHCP and time of the VPC itself: groups do not filter them.
_VPC_OWN = "53, 67, 123"


@dataclass(frozen=True)
class Blocked:
    """An attempt that was blocked, with all its repetitions.

    Attributes:
        source: Who: a name, or an address that is nobody's.
        destination: Where to, likewise.
        protocol: "tcp" or "udp".
        port: The port there.
        packets: How often.
    """

    source: str
    destination: str
    protocol: str
    port: int
    packets: int


def removal() -> str:
    """The script that takes the firewall away, whether it is there or not."""
    # Declaring before deleting makes the deletion succeed when there was no table.
    return f"table bridge {TABLE} {{}}\ndelete table bridge {TABLE}\n"


def ruleset(site: Site) -> str:
    """The script that makes exactly this firewall, in one step.

    It belongs into the namespace of the bridge that guests, functions and operator share, and judges all that passes
    the bridge or its own stack.

    Args:
        site: Who is there and what the groups say.
    """
    lines = [
        "ether type arp accept",
        "ether type != ip drop",
        "ip daddr 224.0.0.0/4 drop",
        "ip protocol tcp tcp flags & (syn | ack) != syn accept",
        f"ip protocol icmp icmp type {{ {_ICMP_ANSWERS} }} accept",
    ]
    if site.operator.here:
        lines.append(f"ip daddr {_set(map(str, site.operator.here))} udp dport {{ {_VPC_OWN} }} accept")
    lines += _accepted(site)
    lines += [
        f"ip protocol {{ tcp, udp }} update @{SET} {{ ip saddr . ip daddr . ip protocol . th dport counter }}",
        f'counter drop comment "{COMMENT}"',
    ]
    text = removal() + f"table bridge {TABLE} {{\n"
    # 4096 different attempts; of more, the drop's own counter tells.
    text += f"  set {SET} {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service; size 4096; flags dynamic; }}\n"
    text += "  chain judge {\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"
    for hook in _HOOKS:
        text += f"  chain {hook} {{ type filter hook {hook} priority {_PRIORITY}; policy accept; jump judge; }}\n"
    return text + "}\n"


def blocked_in(listing: str, site: Site | None = None) -> list[Blocked]:
    """What a firewall has blocked, the most frequent first.

    Args:
        listing: What `nft -j list table bridge shopstream_groups` prints.
        site: For names in place of addresses.

    Raises:
        RehearsalError: It is no such listing.
    """
    try:
        content = json.loads(listing)["nftables"]
        sets = [each["set"] for each in content if "set" in each and each["set"]["name"] == SET]
        found = [_blocked(each["elem"], _names(site)) for made in sets for each in made.get("elem", ())]
    except (ValueError, KeyError, TypeError) as error:
        raise RehearsalError(f"this is no listing of the firewall ({error!r}): list the table {TABLE}") from error
    return sorted(found, key=lambda each: (-each.packets, each.source, each.destination, each.port))


def _accepted(site: Site) -> Iterator[str]:
    """A rule for each address, protocol and set of ports, with all that may send there."""
    known = {address for party in site.parties for address in party.addresses} | set(site.operator.here)
    known |= {service.address for service in site.services}
    everybody: list[Party | Operator] = [site.operator, *site.parties]
    senders: dict[tuple[str, str], list[Party | Operator]] = {}
    for sender in everybody:
        for to, protocol, ports in _reachable(site, sender):
            if ports:
                senders.setdefault((to, _dport(protocol, ports)), []).append(sender)
    for (to, dport), who in senders.items():
        addresses = [str(each) for sender in who for each in _from(sender)]
        if addresses:
            comment = ", ".join(sender.name for sender in who)[:120]
            yield f'ip saddr {_set(addresses)} ip daddr {to} {dport} accept comment "{comment}"'
    for party in site.parties:
        yield from _to_the_world(site, party, _set(map(str, sorted(known))))


def _reachable(site: Site, sender: Party | Operator) -> Iterator[tuple[str, str, Ports]]:
    for receiver in site.parties:
        if receiver == sender:
            continue
        for address in receiver.addresses:
            if isinstance(sender, Operator) and address in receiver.private and not sender.inside:
                continue
            for protocol in _PROTOCOLS:
                ends = ends_of(sender, receiver, address)
                yield str(address), protocol, ports_between(site, *ends, protocol)
    for service in site.services:
        here = ((service.port, service.port),)
        there = ((service.as_port, service.as_port),)
        if isinstance(sender, Operator):
            continue
        if service.unguarded or any(
            common(ports_between(site, *ends, "tcp"), there) for ends in ends_at_service(site, sender, service)
        ):
            yield str(service.address), "tcp", here


def _to_the_world(site: Site, party: Party, known: str) -> Iterator[str]:
    """What is nobody's here: the way there is open where an egress rule names it, and ends at "unreachable"."""
    for protocol in _PROTOCOLS:
        ports = ports_between(site, *ends_of(party, None, INTERNET), protocol)
        if ports:
            saddr = _set(map(str, party.addresses))
            yield (
                f"ip saddr {saddr} ip daddr != {known} {_dport(protocol, ports)} accept "
                f'comment "{party.name} to the world"'
            )


def _from(sender: Party | Operator) -> tuple[IPv4Address, ...]:
    return sender.here if isinstance(sender, Operator) else sender.addresses


def _dport(protocol: str, ports: Ports) -> str:
    if protocol == "icmp":
        return "ip protocol icmp"
    if merged(ports) == ALL:
        return f"ip protocol {protocol}"
    return f"{protocol} dport {_set(str(a) if a == b else f'{a}-{b}' for a, b in ports)}"


def _set(items: Iterable[str]) -> str:
    return f"{{ {', '.join(items)} }}"


def _names(site: Site | None) -> dict[str, str]:
    if site is None:
        return {}
    names = {str(address): party.name for party in site.parties for address in party.addresses}
    return {**names, **{str(address): site.operator.name for address in site.operator.here}}


def _blocked(element: dict[str, Any], names: dict[str, str]) -> Blocked:
    source, destination, protocol, port = element["val"]["concat"]
    protocol = {6: "tcp", 17: "udp"}.get(protocol, str(protocol))
    return Blocked(
        names.get(source, source), names.get(destination, destination), protocol, int(port), _packets(element)
    )


def _packets(element: dict[str, Any]) -> int:
    counter: Any = element.get("counter") or {}
    return int(counter["packets"])

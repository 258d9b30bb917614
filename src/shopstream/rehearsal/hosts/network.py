"""The guests' network as text: systemd-networkd's file, the bridge's commands, nftables rules. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shopstream.rehearsal.hosts.plan import OPERATOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shopstream.rehearsal.hosts.plan import Guest, Plan

TABLE = "shopstream_partition"

Partition = tuple[tuple[str, ...], tuple[str, ...]]
"""Two sides that do not hear each other: names of guests, or "operator"."""


def networkd(plan: Plan, guest: Guest) -> str:
    """The guest's /etc/systemd/network/10-host0.network: the very addresses that the inventory names.

    The other guests' public addresses are reached over the bridge directly, so that what is partitioned stays so. The
    default route is there because EC2 has one; behind it nothing answers but "unreachable".
    """
    lines = ["[Match]", "Name=host0", "", "[Network]", f"Address={guest.private_ip}/{plan.network.prefixlen}"]
    if guest.public_ip:
        lines.append(f"Address={guest.public_ip}/32")
    lines += [f"Gateway={plan.gateway}", "DHCP=no", "LinkLocalAddressing=no", "IPv6AcceptRA=no"]
    for other in plan.guests:
        if other.public_ip and other != guest:
            lines += ["", "[Route]", f"Destination={other.public_ip}/32", "Scope=link"]
    return "\n".join(lines) + "\n"


def bridge_commands(plan: Plan) -> list[list[str]]:
    """What makes the bridge inside a new namespace."""
    bridge = plan.bridge
    return [
        ["ip", "link", "set", "lo", "up"],
        ["ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0", "stp_state", "0"],
        ["ip", "address", "add", f"{plan.gateway}/{plan.network.prefixlen}", "dev", bridge],
        ["ip", "link", "set", bridge, "up"],
        # A packet to anywhere else is refused at once, where it would otherwise be lost and waited for.
        ["ip", "route", "add", "unreachable", "default"],
        ["sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"],
    ]


def route_commands(plan: Plan) -> list[list[str]]:
    """What makes the operator's way to every guest's public address."""
    return [
        ["ip", "route", "replace", f"{guest.public_ip}/32", "dev", plan.bridge]
        for guest in plan.guests
        if guest.public_ip
    ]


def partition_rules(plan: Plan, partitions: Iterable[Partition]) -> str:
    """The nftables script that makes exactly these partitions, in one step.

    Args:
        plan: Where the guests hang.
        partitions: None for a whole network.

    Raises:
        UsageError: A name is no guest's.
    """
    # Declaring before deleting makes the deletion succeed when there was no table.
    text = f"table bridge {TABLE} {{}}\ndelete table bridge {TABLE}\n"
    forward: list[str] = []
    incoming: list[str] = []
    outgoing: list[str] = []
    for one, other in partitions:
        left, right = _links(plan, one), _links(plan, other)
        if left and right:
            forward += [f"iifname {left} oifname {right} drop", f"iifname {right} oifname {left} drop"]
        for side, links in ((one, right), (other, left)):
            if OPERATOR in side and links:
                incoming.append(f"iifname {links} drop")
                outgoing.append(f"oifname {links} drop")
    chains = (("forward", forward), ("input", incoming), ("output", outgoing))
    if not any(rules for _, rules in chains):
        return text
    text += f"table bridge {TABLE} {{\n"
    for hook, rules in chains:
        if rules:
            lines = "".join(f"    {rule}\n" for rule in rules)
            text += f"  chain {hook} {{\n    type filter hook {hook} priority 0; policy accept;\n{lines}  }}\n"
    return text + "}\n"


def _links(plan: Plan, names: Sequence[str]) -> str:
    links = [f'"{plan.guest(name).link}"' for name in names if name != OPERATOR]
    return f"{{ {', '.join(links)} }}" if links else ""

"""What the machines of a rehearsal are called and where they lie, derived from inventory and state directory. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

from shopstream.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from shopstream.rehearsal.hosts.inventory import Inventory

OPERATOR = "operator"
"""Who stands outside of the guests, where Ansible and the clients run."""
PREFIX = "shopstream-"


def tag_of(state: Path) -> str:
    """A short name of a state directory: what all that belongs to a rehearsal carries in its name.

    Args:
        state: The absolute path.
    """
    return hashlib.sha256(str(state).encode()).hexdigest()[:6]


@dataclass(frozen=True)
class Guest:
    """A booted machine.

    Attributes:
        name: As the inventory has it; also its hostname.
        machine: Its name for systemd-nspawn, short because interfaces are named after it.
        address: Where Ansible connects.
        private_ip: Its address in the VPC.
        public_ip: Its address for the world, if it has one.
        memory: Its limit, in bytes.
        instance_type: Where the limit comes from.
    """

    name: str
    machine: str
    address: IPv4Address
    private_ip: IPv4Address
    public_ip: IPv4Address | None
    memory: int
    instance_type: str

    @property
    def link(self) -> str:
        """The bridge's end of its cable, as systemd-nspawn names it."""
        return f"vb-{self.machine}"


@dataclass(frozen=True)
class Plan:
    """All machines of a rehearsal.

    Attributes:
        tag: What `tag_of` says.
        network: The VPC.
        user: The account that Ansible logs in with.
        guests: In the inventory's order.
    """

    tag: str
    network: IPv4Network
    user: str
    guests: tuple[Guest, ...]

    @property
    def bridge(self) -> str:
        """The bridge that all guests hang on."""
        return f"ss-{self.tag}"

    @property
    def gateway(self) -> IPv4Address:
        """The bridge's own address, where AWS has its router: the operator's, and where supplies are served."""
        return self.network.network_address + 1

    def guest(self, name: str) -> Guest:
        """The guest of that name.

        Raises:
            UsageError: There is none.
        """
        for guest in self.guests:
            if guest.name == name:
                return guest
        raise UsageError(f"there is no host {name!r}; there are: {', '.join(each.name for each in self.guests)}")

    def to_data(self) -> dict[str, Any]:
        """As kept in the state directory."""
        return {
            "tag": self.tag,
            "network": str(self.network),
            "user": self.user,
            "guests": [
                {
                    "name": guest.name,
                    "machine": guest.machine,
                    "address": str(guest.address),
                    "private_ip": str(guest.private_ip),
                    "public_ip": str(guest.public_ip) if guest.public_ip else None,
                    "memory": guest.memory,
                    "instance_type": guest.instance_type,
                }
                for guest in self.guests
            ],
        }

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Plan:
        """Read what `to_data` made.

        Raises:
            ValueError: It is something else.
        """
        try:
            guests = tuple(
                Guest(
                    name=str(each["name"]),
                    machine=str(each["machine"]),
                    address=IPv4Address(each["address"]),
                    private_ip=IPv4Address(each["private_ip"]),
                    public_ip=IPv4Address(each["public_ip"]) if each["public_ip"] else None,
                    memory=int(each["memory"]),
                    instance_type=str(each["instance_type"]),
                )
                for each in data["guests"]
            )
            return cls(str(data["tag"]), IPv4Network(data["network"]), str(data["user"]), guests)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a rehearsal's plan: {error!r} in {json.dumps(data)[:200]}") from error


def plan(inventory: Inventory, tag: str) -> Plan:
    """Give every host of an inventory its machine."""
    guests = tuple(
        Guest(
            name=host.name,
            machine=f"{tag}-{number:02d}",
            address=host.ansible_host,
            private_ip=host.private_ip,
            public_ip=host.public_ip,
            memory=host.memory,
            instance_type=host.instance_type,
        )
        for number, host in enumerate(inventory.hosts, 1)
    )
    return Plan(tag, inventory.network, inventory.user, guests)

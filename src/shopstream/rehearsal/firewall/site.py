"""Who is there and what the groups say. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LAMBDAS = "lambdas"
"""The party that functions and their pollers are."""
INTERNET = IPv4Address("192.0.2.1")
"""What address ranges are compared with where any address of the world is meant (RFC 5737: it is nobody's)."""


@dataclass(frozen=True)
class Rule:
    """One rule of a security group.

    Attributes:
        id: Its id.
        group: Whose rule it is.
        egress: Whether it is about what the group's members send.
        protocol: "tcp", "udp", "icmp", "-1" for all, or another protocol's number.
        first: The first port.
        last: The last port.
        cidr: The other side as a range of addresses, or None.
        referenced: The other side as a group, or None.
        prefix_list: The other side as a prefix list, or None.
        description: What its author says of it.
    """

    id: str
    group: str
    egress: bool
    protocol: str
    first: int
    last: int
    cidr: IPv4Network | None = None
    referenced: str | None = None
    prefix_list: str | None = None
    description: str = ""


@dataclass(frozen=True)
class Party:
    """Who has security groups: an instance, or all functions together.

    Attributes:
        name: Its name.
        private: Its addresses in the VPC.
        public: Its address for the world, if it has one.
        groups: Its groups. Several sets where several things share the address: then all of them must allow.
    """

    name: str
    private: tuple[IPv4Address, ...]
    public: IPv4Address | None
    groups: tuple[frozenset[str], ...]

    @property
    def addresses(self) -> tuple[IPv4Address, ...]:
        """All that it may send from."""
        return (*self.private, *((self.public,) if self.public else ()))


@dataclass(frozen=True)
class Operator:
    """Who stands outside of the VPC: Ansible, SSH, browsers.

    Attributes:
        here: The addresses that it sends from on this machine: the bridge's own.
        seen_as: The address that it would have in the world; rules are compared with it.
        inside: Whether it may speak to private addresses as well, which nobody outside can at AWS.
        name: Its name.
    """

    here: tuple[IPv4Address, ...]
    seen_as: IPv4Address
    inside: bool = False
    name: str = "operator"


@dataclass(frozen=True)
class Service:
    """Something that listens on this machine in place of something at AWS or in the world.

    Attributes:
        name: Its name.
        address: Where it listens here.
        port: On which port here.
        aws: The AWS services that it stands in for ("dynamodb", "secretsmanager"); a way to any of them is one to it.
        internet: Whether it stands in for a place in the world: a package archive.
        as_port: The port that it would have there.
        unguarded: Whether everybody gets there, as the control plane does that is no part of the VPC.
    """

    name: str
    address: IPv4Address
    port: int
    aws: frozenset[str] = frozenset()
    internet: bool = False
    as_port: int = 443
    unguarded: bool = False


@dataclass(frozen=True)
class Endpoint:
    """A VPC endpoint.

    Attributes:
        service: The short name of its service: "dynamodb".
        groups: An interface endpoint's groups; none for a gateway's.
        address: An interface endpoint's address, or None.
        prefix_list: A gateway endpoint's prefix list, or None.
    """

    service: str
    groups: frozenset[str] = frozenset()
    address: IPv4Address | None = None
    prefix_list: str | None = None


@dataclass(frozen=True)
class Site:
    """All that the groups of a deployment are about.

    Attributes:
        parties: The instances and the functions.
        rules: All groups' rules.
        operator: Who stands outside.
        services: What listens on this machine in place of something else.
        endpoints: The VPC's endpoints.
        prefix_lists: The ranges of each list, as far as they are known.
        group_names: The groups' names, by their ids.
    """

    parties: tuple[Party, ...]
    rules: tuple[Rule, ...]
    operator: Operator
    services: tuple[Service, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    prefix_lists: Mapping[str, tuple[IPv4Network, ...]] = field(default_factory=lambda: MappingProxyType({}))
    group_names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def named(self, groups: frozenset[str]) -> str:
        """Groups as a text: names where they are known."""
        return ", ".join(sorted(self.group_names.get(each, each) for each in groups)) or "no group"

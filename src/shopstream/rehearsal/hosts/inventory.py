"""The Ansible inventory that a rehearsal stands up: an INI file of groups and hosts with variables. Pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from shopstream.errors import UsageError
from shopstream.rehearsal.hosts.instances import memory_of

_SECTION = re.compile(r"\[(?P<name>[A-Za-z_][A-Za-z0-9_-]*)(?::(?P<kind>vars|children))?\]")
_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_WIDEST_VPC = 16  # AWS allows no larger network
RESERVED = ("operator",)
"""Names with a meaning of their own on the command line."""


@dataclass(frozen=True)
class Host:
    """A host of the inventory.

    Attributes:
        name: Its name, which becomes its hostname.
        groups: The groups that it stands in, in the order of the file.
        ansible_host: Where Ansible connects.
        private_ip: Its address in the VPC.
        public_ip: Its address for the world, if it has one.
        instance_type: For example "t2.micro".
    """

    name: str
    groups: tuple[str, ...]
    ansible_host: IPv4Address
    private_ip: IPv4Address
    public_ip: IPv4Address | None
    instance_type: str

    @property
    def memory(self) -> int:
        """What an instance of this type has, in bytes."""
        return memory_of(self.instance_type)


@dataclass(frozen=True)
class Inventory:
    """What the file says.

    Attributes:
        hosts: In the order of the file, each once.
        variables: Those of `[all:vars]`.
    """

    hosts: tuple[Host, ...]
    variables: dict[str, str]

    @property
    def network(self) -> IPv4Network:
        """The VPC: as `vpc_cidr` says, or else the network of AWS's largest size around the first host."""
        if given := self.variables.get("vpc_cidr"):
            return IPv4Network(given)
        return IPv4Network((int(self.hosts[0].private_ip), _WIDEST_VPC), strict=False)

    @property
    def user(self) -> str:
        """The account that Ansible logs in with."""
        return self.variables.get("ansible_user", "admin")


def parse(text: str, source: str = "the inventory") -> Inventory:
    """Read an inventory.

    Args:
        text: The INI file's text.
        source: How messages call it.

    Raises:
        UsageError: It is not an inventory that can be stood up; the text has a line for each problem.
    """
    groups, values, variables, problems = _read(text)
    hosts = []
    for name, fields in values.items():
        try:
            hosts.append(_host(name, groups[name], fields))
        except UsageError as error:
            problems.append(str(error))
    problems += _contradictions(hosts, variables)
    if not hosts and not problems:
        problems.append("there is no host in it")
    if problems:
        raise UsageError("\n".join(f"{source}: {problem}" for problem in problems))
    return Inventory(tuple(hosts), variables)


def _read(text: str) -> tuple[dict[str, tuple[str, ...]], dict[str, dict[str, str]], dict[str, str], list[str]]:
    """Groups and variables of each host, the variables of all, and what cannot be read."""
    groups: dict[str, tuple[str, ...]] = {}
    values: dict[str, dict[str, str]] = {}
    variables: dict[str, str] = {}
    problems: list[str] = []
    section, kind = "ungrouped", None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            if match := _SECTION.fullmatch(line):
                section, kind = match["name"], match["kind"]
            else:
                problems.append(f"line {number}: {line} is no section: expected [group], [group:vars] or similar")
            continue
        if kind == "vars":
            key, equals, value = line.partition("=")
            if not equals:
                problems.append(f"line {number}: expected NAME=VALUE below [{section}:vars], found {line!r}")
            elif section == "all":
                variables[key.strip()] = value.strip().strip("'\"")
        elif kind is None:
            try:
                name, *fields = shlex.split(line, comments=True)
            except ValueError as error:
                problems.append(f"line {number}: {error}")
                continue
            if bad := [field for field in fields if "=" not in field]:
                problems.append(f"line {number}: expected NAME=VALUE after the host's name, found {bad[0]!r}")
            groups[name] = (*groups.get(name, ()), section)
            pairs = (field.partition("=") for field in fields if "=" in field)
            values.setdefault(name, {}).update((key, value) for key, _, value in pairs)
    return groups, values, variables, problems


def _host(name: str, groups: tuple[str, ...], fields: dict[str, str]) -> Host:
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise UsageError(f"{name!r} cannot be a host's name: expected small letters, digits and dashes, not 'operator'")
    missing = [key for key in ("private_ip", "instance_type") if not fields.get(key)]
    if missing:
        raise UsageError(f"host {name} lacks {' and '.join(missing)}")
    private = _address(name, "private_ip", fields["private_ip"])
    public = _address(name, "public_ip", fields["public_ip"]) if fields.get("public_ip") else None
    reached = _address(name, "ansible_host", fields["ansible_host"]) if fields.get("ansible_host") else private
    if reached not in {private, public}:
        raise UsageError(f"host {name}: ansible_host {reached} is neither its private_ip nor its public_ip")
    host = Host(name, groups, reached, private, public, fields["instance_type"])
    try:
        memory_of(host.instance_type)
    except UsageError as error:
        raise UsageError(f"host {name}: {error}") from error
    return host


def _address(name: str, key: str, value: str) -> IPv4Address:
    try:
        return IPv4Address(value)
    except ValueError:
        raise UsageError(f"host {name}: {key} must be an IPv4 address, found {value!r}") from None


def _contradictions(hosts: list[Host], variables: dict[str, str]) -> list[str]:
    """What holds for each host, and not for all of them together."""
    problems = []
    owners: dict[IPv4Address, str] = {}
    for host in hosts:
        for address in {host.private_ip, host.public_ip} - {None}:
            assert address is not None  # noqa: S101 - taken out above
            if address in owners:
                problems.append(f"{host.name} and {owners[address]} have the same address {address}")
            owners[address] = host.name
    if hosts:
        try:
            network = Inventory(tuple(hosts), variables).network
        except ValueError as error:
            return [*problems, f"vpc_cidr must be an IPv4 network like 10.20.0.0/16: {error}"]
        router = network.network_address + 1
        problems += [
            f"host {host.name}: {host.private_ip} is not in the VPC {network}"
            for host in hosts
            if host.private_ip not in network
        ]
        if router in owners:
            problems.append(f"host {owners[router]}: AWS keeps {router}, a network's first address, for its router")
        problems += [
            f"host {host.name}: its public_ip {host.public_ip} lies in the VPC {network}"
            for host in hosts
            if host.public_ip and host.public_ip in network
        ]
    return problems

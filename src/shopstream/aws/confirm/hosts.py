"""The instances: state, type, address, and the group for SSH."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shopstream.aws.account import pages
from shopstream.aws.confirm.model import GROUPS, Check, Line, missing
from shopstream.aws.ownership import read_tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shopstream.aws.confirm.model import Host

_GONE = frozenset({"terminated", "shutting-down"})
_LEAST = {"zookeeper": 3, "kafka": 3, "control_center": 1, "monitoring": 1}


def instances(check: Check) -> Iterator[Line]:
    """Each host that Terraform's outputs name, and no other."""
    found = _found(check)
    hosts = check.expected.hosts
    for role in (*GROUPS, *(("bastion",) if check.expected.access == "bastion" else ())):
        wanted, there = _LEAST.get(role, 1), sum(host.role == role for host in hosts)
        if there < wanted:
            yield Line(f"{role} instances", False, str(there), f"{wanted} at least")
    for host in hosts:
        what = f"instance {host.name}"
        instance = found.pop(host.private_ip, None)
        if instance is None:
            yield missing(what, f"{host.instance_type} at {host.private_ip}")
            continue
        wrong = list(_wrong(check, host, instance))
        text = f"{instance['InstanceId']}, {instance['State']['Name']}, {instance['InstanceType']}, {host.private_ip}"
        yield Line(what, not wrong, text, ", ".join(wrong))
    for address, instance in sorted(found.items()):
        yield Line(f"instance {instance['InstanceId']}", False, f"at {address}", "it is not in Terraform's outputs")


def _found(check: Check) -> dict[str, Any]:
    """The deployment's instances by their private address."""
    return {
        instance.get("PrivateIpAddress", instance["InstanceId"]): instance
        for reservation in pages(check.aws.client("ec2"), "describe_instances", "Reservations")
        for instance in reservation["Instances"]
        if check.expected.deployment.owns(instance.get("Tags")) and instance["State"]["Name"] not in _GONE
    }


def _wrong(check: Check, host: Host, instance: dict[str, Any]) -> Iterator[str]:
    """What an instance should be and is not."""
    name, network = check.expected.deployment.name, check.network
    tags = read_tags(instance.get("Tags"))
    if instance["State"]["Name"] != "running":
        yield "running"
    if instance["InstanceType"] != host.instance_type:
        yield f"type {host.instance_type}"
    if (tags.get("Role"), tags.get("Name")) != (host.role, host.name):
        yield f"tags Role={host.role} and Name={host.name}"
    if network.groups.get(f"{name}-ssh") not in {group["GroupId"] for group in instance.get("SecurityGroups") or ()}:
        yield f"in the group {name}-ssh"
    private = check.expected.access == "bastion" and host.role != "bastion"
    if instance.get("SubnetId") not in (network.private if private else network.public):
        yield f"in a {'private' if private else 'public'} subnet"
    if private and instance.get("PublicIpAddress"):
        yield "no public address"
    if instance.get("MetadataOptions", {}).get("HttpTokens") != "required":
        yield "IMDSv2 only"

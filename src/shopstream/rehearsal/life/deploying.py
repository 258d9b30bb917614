"""The phases that bring the deployment up: infrastructure, boot, firewall, configure."""

from __future__ import annotations

import json
from dataclasses import asdict
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from shopstream.errors import RehearsalError
from shopstream.rehearsal import firewall as groups
from shopstream.rehearsal.firewall import Operator, Service, Site
from shopstream.rehearsal.hosts.inventory import parse
from shopstream.rehearsal.hosts.services import CONTROL_PORT, FUNCTIONS_PORT, PORT
from shopstream.rehearsal.life import counting, functions, site
from shopstream.rehearsal.life.world import ADMIN_CIDR

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shopstream.rehearsal.hosts.plan import Plan
    from shopstream.rehearsal.life.record import Result
    from shopstream.rehearsal.life.world import World

ORDERS_BY_SCHEDULE = 20
_LIVE = {"pending", "running", "stopping", "stopped"}


def infrastructure(world: World, result: Result) -> None:
    """Let the production's script apply all of Terraform, and ask the account what it has."""
    said = world.script(
        "deploy_all.sh",
        *world.place,
        *("--zips", str(world.zips), "--skip-zips", "--infrastructure-only", "--yes", "--json"),
        *("--admin-cidr", ADMIN_CIDR, "--ssh-public-key", str(world.hosts.state.public_key)),
        *("--var", "schedule_enabled=true", "--var", f"orders_per_invocation={ORDERS_BY_SCHEDULE}"),
    )
    result.counts = _checks(said)
    applied = counting.resources(world.infra)
    result.data["resources"] = applied.to_data()
    result.counts["resources"] = applied.line()
    applied.require_reasons()


def boot(world: World, result: Result) -> None:
    """Boot a machine for each instance, and compare both, one to one."""
    file = world.playbooks / "inventory.ini"
    world.tool("inventory", *world.place, "--ssh-private-key", str(world.hosts.state.key), "--output", str(file))
    text = file.read_text(encoding="utf-8")
    names = world.hosts.boot(parse(text, str(file)), text)
    if differing := unlike(instances(world), world.plan):
        raise RehearsalError("instances and machines differ: " + "; ".join(differing))
    result.counts = {"machines": ", ".join(names), "instances without a machine": "0"}


def instances(world: World) -> dict[str, tuple[str, str | None, str]]:
    """The account's instances by name: private address, public address, type."""

    def question(client: Callable[[str], Any]) -> dict[str, tuple[str, str | None, str]]:
        pages = client("ec2").get_paginator("describe_instances").paginate()
        found = [
            instance
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
            if instance["State"]["Name"] in _LIVE
        ]
        return {
            next((tag["Value"] for tag in each.get("Tags", ()) if tag["Key"] == "Name"), each["InstanceId"]): (
                each["PrivateIpAddress"],
                each.get("PublicIpAddress"),
                each["InstanceType"],
            )
            for each in found
        }

    return world.ask(question)


def unlike(found: dict[str, tuple[str, str | None, str]], plan: Plan) -> list[str]:
    """Where instances and machines differ. Pure.

    Args:
        found: The instances by name: private address, public address, type.
        plan: The machines.
    """
    booted = {
        guest.name: (str(guest.private_ip), str(guest.public_ip) if guest.public_ip else None, guest.instance_type)
        for guest in plan.guests
    }
    return [
        f"{name}: instance {found.get(name, 'none')}, machine {booted.get(name, 'none')}"
        for name in sorted(found.keys() | booted.keys())
        if found.get(name) != booted.get(name)
    ]


def firewall(world: World, result: Result) -> None:
    """Let the security groups decide from now on who reaches whom."""
    site = security(world)
    groups.apply(world.namespace, site)
    result.counts = {
        "security groups": str(len(site.group_names)),
        "rules": str(len(site.rules)),
        "who is guarded": ", ".join(party.name for party in site.parties),
    }


def security(world: World) -> Site:
    """The security groups, as the account has them, and who is in them."""
    gateway = world.plan.gateway
    lambdas = functions.address(world)
    operator = Operator(here=(gateway,), seen_as=IPv4Address(ADMIN_CIDR.partition("/")[0]))
    services = (
        Service("packages and archives", gateway, PORT, internet=True, as_port=PORT),
        Service("AWS for functions", gateway, FUNCTIONS_PORT, aws=frozenset({"dynamodb", "secretsmanager", "sts"})),
        # Lambda's own work (what runs a function, its log) is done outside of the VPC.
        Service("Lambda itself", gateway, CONTROL_PORT, unguarded=True),
    )
    return world.ask(
        lambda client: groups.describe(
            client("ec2"), client("lambda"), lambdas=lambdas, operator=operator, services=services
        )
    )


def configure(world: World, result: Result) -> None:
    """Let the production's script run the playbooks, enable the mappings, and ask AWS."""
    result.counts = deploy(world)
    tasks = counting.tasks(world.playbooks, world.infra / ".shopstream")
    result.data["tasks"] = tasks.to_data()
    result.counts["tasks"] = tasks.line()
    compared = site.compare(world.source, world.site)
    result.data["files"] = {**asdict(compared), "line": compared.line()}
    result.counts["files of infra/ and topology.yaml"] = compared.line()
    tasks.require_reasons()


def ansible_log_of(world: World) -> Path:
    """Where the production's script keeps what Ansible says."""
    return next((world.infra / ".shopstream").rglob("ansible.log"))


def deploy(world: World) -> dict[str, str]:
    """`deploy_all.sh --yes`, once more; what its checks count."""
    said = world.script(
        "deploy_all.sh",
        *world.place,
        *("--zips", str(world.zips), "--skip-zips", "--yes", "--json"),
        *("--ansible-variables", str(world.hosts.state.variables)),
    )
    return _checks(said)


def _checks(said: str) -> dict[str, str]:
    """How many checks AWS's answers have passed; a failed one ends the script with exit code 1."""
    checks = json.loads(said)["checks"]
    return {"things that AWS was asked": f"{len(checks)}, {sum(each['ok'] for each in checks)} as they shall be"}

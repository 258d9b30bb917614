"""`shopstream topology show|acls|check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

if TYPE_CHECKING:
    from shopstream.topology import Topology

_FILE = click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    help="The topology file; by default the one that comes with shopstream.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def topology() -> None:
    """Topics, services, users and ACLs, as topology.yaml has them."""


@topology.command()
@_FILE
@_JSON
def show(path: Path | None, as_json: bool) -> None:
    """Who reads and writes what."""
    loaded = _load(path)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(_as_data(loaded)), indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    topics = Table(
        "topic", "partitions", "keeps", "events", title="Topics", title_justify="left", box=None, pad_edge=False
    )
    for topic in loaded.topics.values():
        keeps = "latest" if topic.config["cleanup.policy"] == "compact" else _days(topic.config["retention.ms"])
        topics.add_row(topic.name, str(topic.partitions), keeps, ", ".join(topic.events) or f"[dim]{topic.about}[/dim]")
    services = Table("service", "reads", "writes", title="Services", title_justify="left", box=None, pad_edge=False)
    for service in loaded.services.values():
        services.add_row(service.name, "\n".join(service.reads), "\n".join(service.writes))
    operators = Table("operator", "may", title="Operators", title_justify="left", box=None, pad_edge=False)
    for operator in loaded.operators.values():
        reads = f"read {len(operator.reads)} topics" + (" and see the groups" if operator.watches_groups else "")
        operators.add_row(operator.name, "do everything" if operator.superuser else reads)
    console = Console()
    for table in (topics, services, operators):
        console.print(table)
        console.print()


@topology.command()
@_FILE
@_JSON
def acls(path: Path | None, as_json: bool) -> None:
    """Every ACL that follows from it: who may do what on which resource."""
    loaded = _load(path)
    if as_json:
        fields = ("user", "operation", "resource", "pattern", "name")
        click.echo(json.dumps([{field: getattr(acl, field) for field in fields} for acl in loaded.acls()], indent=2))
        return
    rows = [(acl.user, acl.operation, acl.resource, acl.pattern, acl.name) for acl in loaded.acls()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for user in loaded.superusers:
        click.echo(f"{user} is a superuser and needs none.")


@topology.command()
@_FILE
def check(path: Path | None) -> None:
    """Is it sound? Exit 2 and one line for each problem if it is not."""
    loaded = _load(path)
    counts = (
        (loaded.topics, "topics"),
        (loaded.services, "services"),
        (loaded.users, "users"),
        (loaded.acls(), "ACLs"),
    )
    click.echo("sound: " + ", ".join(f"{len(things)} {name}" for things, name in counts))


def _load(path: Path | None) -> Topology:
    from shopstream.topology import load

    return load(path)


def _as_data(loaded: Topology) -> dict[str, Any]:
    topics = {
        topic.name: {
            "about": topic.about,
            "partitions": topic.partitions,
            "replication": topic.replication,
            "config": dict(topic.config),
            "events": topic.events,
        }
        for topic in loaded.topics.values()
    }
    services = {
        service.name: {
            "reads": service.reads,
            "writes": service.writes,
            "group": service.group,
            "transactional_id_prefix": service.transactional_id_prefix,
            "options": dict(service.options),
        }
        for service in loaded.services.values()
    }
    operators = {
        operator.name: {
            "superuser": operator.superuser,
            "reads": operator.reads,
            "watches_groups": operator.watches_groups,
        }
        for operator in loaded.operators.values()
    }
    return {"topics": topics, "services": services, "operators": operators, "dead_letters": loaded.dead_letters}


def _days(milliseconds: str) -> str:
    hours = int(milliseconds) / 3_600_000
    return "for ever" if hours < 0 else f"{hours / 24:g} days" if hours >= 24 else f"{hours:g} hours"

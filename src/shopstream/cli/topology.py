"""`shopstream topology show|acls|check|apply`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from shopstream.cli.common import examples, topology_named

if TYPE_CHECKING:
    from shopstream.topology import Operator, Topology

_FILE = topology_named(
    "--file", "--topology", "path", about="The topology file; by default the one that comes with shopstream."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(
    epilog=examples("shopstream topology check", "shopstream topology show", "shopstream topology apply --check")
)
def topology() -> None:
    """Topics, services, users and ACLs, as topology.yaml has them."""


@topology.command(epilog=examples("shopstream topology show", "shopstream topology show --yaml > copy.yaml"))
@_FILE
@click.option("--yaml", "as_yaml", is_flag=True, help="Print the file as it is, for example to begin your own with.")
@_JSON
def show(path: Path | None, as_yaml: bool, as_json: bool) -> None:
    """Who reads and writes what."""
    loaded = _load(path)
    if as_yaml:
        from shopstream.topology import default_path

        click.echo((path or default_path()).read_text(encoding="utf-8"), nl=False)
        return
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
        events = ", ".join(topic.all_events) or f"[dim]{topic.about}[/dim]"
        topics.add_row(topic.name, str(topic.partitions), keeps, events)
    services = Table("service", "reads", "writes", title="Services", title_justify="left", box=None, pad_edge=False)
    for service in loaded.services.values():
        services.add_row(service.name, "\n".join(service.reads), "\n".join(service.writes))
    operators = Table("operator", "may", title="Operators", title_justify="left", box=None, pad_edge=False)
    for operator in loaded.operators.values():
        operators.add_row(operator.name, "\n".join(_rights(operator)))
    console = Console()
    for table in (topics, services, operators):
        console.print(table)
        console.print()


@topology.command(epilog=examples("shopstream topology acls", "shopstream topology acls --json"))
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


@topology.command(epilog=examples("shopstream topology check", "shopstream topology check --file my/topology.yaml"))
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


@topology.command(
    epilog=examples(
        "shopstream topology apply",
        "shopstream topology apply --cluster clients/admin.properties --check",
        "shopstream topology apply --cluster clients/admin.properties --passwords passwords.json --prune",
    )
)
@_FILE
@click.option("--cluster", type=click.Path(path_type=Path), metavar="PROPERTIES", help="Client properties of the cluster; the administrator's own file is taken from beside it. Default: the local cluster.")  # fmt: skip  # noqa: E501
@click.option("--passwords", metavar="FILE|-", help='The users\' passwords as JSON, {"user": "password"}; `-` reads them from standard input. Default: those in the users\' own files, beside the administrator\'s.')  # fmt: skip  # noqa: E501
@click.option("--keep-user", "keep", multiple=True, metavar="USER", help="A user that is no surplus, though the topology does not declare it; repeatable.")  # fmt: skip  # noqa: E501
@click.option("--brokers", type=click.IntRange(min=1), metavar="N", help="How many brokers the cluster has, if fewer than the topology wants copies.")  # fmt: skip  # noqa: E501
@click.option("--prune", is_flag=True, help="Remove what the topology does not declare; Kafka's own topics stay.")
@click.option("--check", "only_check", is_flag=True, help="Change nothing; exit 1 if something would be changed.")
@_JSON
def apply(
    *,
    path: Path | None,
    cluster: Path | None,
    passwords: str | None,
    keep: tuple[str, ...],
    brokers: int | None,
    prune: bool,
    only_check: bool,
    as_json: bool,
) -> int:
    """Bring a cluster to it: topics, users and ACLs, on Kafka 3.9 or 4.

    A user whose login with the given password is refused gets that password. What the topology does not declare is
    reported, and removed with --prune. A second call changes nothing.
    """
    from shopstream.cli import applying

    return applying.carry_out(
        _load(path), cluster, passwords, keep=keep, brokers=brokers, prune=prune, check=only_check, as_json=as_json
    )


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
            "own_events": topic.own_events,
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
            "inspects": operator.inspects,
            "owns": operator.owns,
            "feeds": operator.feeds,
        }
        for operator in loaded.operators.values()
    }
    return {"topics": topics, "services": services, "operators": operators, "dead_letters": loaded.dead_letters}


def _rights(operator: Operator) -> list[str]:
    if operator.superuser:
        return ["do everything"]
    rights = {
        f"read {len(operator.reads)} topics": bool(operator.reads),
        "see the groups": operator.watches_groups,
        "see configurations": operator.inspects,
        f"own {operator.owns}…": bool(operator.owns),
        f"write {', '.join(operator.feeds)}": bool(operator.feeds),
    }
    return [right for right, granted in rights.items() if granted]


def _days(milliseconds: str) -> str:
    hours = int(milliseconds) / 3_600_000
    return "for ever" if hours < 0 else f"{hours / 24:g} days" if hours >= 24 else f"{hours:g} hours"

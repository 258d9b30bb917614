"""`shopstream up`, `down`, `status` and `env`: the local Kafka."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from shopstream.cli.common import examples, topology_option

if TYPE_CHECKING:
    from shopstream.cluster.home import Home
    from shopstream.cluster.local import Up
    from shopstream.cluster.plan import Plan, Surplus
    from shopstream.cluster.status import BrokerStatus

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_HELP = {"help_option_names": ["-h", "--help"]}


@click.command(
    context_settings=_HELP,
    epilog=examples("shopstream up", "shopstream up --brokers 3", "SHOPSTREAM_HOME=/tmp/other shopstream up"),
)
@click.option("--brokers", type=click.Choice(["1", "3"]), help="How many; by default as many as there are, or 1.")
@click.option("--port", type=int, help="The first broker's port; by default the one of the last time, or 9094.")
@click.option("--prune", is_flag=True, help="Remove topics, users and ACLs that topology.yaml does not declare.")
@topology_option
@_JSON
def up(brokers: str | None, port: int | None, prune: bool, topology_file: Path | None, as_json: bool) -> None:
    """Start a secured Kafka on this machine.

    What runs already stays as it is; topics, users and ACLs are brought to what topology.yaml declares. Returns when
    every user can log in.
    """
    from shopstream.cluster.local import LocalCluster
    from shopstream.topology import load

    cluster = LocalCluster(
        _home().root,
        brokers=int(brokers) if brokers else None,
        port=port,
        topology=load(topology_file),
        progress=lambda line: _progress(line),
    )
    done = cluster.up(prune=prune)
    if as_json:
        click.echo(json.dumps(_up_as_data(done), indent=2))
        return
    verb = "is up" if done.started else "was up already"
    logins = f"all users can log in after {done.ready_s:.1f} s"
    click.echo(f"Kafka {verb} at {done.bootstrap_servers} (TLS, SCRAM); {logins}")
    for line in (*_changes(done.converged.plan), *_surplus(done.converged.left)):
        click.echo(f"  {line}")
    click.echo("next: `shopstream run --orders 1000`, `shopstream env`, `shopstream status`, `shopstream down`")


@click.command(context_settings=_HELP, epilog=examples("shopstream down", "shopstream down --wipe"))
@click.option("--wipe", is_flag=True, help="Delete all topics' data as well. Jars, passwords and certificates stay.")
@_JSON
def down(wipe: bool, as_json: bool) -> None:
    """Stop the local Kafka. Its data stay, unless --wipe is given."""
    from shopstream.cluster.local import LocalCluster

    stopped = LocalCluster(_home().root).down(wipe=wipe)
    if as_json:
        click.echo(json.dumps({"stopped": stopped, "wiped": wipe}))
        return
    what = f"stopped {_count(len(stopped), 'broker')}" if stopped else "nothing was running"
    click.echo(f"{what}; its data are deleted" if wipe else what)


@click.command(context_settings=_HELP, epilog=examples("shopstream status", "shopstream status --json"))
@_JSON
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Is it running, and what does it take? Exit 1 unless every broker is up."""
    from shopstream.cluster.local import LocalCluster

    found = LocalCluster(_home().root).status()
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    elif not found.brokers:
        click.echo(f"there is no cluster in {found.home}: `shopstream up` makes one")
    else:
        for broker in found.brokers:
            click.echo(_broker_line(broker))
            if broker.diagnosis:
                click.echo(f"  {broker.diagnosis}")
        click.echo(f"state directory {found.home}, clients connect to {found.bootstrap_servers}")
    ctx.exit(0 if found.up else 1)


@click.command(
    context_settings=_HELP,
    epilog=examples("shopstream env", "shopstream env --json", "shopstream env --librdkafka auditor > kcat.conf"),
)
@click.option("--librdkafka", "user", metavar="USER", help="Print USER's configuration for kcat, password included.")
@topology_option
@_JSON
def env(user: str | None, topology_file: Path | None, as_json: bool) -> None:
    """How any Kafka tool can connect: bootstrap servers, and a client properties file for each user."""
    from shopstream.cluster.local import LocalCluster
    from shopstream.settings import ClientSettings
    from shopstream.topology import load

    cluster = LocalCluster(_home().root, topology=load(topology_file))
    if user:
        config = ClientSettings.from_properties(cluster.properties(user)).to_librdkafka()
        click.echo("".join(f"{key}={value}\n" for key, value in config.items()), nl=False)
        return
    servers = cluster.bootstrap_servers
    users = {name: str(cluster.properties(name)) for name in cluster.topology.users}
    if as_json:
        data = {
            "bootstrap_servers": servers,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "ca": str(cluster.home.ca),
            "users": users,
        }
        click.echo(json.dumps(data, indent=2))
        return
    width = max(map(len, ("bootstrap servers", *users)))
    rows = {"bootstrap servers": servers, "certificate": str(cluster.home.ca), **users}
    for name, value in rows.items():
        click.echo(f"{name.ljust(width)}  {value}")
    click.echo(
        _examples(cluster.home, servers, cluster.topology.user_of("auditor"), cluster.topology.source.produces[0])
    )


def _home() -> Home:
    from shopstream.cluster.home import find

    return find(os.environ, Path.cwd())


def _progress(line: str) -> None:
    click.secho(line, err=True, dim=True)  # click leaves the style out where there is no terminal


def _up_as_data(done: Up) -> dict[str, Any]:
    plan = done.converged.plan
    return {
        "bootstrap_servers": done.bootstrap_servers,
        "started": done.started,
        "first_credential_s": round(done.first_credential_s, 3),
        "ready_s": round(done.ready_s, 3),
        "topics_created": sorted(plan.create),
        "topics_configured": sorted(plan.configure),
        "topics_recreated": sorted(plan.reshape),
        "users_created": plan.users,
        "acls_created": [str(acl) for acl in plan.grant],
        "undeclared": {
            "topics": plan.surplus.topics,
            "users": plan.surplus.users,
            "acls": [str(acl) for acl in plan.surplus.acls],
            "removed": done.converged.pruned,
        },
    }


def _changes(plan: Plan) -> list[str]:
    counts = {
        "created": ((plan.create, "topic"), (plan.users, "user"), (plan.grant, "ACL")),
        "configured": ((plan.configure, "topic"),),
        "made anew, with other partitions": ((plan.reshape, "topic"),),
    }
    lines = {
        verb: ", ".join(_count(len(things), name) for things, name in what if things) for verb, what in counts.items()
    }
    return [f"{verb}: {line}" for verb, line in lines.items() if line]


def _surplus(left: Surplus) -> list[str]:
    acls = (f"{acl.user} may {acl.operation} {acl.resource} {acl.name}" for acl in left.acls)
    named = {"topic": left.topics, "user": left.users, "ACL": tuple(acls)}
    lines = [f"not in topology.yaml: {kind} {name}" for kind, names in named.items() for name in names]
    return [*lines, "`shopstream up --prune` removes what topology.yaml does not declare"] if lines else []


def _broker_line(broker: BrokerStatus) -> str:
    line = f"broker {broker.id}  {broker.state:<8}  port {broker.client_port}"
    if broker.pid is not None and broker.uptime_s is not None and broker.memory_bytes is not None:
        line += f"  process {broker.pid}  since {_duration(broker.uptime_s)}  memory {broker.memory_bytes >> 20} MiB"
    return f"{line}  data {broker.data_bytes / (1 << 20):.1f} MiB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _examples(home: Home, servers: str, user: str, topic: str) -> str:
    file = home.properties(user)
    return f"""
with Kafka's own tools:
  kafka-console-consumer.sh --bootstrap-server {servers} --consumer.config {file} \\
    --topic {topic} --group {user}-1 --from-beginning
with kcat:
  kcat -F <(shopstream env --librdkafka {user}) -C -t {topic} -e
with Python:
  from confluent_kafka import Consumer
  from shopstream.settings import ClientSettings
  settings = ClientSettings.from_properties(Path("{file}"))
  consumer = Consumer({{**settings.to_librdkafka(), "group.id": "{user}-1", "auto.offset.reset": "earliest"}})"""

"""`shopstream rehearse`: a deployment's hosts on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shopstream.cli.common import checkout, examples, local_home, say
from shopstream.errors import UsageError

if TYPE_CHECKING:
    from shopstream.rehearsal.hosts import Hosts, HostStatus
    from shopstream.rehearsal.hosts.pages import Page

CACHE = "SHOPSTREAM_REHEARSAL_CACHE"

_HELP = {"help_option_names": ["-h", "--help"]}
_FILE = click.Path(path_type=Path)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_ANY_ARGUMENTS = {**_HELP, "ignore_unknown_options": True, "allow_interspersed_args": False}


@click.group(
    context_settings=_HELP,
    invoke_without_command=True,
    epilog=examples("shopstream rehearse", "shopstream rehearse --keep", "shopstream rehearse --only judge"),
)
@click.option(
    "--keep",
    is_flag=True,
    help="Leave everything up at the end, to look around (`rehearse shell`, `rehearse pages`); `rehearse hosts down` "
    "ends it.",
)
@click.option("--from", "begin", metavar="PHASE", help="Go on from this phase with what an earlier --keep has left.")
@click.option("--only", metavar="PHASE", help="Run this phase alone, on the same, and leave everything up.")
@_JSON
@click.pass_context
def rehearse(context: click.Context, keep: bool, begin: str | None, only: str | None, as_json: bool) -> int:
    """Rehearse a deployment on this machine: production's scripts, Terraform, playbooks and zips, through a whole life.

    Without a command: needs, supplies, zips, ground, infrastructure, boot, firewall, configure, poll, flow, judge,
    faults, change, teardown. It needs root on Debian or Ubuntu, Terraform, 5 GiB of memory and 6 GiB of disk, changes
    nothing outside of its state directory and namespaces, and takes 8 to 12 minutes. Ctrl-C clears everything away.
    Exit code 0: all phases succeeded; 1: one failed, and is named.
    """
    if context.invoked_subcommand is not None:
        if keep or begin or only or as_json:
            raise UsageError("--keep, --from, --only and --json belong to `shopstream rehearse` without a command")
        return 0
    from shopstream.cli.rehearsing import carry_out

    return carry_out(keep=keep, begin=begin, only=only, as_json=as_json)


@rehearse.command(
    context_settings=_HELP, epilog=examples("shopstream rehearse shell kafka1", "shopstream rehearse shell operator")
)
@click.argument("host")
def shell(host: str) -> int:
    """A shell on a machine that is up, as root; on "operator" one in the machines' network."""
    return _hosts().exec(host, ["bash", "-i"] if host == "operator" else ["bash", "-l"])


@rehearse.command(context_settings=_HELP, epilog=examples("shopstream rehearse pages"))
def pages() -> int:
    """Grafana, Prometheus and Control Center of the machines that are up, for a browser here. Ctrl-C ends it.

    Each is led to the same port of this computer's loopback, or to the next one that is free.
    """

    def told(ports: dict[Page, int]) -> None:
        for page, port in ports.items():
            login = f"user {page.user}, password in the secret {page.secret}" if page.secret else "no password"
            say(f"{page.name:<14}  http://localhost:{port}  {login}")
        say(
            "a password: shopstream rehearse hosts exec operator -- aws secretsmanager get-secret-value "
            "--query SecretString --output text --secret-id SECRET\nCtrl-C ends it"
        )

    try:
        _hosts().forward_pages(told)
    except KeyboardInterrupt:
        say("")
    return 0


@rehearse.group(
    context_settings=_HELP,
    epilog=examples(
        "shopstream rehearse hosts up",
        "shopstream rehearse hosts play infra/ansible/site.yml",
        "shopstream rehearse hosts down",
    ),
)
def hosts() -> None:
    """Booted Debian machines that stand in for EC2, for the unchanged playbooks (Debian or Ubuntu, as root)."""


@hosts.command(
    context_settings=_HELP,
    epilog=examples(
        "shopstream rehearse hosts up", "shopstream rehearse hosts up --inventory infra/ansible/inventory.ini"
    ),
)
@click.option("--inventory", type=_FILE, metavar="FILE", help="Whose hosts [a deployment's with all defaults].")
@click.option("--ssh-public-key", type=_FILE, metavar="FILE", help="A key that may log in, beside the rehearsal's own.")
@click.option("--no-aws", is_flag=True, help="Start nothing that stands in for AWS.")
@_JSON
def up(inventory: Path | None, ssh_public_key: Path | None, no_aws: bool, as_json: bool) -> None:
    """Boot a machine for each host of the inventory, and serve what they install."""
    checkout("`shopstream rehearse hosts up`")
    done = _hosts().up(inventory, ssh_public_key=ssh_public_key, aws=not no_aws)
    if as_json:
        from dataclasses import asdict

        say(json.dumps(asdict(done), indent=2))
    elif done.already:
        say(f"already up: {', '.join(done.hosts)}")
    else:
        say(
            f"up in {done.seconds:.1f} s: {', '.join(done.hosts)}\ninventory: {done.inventory}\nkey: {done.private_key}"
        )


@hosts.command(context_settings=_HELP, epilog=examples("shopstream rehearse hosts down"))
@_JSON
def down(as_json: bool) -> None:
    """End and delete the machines, and show that nothing is left of them."""
    remains = _hosts().down()
    say(json.dumps(remains.places, indent=2) if as_json else "nothing is left:\n" + "\n".join(remains.lines()))


@hosts.command(
    context_settings=_HELP,
    epilog=examples("shopstream rehearse hosts status", "shopstream rehearse hosts status --json"),
)
@_JSON
def status(as_json: bool) -> int:
    """How the machines are. Exit code 1 if one is not up, or there are none."""
    now = _hosts().status()
    if as_json:
        say(json.dumps(now.to_data(), indent=2))
    elif not now.up:
        say(f"no machines are up in {now.directory}")
        for place, found in now.leftovers.items():
            say(f"left over: {place}: {', '.join(found)}")
        if now.leftovers:
            say("`shopstream rehearse hosts down` clears it away")
    else:
        width = max(len(host.name) for host in now.hosts)
        for host in now.hosts:
            say(_line(host, width))
        for one, other in now.partitions:
            say(f"partition: {', '.join(one)} from {', '.join(other)}")
        if not now.services:
            say("the operator's services (supplies, stand-in for AWS) have ended: `hosts down`, then `up`")
    well = now.up and now.services and all(host.state == "up" and not host.unplugged for host in now.hosts)
    return 0 if well else 1


@hosts.command(
    "exec",
    context_settings=_ANY_ARGUMENTS,
    epilog=examples(
        "shopstream rehearse hosts exec kafka1 -- systemctl status kafka",
        "shopstream rehearse hosts exec operator -- aws s3 ls",
    ),
)
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(host: str, command: tuple[str, ...]) -> int:
    """Run COMMAND on HOST as root, or as "operator": in the machines' network, with what stands in for AWS.

    Give the command after `--`. Its exit code is this one's.
    """
    command = command[1:] if command[0] == "--" else command
    if not command:
        raise UsageError("say what to run, for example `exec kafka1 -- systemctl status kafka`")
    return _hosts().exec(host, command)


@hosts.command(
    context_settings=_ANY_ARGUMENTS,
    epilog=examples(
        "shopstream rehearse hosts play infra/ansible/site.yml",
        "shopstream rehearse hosts play infra/ansible/site.yml --limit kafka1",
    ),
)
@click.argument("playbook", type=_FILE)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def play(playbook: Path, arguments: tuple[str, ...]) -> int:
    """Run PLAYBOOK against the machines. What follows it goes to ansible-playbook."""
    return _hosts().play(playbook, arguments)


@hosts.command(
    context_settings=_HELP,
    epilog=examples("shopstream rehearse hosts cut kafka2", "shopstream rehearse hosts cut --all"),
)
@click.argument("names", nargs=-1, metavar="HOST...")
@click.option("--all", "everyone", is_flag=True, help="All machines at the same moment.")
def cut(names: tuple[str, ...], everyone: bool) -> None:
    """Crash machines. Their disks stay; `start` boots them again."""
    _hosts().cut(*_which(names, everyone))


@hosts.command(
    context_settings=_HELP,
    epilog=examples("shopstream rehearse hosts start kafka2", "shopstream rehearse hosts start --all"),
)
@click.argument("names", nargs=-1, metavar="HOST...")
@click.option("--all", "everyone", is_flag=True, help="All that are down.")
def start(names: tuple[str, ...], everyone: bool) -> None:
    """Boot machines that are down."""
    _hosts().start(*_which(names, everyone))


@hosts.command(context_settings=_HELP, epilog=examples("shopstream rehearse hosts freeze kafka3"))
@click.argument("names", nargs=-1, required=True, metavar="HOST...")
def freeze(names: tuple[str, ...]) -> None:
    """Let machines hang."""
    _hosts().freeze(*names)


@hosts.command(
    context_settings=_HELP,
    epilog=examples("shopstream rehearse hosts thaw kafka3", "shopstream rehearse hosts thaw --all"),
)
@click.argument("names", nargs=-1, metavar="HOST...")
@click.option("--all", "everyone", is_flag=True, help="All machines.")
def thaw(names: tuple[str, ...], everyone: bool) -> None:
    """Let machines go on."""
    _hosts().thaw(*_which(names, everyone))


@hosts.command(context_settings=_HELP, epilog=examples("shopstream rehearse hosts unplug zookeeper1"))
@click.argument("host")
def unplug(host: str) -> None:
    """Pull a machine's network cable."""
    _hosts().unplug(host)


@hosts.command(context_settings=_HELP, epilog=examples("shopstream rehearse hosts plug zookeeper1"))
@click.argument("host")
def plug(host: str) -> None:
    """Plug it in again."""
    _hosts().plug(host)


@hosts.command(
    context_settings=_HELP, epilog=examples("shopstream rehearse hosts partition kafka1 from zookeeper1 zookeeper2")
)
@click.argument("names", nargs=-1, required=True, metavar="HOST... from HOST...")
def partition(names: tuple[str, ...]) -> None:
    """Let two sides not hear each other: `partition kafka1 from zookeeper1 zookeeper2`. `heal` ends it."""
    if names.count("from") != 1:
        raise UsageError("say who shall not hear whom, for example `partition kafka1 from zookeeper1 zookeeper2`")
    middle = names.index("from")
    _hosts().partition(names[:middle], names[middle + 1 :])


@hosts.command(context_settings=_HELP, epilog=examples("shopstream rehearse hosts heal"))
def heal() -> None:
    """End all partitions."""
    _hosts().heal()


def _hosts() -> Hosts:
    from shopstream.rehearsal.hosts import Hosts

    cache = os.environ.get(CACHE)
    return Hosts(local_home(), cache=Path(cache) if cache else None, progress=lambda text: click.echo(text, err=True))


def _which(names: tuple[str, ...], everyone: bool) -> tuple[str, ...]:
    if bool(names) == everyone:
        raise UsageError("name the hosts, or say --all")
    return names


def _line(host: HostStatus, width: int) -> str:
    state = f"{host.state}, unplugged" if host.unplugged else host.state
    uptime = f"up {host.uptime:.0f} s" if host.uptime is not None else ""
    memory = f"{host.memory_used >> 20} of {host.memory_limit >> 20} MiB"
    return (
        f"{host.name.ljust(width)}  {state:<16} {host.private_ip:<15} {host.address:<15} {host.instance_type:<9} "
        f"{memory:>17}  {host.oom_kills} OOM kills  {uptime}"
    ).rstrip()

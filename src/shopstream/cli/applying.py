"""What `shopstream topology apply` does around the work itself: finds the cluster and the passwords, and reports."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from shopstream.cli.common import local_home, say
from shopstream.errors import SettingsError
from shopstream.settings import ClientSettings, Secret, for_user_or_itself

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shopstream.cluster.applying import Applied
    from shopstream.topology import Topology


def carry_out(
    topology: Topology,
    cluster: Path | None,
    passwords: str | None,
    *,
    keep: Sequence[str],
    brokers: int | None,
    prune: bool,
    check: bool,
    as_json: bool,
) -> int:
    """Apply a topology, and print what was changed. Returns the exit code.

    Args:
        topology: What shall be.
        cluster: A client properties file of the cluster; None for the local one.
        passwords: Where the passwords are: a file, `-` for standard input, None for the users' own files.
        keep: Users that are no surplus.
        brokers: How many brokers there are, where it is not what the topology wants.
        prune: Whether to remove the surplus.
        check: Whether to change nothing.
        as_json: Whether to print JSON.
    """
    from shopstream.cluster.applying import apply

    if cluster is None:
        cluster, brokers = _local(topology, brokers)
    settings = for_user_or_itself(cluster, topology.user_of("admin"))
    given = _beside(cluster, topology) if passwords is None else _given(passwords)
    done = apply(settings, topology, given, brokers=brokers, keep=keep, prune=prune, check=check)
    if as_json:
        say(json.dumps(done.to_data(), indent=2))
    else:
        say("\n".join(_report(done, check=check)))
    return 1 if check and done.changed else 0


def _local(topology: Topology, brokers: int | None) -> tuple[Path, int | None]:
    from shopstream.cluster.local import LocalCluster

    local = LocalCluster(local_home(), topology=topology)
    return local.properties(topology.user_of("admin")), brokers or len(local.bootstrap_servers.split(","))


def _beside(cluster: Path, topology: Topology) -> dict[str, Secret]:
    """The passwords of those users who have a file beside the cluster's."""
    files = {user: cluster.with_name(f"{user}.properties") for user in topology.users}
    found = {user: ClientSettings.from_properties(file).password for user, file in files.items() if file.is_file()}
    return {user: password for user, password in found.items() if password}


def _given(source: str) -> dict[str, Secret]:
    name = "standard input" if source == "-" else source
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        data = json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--passwords: {name} cannot be read ({error})") from error
    except ValueError as error:
        # The parser's own words would quote the text, passwords and all.
        raise SettingsError(f'--passwords: {name} holds no JSON: {{"user": "password"}} is expected') from error
    if not isinstance(data, dict) or not all(isinstance(word, str) and word for word in data.values()):
        raise SettingsError(f'--passwords: {name} holds something else than {{"user": "password"}}')
    return {user: Secret(password) for user, password in data.items()}


def _report(done: Applied, *, check: bool) -> Iterator[str]:
    """One line for each kind of change."""
    plan, removed, surplus = done.plan, done.removed, done.surplus
    would = "would be " if check else ""
    for names, what in (
        (sorted(plan.create), "created: topics"),
        (sorted(plan.configure), "configured: topics"),
        (sorted(plan.reshape), "made anew in another shape: topics"),
        (plan.users, "created: users"),
        (done.renewed, "given the new password: users"),
        (removed.topics, "removed: topics"),
        (removed.users, "removed: users"),
    ):
        if names:
            yield f"{would}{what} {', '.join(names)}"
    if plan.grant:
        yield f"{would}granted: {len(plan.grant)} ACLs"
    if removed.acls:
        yield f"{would}withdrawn: {len(removed.acls)} ACLs"
    if not done.changed:
        yield "nothing to do: the cluster has what the topology declares"
    for kind, left in (("topics", surplus.topics), ("users", surplus.users)):
        if left:
            yield f"not declared: {kind} {', '.join(left)} (--prune removes them)"
    for acl in surplus.acls:
        yield f"not declared: {acl.user} may {acl.operation} {acl.resource} {acl.name} (--prune withdraws it)"

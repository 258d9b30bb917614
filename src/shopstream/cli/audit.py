"""`shopstream audit`: judge what stands on the topics."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from shopstream.cli.common import examples, topology_option

if TYPE_CHECKING:
    from shopstream.audit import Verdict
    from shopstream.runs import Guarantee
    from shopstream.settings import ClientSettings
    from shopstream.topology import Topology

_FILE = click.Path(path_type=Path)


@click.command(
    epilog=examples(
        "shopstream audit",
        "shopstream audit --run-id demo-20261127-080000",
        "shopstream audit --cluster clients/auditor.properties --patience 0",
    )
)
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.option("--cluster", type=_FILE, metavar="PROPERTIES", help="Client properties of the cluster to audit; the auditor's own file is taken from beside it. Default: the local cluster.")  # fmt: skip  # noqa: E501
@click.option("--run-id", metavar="ID", help="Judge this run only.")
@click.option("--patience", type=click.FloatRange(min=0), default=60.0, show_default=True, metavar="SECONDS", help="How long an order may be without news before what it lacks is an anomaly.")  # fmt: skip  # noqa: E501
@click.option("--guarantee", type=click.Choice(["exactly-once", "at-least-once"]), help="Hold every run to this promise, whatever its progress record says.")  # fmt: skip  # noqa: E501
@topology_option
def audit(
    *,
    as_json: bool,
    cluster: Path | None,
    run_id: str | None,
    patience: float,
    guarantee: Guarantee | None,
    topology_file: Path | None,
) -> None:
    """Prove from the topics alone that every order had exactly one outcome.

    Exit code 0: nothing is wrong (orders may still be on their way); 1: something is, and is named.
    """
    import json
    import sys

    from shopstream import topology as topologies
    from shopstream.audit.report import render_report
    from shopstream.cli.common import report_console, say

    topology = topologies.load(topology_file)
    verdict = _audit(_settings(cluster, topology), topology, run_id=run_id, patience_s=patience, guarantee=guarantee)
    if as_json:
        say(json.dumps(verdict.to_data(), indent=2))
    else:
        render_report(verdict, report_console())
        if verdict.ok and verdict.pending:
            click.echo("Look again when they are done, or say --patience 0 to call them overdue now.", err=True)
    sys.exit(0 if verdict.ok else 1)


def _settings(cluster: Path | None, topology: Topology) -> ClientSettings:
    """How to connect as the auditor.

    Raises:
        UsageError: The local cluster was never started.
        SettingsError: A properties file is unusable.
    """
    from shopstream.settings import ClientSettings, for_user_or_itself

    user = topology.user_of("auditor")
    if cluster is None:
        from shopstream.cli.common import local_home
        from shopstream.cluster.local import LocalCluster

        return ClientSettings.from_properties(LocalCluster(local_home(), topology=topology).properties(user))
    return for_user_or_itself(cluster, user)


def _audit(
    settings: ClientSettings, topology: Topology, *, run_id: str | None, patience_s: float, guarantee: Guarantee | None
) -> Verdict:
    """Read everything that is there, once, and judge it.

    Raises:
        ClusterError: The cluster cannot be read.
        UsageError: It knows nothing of the run.
    """
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from shopstream.audit import Auditor, configured_rates
    from shopstream.audit.source import KafkaSource
    from shopstream.errors import UsageError

    auditor = Auditor(topology, expected_rates=configured_rates(topology), run_id=run_id, guarantee=guarantee)
    console = Console(stderr=True)
    columns = (TextColumn("reading"), BarColumn(), TextColumn("{task.completed:,.0f} records"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        with KafkaSource(
            settings, topology, auditor, progress=lambda done, total: bar.update(task, completed=done, total=total)
        ) as source:
            source.read_new()
    if run_id is not None and run_id not in auditor.known_runs:
        known = ", ".join(sorted(auditor.known_runs)) or "none"
        raise UsageError(f"there is no run {run_id!r} on {settings.bootstrap_servers}: known are: {known}")
    return auditor.verdict(round(time.time() * 1000), round(patience_s * 1000))

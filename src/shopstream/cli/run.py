"""`shopstream run` and `shopstream demo`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shopstream.cli.common import TOPOLOGY, examples, local_home, report_console, say, topology_option
from shopstream.errors import UsageError
from shopstream.events import valid_run_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

    from shopstream.run.fleet import MakeFleet
    from shopstream.runs import Guarantee, Platform, Run
    from shopstream.topology import Topology

_SHOP_RATE = 10.0  # orders a second on the shop's clock where no --rate says otherwise
_DEMO_RATE = 1_500.0  # orders a second: brisk, and no backlog hides how long an order takes
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")


@click.command(
    epilog=examples(
        "shopstream run --orders 1000",
        "shopstream run --orders 50000 --rate 2000 --workers 2",
        "shopstream run --orders 2000 --on lambda --faults redeliver=1,fail=0.1",
        "shopstream run --orders 500 --topology my/topology.yaml",
    )
)
@click.option(
    "--orders", type=click.IntRange(1, 100_000_000), metavar="N", required=True, help="How many orders to send."
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 1_000_000, min_open=True),
    metavar="R",
    help="Orders a second [as fast as possible].",
)
@click.option(
    "--seed", type=int, metavar="S", default=0, show_default=True, help="Chooses customers, baskets and outcomes."
)
@click.option("--run-id", metavar="ID", help="Names the run; used once on a cluster [made from the time].")
@click.option("--start", metavar="TIME", help="The shop's own clock at the first order, ISO 8601 [now].")
@click.option(
    "--workers",
    type=click.IntRange(1, 16),
    metavar="K",
    default=1,
    show_default=True,
    help="Instances of each service.",
)
@click.option(
    "--on",
    "platform",
    type=click.Choice(["worker", "lambda"]),
    default="worker",
    show_default=True,
    help="What runs the services: worker processes, or the Lambda zips behind a local event source mapping.",
)
@click.option(
    "--guarantee",
    type=click.Choice(["exactly-once", "at-least-once"]),
    help="With Kafka transactions, or without [exactly-once; on lambda at-least-once, the only one there].",
)
@click.option(
    "--faults",
    metavar="KIND=SHARE,…",
    help="On lambda: `redeliver`, `fail` or `crash` for a share (0 to 1) of the batches, and `restart=SECONDS`.",
)
@click.option(
    "--zips",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="On lambda: run these zips as they are [built from the checkout].",
)
@click.option(
    "--cluster",
    type=click.Path(path_type=Path),
    metavar="PROPERTIES",
    help="A client properties file of another cluster, the services' files beside it [the local cluster].",
)
@topology_option
@_JSON
def run(
    *,
    orders: int,
    rate: float | None,
    seed: int,
    run_id: str | None,
    start: str | None,
    workers: int,
    platform: Platform,
    guarantee: Guarantee | None,
    faults: str | None,
    zips: Path | None,
    cluster: Path | None,
    topology_file: Path | None,
    as_json: bool,
) -> int:
    """Send orders through the shop, wait for the last outcome, and audit it.

    Starts what is not running. The same --seed, --run-id, --start and --rate make the very same orders. Exit code 1 if
    any order did not have exactly one outcome.
    """
    from shopstream.runs import Run
    from shopstream.topology import load

    name = run_id or f"run-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if not valid_run_id(name):
        raise UsageError(f"--run-id {name!r}: use up to 64 of a-z, 0-9, '.', '_', '-', a letter or digit at both ends")
    if platform == "lambda" and guarantee == "exactly-once":
        raise UsageError("--guarantee exactly-once needs --on worker: an event source mapping delivers at least once")
    if platform == "worker" and (faults or zips):
        raise UsageError("--faults and --zips need --on lambda; to see a worker fail, kill -9 one of those in run.json")
    if platform == "lambda" and workers != 1:
        raise UsageError("--workers needs --on worker: on lambda there are as many environments as batches at a time")
    shop = load(topology_file)
    wanted = Run(
        run_id=name,
        orders=orders,
        seed=seed,
        start=_time(start) if start else datetime.now(UTC).replace(microsecond=0),
        shop_rate=rate or _SHOP_RATE,
        guarantee=guarantee or ("at-least-once" if platform == "lambda" else "exactly-once"),
        platform=platform,
    )
    make_fleet = None
    if platform == "lambda":
        if topology_file and not zips:
            raise UsageError(f"--topology (or {TOPOLOGY}) needs --zips on lambda: the topology is in the zips")
        from shopstream.cli.on_lambda import make_lambdas

        make_fleet = make_lambdas(zips, shop, faults, lambda text: click.echo(text, err=True))
    return _carry_out(
        wanted,
        shop,
        cluster,
        workers=workers,
        rate=rate,
        topology_file=topology_file,
        as_json=as_json,
        make_fleet=make_fleet,
        faults=faults,
        zips=zips,
    )


@click.command(epilog=examples("shopstream demo", "shopstream demo --orders 20000"))
@click.option(
    "--orders",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    default=5_000,
    show_default=True,
    help="How many orders.",
)
@topology_option
def demo(orders: int, topology_file: Path | None) -> int:
    """Start everything, send some thousand orders, show the report, and say what to try next."""
    from shopstream.runs import Run
    from shopstream.topology import load

    now = datetime.now(UTC)
    wanted = Run(
        run_id=f"demo-{now:%Y%m%d-%H%M%S}",
        orders=orders,
        seed=7,
        start=now.replace(microsecond=0),
        shop_rate=_SHOP_RATE,
    )
    code = _carry_out(wanted, load(topology_file), None, rate=_DEMO_RATE, topology_file=topology_file)
    click.echo(_NEXT.format(shopstream=_own_name()))
    return code


_NEXT = """
Kafka is still running. What to try next:

  {shopstream} env                              connect any Kafka tool, as any user
  {shopstream} run --orders 20000 --rate 500    a steady flow; kill -9 a worker while it runs
  {shopstream} run --orders 20000 --guarantee at-least-once
  {shopstream} audit                            judge everything that the topics hold
  {shopstream} topology acls                    who may do what
  {shopstream} status                           what it takes
  {shopstream} down                             stop it (--wipe deletes its data)
"""


def _own_name() -> str:
    """How this command can be called again: by its name if it is on the path, by its file if not."""
    return "shopstream" if shutil.which("shopstream") else os.path.relpath(sys.argv[0])


def _carry_out(
    wanted: Run,
    shop: Topology,
    cluster: Path | None,
    *,
    workers: int = 1,
    rate: float | None = None,
    topology_file: Path | None = None,
    as_json: bool = False,
    make_fleet: MakeFleet | None = None,
    faults: str | None = None,
    zips: Path | None = None,
) -> int:
    """Run and report. Returns the exit code."""
    from rich.console import Console

    from shopstream.audit.report import render_report
    from shopstream.run import Plan, Runner
    from shopstream.run.fleet import make_workers
    from shopstream.run.watching import LiveWatcher, PlainWatcher
    from shopstream.runtime.processor import check_cores, look_beside

    if topology_file:
        look_beside(topology_file)
    if make_fleet is None:
        check_cores(shop)
    news = Console(stderr=True)
    with _running(cluster, shop, news) as (properties, home):
        plan = Plan(wanted, properties, home, workers=workers, rate=rate, topology_file=topology_file)
        watcher = LiveWatcher(news, shop, wanted.orders) if news.is_terminal else PlainWatcher(sys.stderr, shop)
        try:
            with watcher:
                result = Runner(plan, shop, watcher, make_fleet or make_workers).run()
        except KeyboardInterrupt:
            options = {"rate": rate, "faults": faults, "zips": zips, "cluster": cluster, "topology": topology_file}
            click.echo(how_to_finish(wanted, workers, options), err=True)
            raise
    if as_json:
        say(json.dumps(result.to_data(), indent=2))
    else:
        render_report(result.verdict, report_console())
    if result.verdict.orders < wanted.orders:
        click.echo(f"error: only {result.verdict.orders:,} of {wanted.orders:,} orders were placed", err=True)
    if not result.ok:
        click.echo(f"the services' logs are in {home / 'logs'}", err=True)
    return 0 if result.ok else 1


@contextmanager
def _running(cluster: Path | None, shop: Topology, news: Console) -> Iterator[tuple[Path, Path]]:
    """A cluster that runs: a client properties file of it, and where this machine keeps logs and ledgers.

    A local cluster that had to be started stays up afterwards, but for an error or Ctrl-C: then nothing is left.
    """
    from shopstream.cluster.local import LocalCluster
    from shopstream.run.runner import uninterrupted

    home = local_home()
    if cluster is not None:
        yield cluster, home
        return
    local = LocalCluster(home, topology=shop, progress=lambda text: news.print(text, highlight=False, style="dim"))
    started = local.up().started
    try:
        yield local.properties(shop.user_of("auditor")), home
    except BaseException:
        if started:
            with uninterrupted():
                local.down()
        raise


def how_to_finish(wanted: Run, workers: int, options: Mapping[str, object]) -> str:
    """The command that goes on with a run, with those of the options that have a value."""
    words = [_own_name(), "run", "--orders", wanted.orders, "--run-id", wanted.run_id, "--seed", wanted.seed]
    words += ["--start", wanted.start.isoformat(), "--on", wanted.platform, "--guarantee", wanted.guarantee]
    words += ["--workers", workers] if wanted.platform == "worker" else []
    for name, value in options.items():
        words += [f"--{name}", value] if value is not None else []
    return f"\nTo finish this run later:\n  {shlex.join(map(str, words))}"


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--start {text!r} is no time: write it like 2026-11-27T08:00:00Z") from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

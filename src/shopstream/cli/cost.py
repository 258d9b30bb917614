"""`shopstream cost`: what a deployment costs."""

from __future__ import annotations

import math
from pathlib import Path

import click

from shopstream.cli.common import examples

_FILE = click.Path(path_type=Path)


@click.command(
    epilog=examples(
        "shopstream cost",
        "shopstream cost --hours 24 --orders 1000000",
        "shopstream cost --plan plan.json --plot cost.svg",
    )
)
@click.option("--hours", type=click.FloatRange(min=0, min_open=True, max=8760), default=3.0, show_default=True, metavar="H", help="How long a run is, from up to down.")  # fmt: skip  # noqa: E501
@click.option("--orders", type=click.IntRange(min=0, max=10**12), default=5000, show_default=True, metavar="N", help="How many orders it sends, evenly over its time.")  # fmt: skip  # noqa: E501
@click.option("--plan", "plan_path", type=_FILE, metavar="FILE", help="What `terraform show -json` prints of a plan. Default: a plan of infra/terraform with all defaults.")  # fmt: skip  # noqa: E501
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every price and its source.")
@click.option("--plot", "plot_path", type=_FILE, metavar="FILE.svg", help="Draw it as well.")
def cost(*, hours: float, orders: int, plan_path: Path | None, as_json: bool, plot_path: Path | None) -> None:
    """Estimate what a deployment costs: a run, an idle hour, a month, a million orders; and what each choice saves.

    From a Terraform plan and the price list that comes with shopstream, without an account. A resource whose price is
    not known is named.
    """
    import json

    from shopstream import topology as topologies
    from shopstream.cli.common import report_console, say
    from shopstream.cost.choices import choices
    from shopstream.cost.estimate import estimate
    from shopstream.cost.plan import default_plan, read_plan
    from shopstream.cost.plot import draw
    from shopstream.cost.prices import price_table
    from shopstream.cost.report import render, to_data
    from shopstream.errors import UsageError

    if math.isnan(hours):
        raise UsageError("--hours nan: a number of hours is expected, for example 3")
    topology = topologies.load()
    plan = default_plan() if plan_path is None else read_plan(plan_path)
    found = estimate(plan, topology, price_table(), hours=hours, orders=orders)
    others = choices(found, topology)
    if plot_path is not None:
        try:
            plot_path.write_text(draw(found, others), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--plot {plot_path}: the file cannot be written ({error.strerror})") from error
    if as_json:
        say(json.dumps(to_data(found, others), indent=2))
    else:
        render(found, others, report_console())

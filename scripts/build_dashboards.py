#!/usr/bin/env python3
"""Write Grafana's dashboards from their description in scripts/dashboards.

    python scripts/build_dashboards.py           writes infra/ansible/roles/grafana/files/dashboards/*.json
    python scripts/build_dashboards.py --check   writes nothing; exit 1 names what is stale

It needs grafana-foundation-sdk, which requirements-ansible.txt pins. The same description gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from grafana_foundation_sdk.builders import common as common_builders
    from grafana_foundation_sdk.builders import dashboard as dashboard_builders
    from grafana_foundation_sdk.builders import prometheus, stat, timeseries
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import common, dashboard
except ImportError:
    print("error: grafana-foundation-sdk is missing: install requirements-ansible.txt", file=sys.stderr)
    sys.exit(2)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.dashboards import hosts, kafka, zookeeper

if TYPE_CHECKING:
    from scripts.dashboards.model import Board, Choice, Panel, Row

BOARDS = (kafka.BOARD, zookeeper.BOARD, hosts.BOARD)
OUTPUT = Path(__file__).resolve().parents[1] / "infra/ansible/roles/grafana/files/dashboards"
SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="prometheus")  # as the role grafana provisions it
_STAT_HEIGHT = 4
_CHART_HEIGHT = 8


def main(argv: list[str] | None = None) -> int:
    """Write or check the dashboards; returns the exit code."""
    parser = argparse.ArgumentParser(description="Grafana's dashboards from their description.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the files lie")
    options = parser.parse_args(argv)
    wanted = {f"{board.uid}.json": to_json(board) for board in BOARDS}
    there = {path.name: path.read_text(encoding="utf-8") for path in sorted(options.output.glob("*.json"))}
    stale = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if options.check:
        for name in stale:
            print(f"stale: {options.output / name}: run scripts/build_dashboards.py", file=sys.stderr)
        return 1 if stale else 0
    options.output.mkdir(parents=True, exist_ok=True)
    for name in stale:
        path = options.output / name
        if name in wanted:
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
        print(f"{'wrote' if name in wanted else 'removed'} {path}")
    return 0


def to_json(board: Board) -> str:
    """A board as Grafana reads it from a file."""
    made = (
        dashboard_builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags(["shopstream"])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard_builders.DashboardLink("ShopStream")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags(["shopstream"])
            .keep_time(True)
        )
    )
    for choice in board.choices:
        made.with_variable(_variable(choice))
    number = 0
    for row in board.rows:
        number += 1
        made.with_row(_row(row, number))
        for panel in row.panels:
            number += 1
            made.with_panel(_panel(panel, number))
    return json.dumps(made.build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _variable(choice: Choice) -> Any:
    return (
        dashboard_builders.QueryVariable(choice.name)
        .label(choice.label)
        .datasource(SOURCE)
        .query(choice.values)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard.VariableOption(text="All", value="$__all", selected=True))
    )


def _row(row: Row, number: int) -> Any:
    return dashboard_builders.Row(row.title).id(number)


def _panel(panel: Panel, number: int) -> Any:
    made = _stat() if panel.kind == "stat" else _chart(panel)
    made.id(number).title(panel.title).description(panel.about).unit(panel.unit).datasource(SOURCE).span(panel.width)
    if panel.thresholds:
        steps = [dashboard.Threshold(value=value, color=color) for value, color in panel.thresholds]
        made.thresholds(dashboard_builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps))
    if panel.decimals is not None:
        made.decimals(panel.decimals)
    for position, query in enumerate(panel.queries):
        target = prometheus.Dataquery().datasource(SOURCE).expr(query.expr).ref_id(chr(ord("A") + position))
        made.with_target((target.instant() if panel.kind == "stat" else target.range()).legend_format(query.legend))
    return made


def _stat() -> Any:
    return (
        stat.Panel()
        .height(_STAT_HEIGHT)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _chart(panel: Panel) -> Any:
    made = (
        timeseries.Panel()
        .height(_CHART_HEIGHT)
        .min(0)
        .line_width(1)
        .fill_opacity(30 if panel.stacked else 8)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(
            common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
        )
    )
    if panel.maximum is not None:
        made.max(panel.maximum)
    if panel.stacked:
        made.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if panel.thresholds:
        made.thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    if any(query.legend == "maximum" for query in panel.queries):
        made.override_by_name(
            "maximum",
            [
                dashboard.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [8, 8]}),
                dashboard.DynamicConfigValue(id_val="custom.fillOpacity", value=0),
            ],
        )
    return made


if __name__ == "__main__":
    sys.exit(main())

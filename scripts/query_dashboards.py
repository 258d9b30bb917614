#!/usr/bin/env python3
"""Execute every query of every dashboard against a Prometheus, and name the panels that return no data.

    python scripts/query_dashboards.py --prometheus http://127.0.0.1:9090

Exit codes: 0 every query returns data; 1 a query returns none or is refused; 2 wrong use, or no Prometheus
there. Variables stand for everything, as a dashboard opens. It needs nothing but Python.
"""

from __future__ import annotations

import argparse
import base64
import json
import math
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

DASHBOARDS = Path(__file__).resolve().parents[1] / "infra/ansible/roles/grafana/files/dashboards"
_TIMEOUT_S = 15


@dataclass(frozen=True)
class Query:
    """One query of one panel."""

    board: str
    panel: str
    expr: str
    instant: bool


@dataclass(frozen=True)
class Finding:
    """A query that does not show anything, and why."""

    board: str
    panel: str
    expr: str
    reason: str


class UnreachableError(Exception):
    """There is no Prometheus at the address."""


class Prometheus:
    """The part of its HTTP interface that is needed here."""

    def __init__(self, address: str, user: str | None = None) -> None:
        self._address = address.rstrip("/")
        self._headers = {}
        if user:
            self._headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"

    def series(self, expr: str, *, instant: bool, seconds: int) -> tuple[int, str]:
        """How many series with a number the query returns, and why none.

        Raises:
            UnreachableError: Prometheus does not answer, or not as Prometheus does.
        """
        now = time.time()
        form: dict[str, Any] = {"query": expr, "time": now}
        if not instant:
            form = {"query": expr, "start": now - seconds, "end": now, "step": max(seconds // 60, 1)}
        address = f"{self._address}/api/v1/{'query' if instant else 'query_range'}"
        request = urllib.request.Request(address, urllib.parse.urlencode(form).encode(), self._headers)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            if error.code not in {400, 422}:  # those are Prometheus's words on a bad query
                raise UnreachableError(f"{address}: HTTP status {error.code}") from error
            return 0, f"refused: {_reason(error.read())}"
        except (OSError, ValueError) as error:
            raise UnreachableError(f"{address}: {error}") from error
        found = sum(1 for one in answer["data"]["result"] if _has_number(one))
        return found, "" if found else "no data"


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:200]


def _has_number(series: dict[str, Any]) -> bool:
    points = series.get("values") or [series.get("value", (0, "NaN"))]
    return any(not math.isnan(float(value)) for _, value in points)


def queries(board: dict[str, Any], interval: str, seconds: int) -> list[Query]:
    """Every query of a dashboard, with its variables filled in.

    Args:
        board: The dashboard, as its file has it.
        interval: What `$__rate_interval` stands for.
        seconds: What `$__range` stands for.
    """
    values = {"__rate_interval": interval, "__range": f"{seconds}s", "__interval": interval}
    for variable in board.get("templating", {}).get("list", []):
        values[variable["name"]] = variable.get("allValue") or ".*"
    found = []
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            expr = target["expr"]
            for name in sorted(values, key=len, reverse=True):
                expr = expr.replace(f"${{{name}}}", values[name]).replace(f"${name}", values[name])
            found.append(Query(board["title"], panel["title"], expr, bool(target.get("instant"))))
    return found


def main(argv: list[str] | None = None) -> int:
    """Ask every query; returns the exit code."""
    parser = argparse.ArgumentParser(description="Execute every dashboard's queries against a Prometheus.")
    parser.add_argument("--prometheus", required=True, metavar="URL", help="for example http://127.0.0.1:9090")
    parser.add_argument("--user", metavar="NAME:PASSWORD", help="for an address behind basic authentication")
    parser.add_argument("--dashboards", type=Path, default=DASHBOARDS, help="the directory of their files")
    parser.add_argument("--interval", default="1m", help="what $__rate_interval stands for (default: 1m)")
    parser.add_argument("--seconds", type=int, default=300, help="how far back to look (default: 300)")
    parser.add_argument("--json", action="store_true", help="report as JSON")
    options = parser.parse_args(argv)
    files = sorted(options.dashboards.glob("*.json"))
    if not files:
        print(f"error: no dashboard in {options.dashboards}: run scripts/build_dashboards.py", file=sys.stderr)
        return 2
    prometheus = Prometheus(options.prometheus, options.user)
    asked, findings = 0, []
    try:
        for path in files:
            board = json.loads(path.read_text(encoding="utf-8"))
            for query in queries(board, options.interval, options.seconds):
                asked += 1
                found, reason = prometheus.series(query.expr, instant=query.instant, seconds=options.seconds)
                if not found:
                    findings.append(Finding(query.board, query.panel, query.expr, reason))
    except UnreachableError as error:
        print(f"error: no answer from Prometheus: {error}", file=sys.stderr)
        return 2
    _report(len(files), asked, findings, as_json=options.json)
    return 1 if findings else 0


def _report(boards: int, asked: int, findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        found = [asdict(one) for one in findings]
        print(json.dumps({"ok": not findings, "boards": boards, "queries": asked, "findings": found}, indent=2))
        return
    for one in findings:
        print(f"{one.board} / {one.panel}: {one.reason}\n    {one.expr}")
    print(f"{asked} queries of {boards} dashboards: {asked - len(findings)} return data, {len(findings)} do not")


if __name__ == "__main__":
    sys.exit(main())

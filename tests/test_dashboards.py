"""The dashboards are sound: panels do not overlap, are explained, and ask for figures that the exporters export."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ROLES = ROOT / "infra/ansible/roles"
FILES = sorted((ROLES / "grafana/files/dashboards").glob("*.json"))
BOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FILES}
QUERY = ROOT / "scripts/query_dashboards.py"

boards = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())


def panels(board):
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions(board):
    return [target["expr"] for panel in panels(board) for target in panel["targets"]]


def test_there_is_one_each_for_kafka_zookeeper_and_hosts():
    assert set(BOARDS) == {"shopstream-kafka", "shopstream-zookeeper", "shopstream-hosts"}
    assert all(board["uid"] == name for name, board in BOARDS.items())


@pytest.mark.skipif(importlib.util.find_spec("grafana_foundation_sdk") is None, reason="needs requirements-ansible.txt")
def test_the_files_are_what_the_description_gives():
    subprocess.run([sys.executable, ROOT / "scripts/build_dashboards.py", "--check"], check=True)


@boards
def test_panels_lie_on_the_grid_and_do_not_overlap(board):
    taken = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["w"] > 0, panel["title"]
        assert place["h"] > 0, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]
    # Grafana moves panels up into holes: there are none.
    assert len(taken) == 24 * (max(y for _, y in taken) + 1)


@boards
def test_every_panel_is_explained_and_has_a_unit_and_a_source(board):
    for panel in panels(board):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "prometheus"}
            # A series without a legend shows its whole selector.
            assert target["legendFormat"] or panel["type"] == "stat", panel["title"]
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(numbers) == len(set(numbers))


@boards
def test_thresholds_rise(board):
    for panel in panels(board):
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        values = [step["value"] for step in steps]
        assert not values or values[0] is None, panel["title"]
        assert all(low < high for low, high in pairwise(values[1:])), panel["title"]


@boards
def test_a_counter_is_never_shown_bare(board):
    for expr in expressions(board):
        for found in re.finditer(r"\w+_total\b", expr):
            assert re.search(r"(rate\(|increase\(|count by \(instance\) \()$", expr[: found.start()]), expr


def exported_patterns():
    """A pattern for each name that the rules of the JMX agent can give."""
    patterns = []
    for part in ("kafka", "zookeeper"):
        rules = yaml.safe_load((ROLES / f"jmx_exporter/files/{part}.yml").read_text(encoding="utf-8"))["rules"]
        for rule in rules:
            groups = re.findall(r"\(([^()]*)\)", rule["pattern"])

            def fill(found, groups=groups):
                group = groups[int(found[1]) - 1]
                return f"(?:{group})" if re.fullmatch(r"[\w|]+", group) else r"\w+"

            patterns.append(re.compile(re.sub(r"\$(\d)", fill, rule["name"]), re.IGNORECASE))
    return patterns


def test_every_metric_of_kafka_and_zookeeper_is_one_that_the_agent_exports():
    exported = exported_patterns()
    alerts = (ROLES / "prometheus/templates/alerts.yml.j2").read_text(encoding="utf-8")
    asked = {
        "dashboards": "\n".join(expr for board in BOARDS.values() for expr in expressions(board)),
        "alerts": alerts,
    }
    for where, text in asked.items():
        names = set(re.findall(r"\b(?:kafka|zookeeper)_[a-z_]+\b", text)) - {"kafka_heap"}
        assert len(names) > 8, where
        unknown = {name for name in names if not any(pattern.fullmatch(name) for pattern in exported)}
        assert not unknown, where


def test_a_rule_that_is_missing_would_be_seen():
    assert not any(pattern.fullmatch("kafka_replicamanager_nonsense") for pattern in exported_patterns())


# --- scripts/query_dashboards.py -------------------------------------------------------------------------------------


class StandIn(BaseHTTPRequestHandler):
    """Answers like Prometheus: a series for whatever does not hold a word of `server.empty`."""

    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        query = form["query"][0]
        self.server.asked.append(query)
        series = {"metric": {}, "values": [[1, "NaN"], [2, "1"]]} if "range" in self.path else {"value": [1, "1"]}
        if any(word in query for word in self.server.nan):
            series = {"values": [[1, "NaN"]]} if "range" in self.path else {"value": [1, "NaN"]}
        if any(word in query for word in self.server.refused):
            self.answer(400, {"status": "error", "error": "parse error"})
        elif any(word in query for word in self.server.empty):
            self.answer(200, {"data": {"result": []}})
        else:
            self.answer(200, {"data": {"result": [series]}})

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture
def prometheus():
    with ThreadingHTTPServer(("127.0.0.1", 0), StandIn) as server:
        server.asked, server.empty, server.nan, server.refused = [], [], [], []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(address, *arguments):
    command = [sys.executable, QUERY, "--prometheus", address, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def address_of(server):
    return f"http://127.0.0.1:{server.server_port}"


def test_every_query_is_asked_with_its_variables_filled_in(prometheus):
    result = ask(address_of(prometheus))
    assert result.returncode == 0, result.stdout
    assert len(prometheus.asked) == sum(len(expressions(board)) for board in BOARDS.values())
    assert not [query for query in prometheus.asked if "$" in query]


@pytest.mark.parametrize(
    ("fault", "reason"), [("empty", "no data"), ("nan", "no data"), ("refused", "refused: parse error")]
)
def test_a_panel_without_data_is_named(prometheus, fault, reason):
    getattr(prometheus, fault).append("zookeeper_watchcount")
    result = ask(address_of(prometheus))
    assert result.returncode == 1
    assert f"ZooKeeper / Watches: {reason}" in result.stdout
    assert ", 1 do not" in result.stdout


def test_the_report_as_json_says_the_same(prometheus):
    prometheus.empty.append("zookeeper_watchcount")
    report = json.loads(ask(address_of(prometheus), "--json").stdout)
    assert not report["ok"]
    assert [(one["board"], one["panel"]) for one in report["findings"]] == [("ZooKeeper", "Watches")]


def test_no_prometheus_is_not_a_missing_panel():
    result = ask("http://127.0.0.1:9")
    assert result.returncode == 2
    assert "no answer from Prometheus" in result.stderr

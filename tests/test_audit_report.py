"""The report says what the verdict says, on a terminal of any width and on none."""

from __future__ import annotations

import io
import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from shopstream.audit import Auditor
from shopstream.audit.report import render_report
from shopstream.cli.audit import audit
from shopstream.errors import SettingsError, UsageError
from shopstream.events import order_id
from tests.audit_history import RATES, TOPOLOGY, History
from tests.test_audit_anomalies import PLANTS, bad

HOUR_MS = 3_600_000


def verdict_on(history: History, *, waited_ms: int = HOUR_MS):
    auditor = Auditor(TOPOLOGY, expected_rates=RATES)
    auditor.feed_many(history.records())
    return auditor.verdict(history.end_ms + waited_ms)


def rendered(verdict, width: int = 80) -> str:
    out = io.StringIO()
    render_report(verdict, Console(file=out, width=width))
    return out.getvalue()


def test_a_clean_run():
    text = rendered(verdict_on(History().add_run("r", 1_234)))
    assert text.startswith("OK  1,234 orders, each with exactly one outcome")
    assert "order to notification: p50" in text
    assert "expected 90.00%" in text
    assert "orders/s" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("anomaly", sorted(PLANTS))
def test_each_anomaly_is_shown_with_its_place(anomaly):
    history = History().add_run("r", 40)
    planted = PLANTS[anomaly](history)
    text = rendered(verdict_on(history), width=300)
    assert text.startswith("BROKEN")
    assert f"1 {anomaly}: " in text
    assert not planted.order or planted.order in text
    assert not planted.topic or planted.topic in text


@pytest.mark.parametrize("width", [30, 40, 60, 200])
def test_no_line_is_wider_than_the_terminal(width):
    history = History().add_run("a-run-with-a-long-name-that-does-not-end", 40).add_run("s", 10)
    PLANTS["amount_mismatch"](history)
    text = rendered(verdict_on(history), width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "amount_mismatch" in text


def test_more_anomalies_than_are_shown():
    history = History().add_run("r", 40)
    for number in range(20):
        history.repeat(order_id("r", number), "order_placed")
    text = rendered(verdict_on(history))
    assert "20 duplicate_event" in text
    assert "and 17 more" in text


def test_everything_that_is_no_anomaly_is_told_as_well():
    history = History().add_run("r", 40, guarantee="at-least-once").add_run("[by-hand]", 2, known=False)
    history.add_run("by-hand", 3, known=False)
    history.repeat(order_id("r", 3), "order_placed")
    history.add_letters(bad(history))
    history.drop(order_id("r", 39), "customer_notified")
    text = rendered(verdict_on(history, waited_ms=0))
    assert "so far: 1 of 45 orders still on their way" in text
    assert "1 byte-identical copies" in text
    assert "5 orders of runs that no progress record tells of" in text
    assert "1 records: 1 not_json" in text
    assert "2 of 2" in text
    assert "(no run)" in text


def test_an_empty_cluster():
    assert rendered(verdict_on(History())).startswith("OK  no orders yet")


def test_the_text_of_a_record_is_never_taken_for_markup():
    history = History().add_run("r", 4)
    history.add_bad(TOPOLOGY.topic_of["order_placed"], b"{", key=b"[red]order[/red][/bold]")
    assert "[red]order[/red][/bold]" in rendered(verdict_on(history), width=200)


@pytest.fixture
def topics(monkeypatch):
    """Let the command read this history in place of a cluster."""
    history = History()

    class Source:
        def __init__(self, settings, topology, auditor, *, progress):
            self.settings, self.auditor, self.progress = settings, auditor, progress

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read_new(self):
            self.auditor.feed_many(history.records())
            self.progress(1, 1)

    monkeypatch.setattr("shopstream.audit.source.KafkaSource", Source)
    return history


@pytest.fixture
def properties(tmp_path):
    path = tmp_path / "somebody.properties"
    path.write_text("bootstrap.servers=127.0.0.1:1\nsecurity.protocol=PLAINTEXT\n")
    return path


def run(*arguments: object):
    return CliRunner().invoke(audit, [str(argument) for argument in arguments])


def test_the_command_exits_0_when_all_is_well(topics, properties):
    topics.add_run("r", 40)
    result = run("--cluster", properties)
    assert result.exit_code == 0
    assert result.stdout.startswith("OK  40 orders")


def test_the_command_exits_1_on_an_anomaly(topics, properties):
    topics.add_run("r", 40)
    PLANTS["wrong_release"](topics)
    result = run("--cluster", properties, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["anomalies"]["wrong_release"]["count"] == 1


def test_the_command_knows_a_run_by_its_name(topics, properties):
    topics.add_run("r", 40).add_run("s", 10)
    result = run("--cluster", properties, "--run-id", "s", "--json")
    assert json.loads(result.stdout)["orders"] == 10
    unknown = run("--cluster", properties, "--run-id", "t")
    assert isinstance(unknown.exception, UsageError)
    assert "r, s" in str(unknown.exception)


def test_the_command_takes_another_promise(topics, properties):
    topics.add_run("r", 40)
    topics.repeat(order_id("r", 0), "order_placed")
    assert run("--cluster", properties).exit_code == 1
    assert run("--cluster", properties, "--guarantee", "at-least-once").exit_code == 0


def test_the_command_is_patient(topics, properties, monkeypatch):
    topics.add_run("r", 40)
    PLANTS["missing_notification"](topics)
    monkeypatch.setattr("time.time", lambda: topics.end_ms / 1000 + 1)
    patient = run("--cluster", properties)
    assert patient.exit_code == 0
    assert "--patience 0" in patient.stderr
    assert run("--cluster", properties, "--patience", "0.5").exit_code == 1


def test_the_auditors_own_file_beside_the_given_one_is_preferred(topics, properties, monkeypatch):
    monkeypatch.setattr(topics, "records", list)
    properties.with_name("auditor.properties").write_text("security.protocol=PLAINTEXT\n")
    result = run("--cluster", properties)
    assert isinstance(result.exception, SettingsError)
    assert "auditor.properties" in str(result.exception)


def test_a_file_that_is_not_there_is_said_so(tmp_path):
    assert isinstance(run("--cluster", tmp_path / "nothing.properties").exception, SettingsError)

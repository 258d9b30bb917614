"""The judgement on a living shop: what came back from the hosts is judged line by line, and asked for again."""

from types import SimpleNamespace

import pytest

from shopstream import topology as topologies
from shopstream.aws import verify as module
from shopstream.aws.ownership import Deployment
from shopstream.aws.verify import center_lines, log_lines, shop_lines, target_lines, verify

TOPOLOGY = topologies.load()
EVENTS = [event for topic in TOPOLOGY.topics.values() for event in topic.events]
INVENTORY = {
    "kafka": [{"name": "kafka1", "private_ip": "10.20.0.21"}],
    "monitoring": [{"name": "monitoring", "private_ip": "10.20.0.41"}],
    "bastion": [{"name": "bastion", "private_ip": "10.20.0.5"}],
}


def verdict(**changes):
    rate = {"observed": 0.89, "expected": 0.9, "decisions": 100, "tail": 0.4}
    return {
        "ok": True, "orders": 100, "pending": 0, "anomalies": {}, "funnel": dict.fromkeys(EVENTS, 5),
        "rates": {"payment_approved": rate}, "dead_letters": {"pending": 0}, **changes,
    }  # fmt: skip


def wrong(lines):
    return [line.what for line in lines if not line.ok]


def test_a_shop_that_works_has_no_wrong_line():
    assert wrong(shop_lines(verdict(), TOPOLOGY)) == []


def test_each_defect_has_its_line():
    sample = {"order_id": "o1", "topic": "notifications", "detail": "two of them"}
    broken = verdict(ok=False, anomalies={"notified_twice": {"count": 3, "samples": [sample]}})
    (line,) = [line for line in shop_lines(broken, TOPOLOGY) if not line.ok]
    assert "3 notified_twice" in line.found
    assert "o1: two of them" in line.found
    assert wrong(shop_lines(verdict(orders=0), TOPOLOGY)) == ["orders"]
    assert wrong(shop_lines(verdict(pending=1), TOPOLOGY)) == ["orders on their way"]
    funnel = {**dict.fromkeys(EVENTS, 5), "order_shipped": 0}
    assert wrong(shop_lines(verdict(funnel=funnel), TOPOLOGY)) == ["events on order_shipped"]
    rate = {"observed": 0.2, "expected": 0.9, "decisions": 1000, "tail": 1e-30}
    assert wrong(shop_lines(verdict(rates={"payment_approved": rate}), TOPOLOGY)) == ["rate of payment_approved"]


def test_a_function_without_lines_or_log_group_is_wrong():
    assert wrong(log_lines({"a": 1, "b": 0, "c": None})) == ["log of b", "log of c"]


def test_prometheus_must_reach_every_host_and_the_brokers_metrics():
    up = [{"scrapeUrl": f"http://10.20.0.{each}/metrics", "health": "up"} for each in ("21:9100", "21:7071", "41:9100")]
    assert wrong(target_lines(up, INVENTORY)) == []
    assert wrong(target_lines(up[1:], INVENTORY)) == ["Prometheus reaches kafka1:9100"]
    down = [*up[:1], {**up[1], "health": "down"}, up[2]]
    assert wrong(target_lines(down, INVENTORY)) == ["Prometheus reaches kafka1:7071"]


def test_control_center_must_answer_and_see_the_brokers_where_it_tells():
    assert wrong(center_lines({"status": 200, "brokers": None}, 3)) == []
    assert wrong(center_lines({"status": 503, "brokers": None}, 3)) == ["Control Center answers"]
    seen = {"status": 200, "brokers": {"brokers": [1, 2, 3], "with_metrics": [1, 2]}}
    assert wrong(center_lines(seen, 3)) == ["brokers that Control Center sees"]
    assert list(center_lines({"status": None}, 3)) == []


@pytest.fixture
def asked(monkeypatch):
    monkeypatch.setattr(module, "_logged", lambda aws, function: 4)
    monkeypatch.setattr(module, "_AGAIN_S", 0)
    deployment = Deployment.of(TOPOLOGY, name="shop", account="123456789012", region="us-east-1")

    def ask(*verdicts, wait_s=10.0):
        left = list(verdicts)
        calls = []

        def judge(outputs, *, patience_s):
            calls.append(patience_s)
            found = left.pop(0) if len(left) > 1 else left[0]
            return {"audit": found, "targets": [], "control_center": {"status": 200, "brokers": None}}

        found = verify(
            aws=None, deployment=deployment, topology=TOPOLOGY, outputs={"inventory": {}}, tell=lambda _: None,
            ansible=SimpleNamespace(judge=judge), wait_s=wait_s,
        )  # fmt: skip
        return found, len(calls)

    return ask


def test_orders_on_their_way_are_waited_for(asked):
    found, calls = asked(verdict(pending=3), verdict())
    assert (found.ok, calls) == (True, 2)
    assert found.to_data()["logs"]["shop-order_generator"] == 4


def test_but_not_for_ever_and_an_anomaly_stays_one(asked):
    found, calls = asked(verdict(pending=3), wait_s=0)
    assert (found.ok, calls) == (False, 1)
    found, calls = asked(verdict(ok=False, anomalies={"lost": {"count": 1, "samples": []}}))
    assert (found.ok, calls) == (False, 1)

"""A sound history audits clean, however it is read; and what the auditor remembers stays small."""

from __future__ import annotations

import gc
import json
import random
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shopstream.audit import Auditor
from shopstream.audit.ledger import TYPE_NAMES, Fact, FinishedOrders, Order
from shopstream.audit.runbook import RunBook
from shopstream.events import order_id
from shopstream.records import Record
from tests.audit_history import RATES, START_MS, STEP_MS, TOPOLOGY, History, chain, interleave
from tests.test_audit_anomalies import VARIANTS, bad

HOUR_MS = 3_600_000


def new_auditor(**options) -> Auditor:
    return Auditor(TOPOLOGY, expected_rates=RATES, **options)


def audit(history: History, **options):
    auditor = new_auditor(**options)
    auditor.feed_many(history.records())
    return auditor.verdict(history.end_ms + HOUR_MS)


@settings(max_examples=40, deadline=None)
@given(orders=st.integers(0, 30), seed=st.integers(0, 10**6), order=st.randoms(use_true_random=False))
def test_a_sound_history_is_clean_in_any_order_of_reading(orders, seed, order):
    history = History().add_run("r", orders, seed=seed)
    auditor = new_auditor()
    auditor.feed_many(interleave(history.partitions(), order))
    verdict = auditor.verdict(history.end_ms)
    assert verdict.ok
    assert verdict.settled
    assert verdict == audit(history)
    assert verdict.orders == orders == sum(verdict.outcomes.values())
    assert auditor.open_orders == 0


@settings(max_examples=40, deadline=None)
@given(
    variant=st.sampled_from(VARIANTS), cuts=st.lists(st.integers(0, 260), max_size=5), patience=st.integers(0, 10**5)
)
def test_any_split_gives_the_same_verdict(variant, cuts, patience):
    history = History().add_run("r", 40)
    variant[1](history)
    records = history.records()
    whole, split = new_auditor(), new_auditor()
    whole.feed_many(records)
    bounds = [0, *sorted(min(cut, len(records)) for cut in cuts), len(records)]
    for start, stop in pairwise(bounds):
        split.feed_many(records[start:stop])
        split.verdict(history.end_ms, patience)  # must not change anything
    now_ms = history.end_ms + patience // 2
    assert split.verdict(now_ms, patience) == whole.verdict(now_ms, patience) == whole.verdict(now_ms, patience)


@settings(max_examples=30, deadline=None)
@given(stop=st.integers(0, 250), order=st.randoms(use_true_random=False))
def test_an_order_under_way_is_pending_until_its_time_is_up(stop, order):
    """Cut a sound history anywhere in time, and read it in any order: nothing is wrong yet."""
    history = History().add_run("r", 40)
    auditor = new_auditor()
    end_ms = START_MS + stop
    history.entries = [entry for entry in history.entries if entry.timestamp_ms <= end_ms and entry.event]
    auditor.feed_many(interleave(history.partitions(), order))
    verdict = auditor.verdict(end_ms, 1_000)
    assert verdict.ok
    finished = sum(verdict.outcomes.values())
    assert verdict.orders - finished <= verdict.pending <= verdict.orders
    assert all(money.difference == 0 for money in verdict.money.values())
    overdue = auditor.verdict(end_ms + 1_000, 1_000)
    assert overdue.ok == (verdict.pending == 0)
    assert overdue.pending == 0


def test_runs_are_judged_each_alone_and_all_together():
    history = History().add_run("first", 30)
    history.add_run("second", 50, start_ms=START_MS + 10**6, guarantee="at-least-once")
    history.add_run("third-2", 20, start_ms=START_MS + 2 * 10**6, seed=1)
    history.repeat(order_id("second", 7), "order_placed")
    history.repeat(order_id("third-2", 7), "order_placed")
    verdict = audit(history)
    assert not verdict.ok
    assert {run_id: (run.ok, run.orders) for run_id, run in verdict.runs.items()} == {
        "first": (True, 30),
        "second": (True, 50),
        "third-2": (False, 20),
    }
    assert verdict.orders == 100
    assert verdict.duplicates == verdict.runs["second"].duplicates == 1
    assert verdict.guarantee is None
    assert verdict.money["EUR"].approved == sum(run.money["EUR"].approved for run in verdict.runs.values())


@pytest.mark.parametrize("run_id", ["first", "second", "third-2"])
def test_narrowing_to_a_run_says_of_it_what_the_whole_audit_says(run_id):
    history = History().add_run("first", 30).add_run("second", 50, guarantee="at-least-once").add_run("third-2", 20)
    history.add_run("third", 10)  # a prefix of another run's name
    history.repeat(order_id("second", 7), "order_placed")
    history.drop(order_id("first", 7), "order_placed")
    bad(history)
    whole, alone = audit(history), audit(history, run_id=run_id)
    assert list(alone.runs) == [run_id]
    assert alone.runs[run_id] == whole.runs[run_id]
    assert alone.bad_records == {}
    assert whole.bad_records == {"not_json": 1}
    assert "dead_letter_missing" in whole.anomalies
    assert "dead_letter_missing" not in alone.anomalies


def test_narrowing_counts_what_names_the_run_in_its_key():
    history = History().add_run("r", 20).add_run("other", 20)
    history.add_bad(TOPOLOGY.topic_of["order_placed"], b"{", key=b"r-00000003")
    assert audit(history, run_id="r").anomalies["dead_letter_missing"].count == 2
    assert audit(history, run_id="other").ok


def test_an_auditor_narrowed_to_nothing_tells_which_runs_there_are():
    auditor = new_auditor(run_id="nothing")
    auditor.feed_many(History().add_run("r", 5).add_run("by-hand", 5, known=False).records())
    assert auditor.known_runs == {"r", "by-hand"}
    assert auditor.verdict(START_MS).orders == 0


def test_orders_by_hand_are_judged_like_any_other():
    history = History().add_run("r", 20).add_run("by-hand", 5, known=False)
    for delay_ms, event in chain("Order #1 / 2026", approved=True, reserved=True):
        history.add(event, START_MS + delay_ms)
    verdict = audit(history)
    assert verdict.ok
    assert verdict.unknown_orders == 6
    assert verdict.runs[""].orders == 1
    history.repeat("Order #1 / 2026", "order_shipped")
    history.drop(order_id("by-hand", 0), "customer_notified")
    assert set(audit(history).anomalies) == {"duplicate_event", "missing_notification"}


def test_orders_by_hand_are_held_to_the_weakest_promise_that_was_given():
    history = History().add_run("by-hand", 5, known=False)
    history.repeat(order_id("by-hand", 0), "order_placed")
    assert not audit(history).ok
    history.add_run("r", 5, guarantee="at-least-once")
    assert audit(history).ok


def test_an_order_with_an_absurd_number_costs_nothing():
    history = History().add_run("r", 20)
    order = order_id("r", 10**12 - 1)
    for delay_ms, event in chain(order, approved=True, reserved=True):
        history.add(event, START_MS + delay_ms)
    (sample,) = audit(history).anomalies["unacknowledged_order"].samples
    assert sample.order_id == order


@pytest.mark.parametrize(("run_id", "committed", "lost"), [("r", 20, 0), ("r", 22, 2), ("r", 19, 0), ("other", 3, 3)])
def test_what_a_ledger_acknowledges_counts_like_a_progress_record(run_id, committed, lost):
    history = History().add_run("r", 20, known=run_id == "other")
    for narrowed in (None, "r"):
        auditor = new_auditor(run_id=narrowed)
        auditor.feed_many(history.records())
        auditor.acknowledge(run_id, committed)
        anomalies = auditor.verdict(history.end_ms).anomalies
        expected = 0 if narrowed not in {None, run_id} else lost
        assert (anomalies["lost_order"].count if "lost_order" in anomalies else 0) == expected


def test_an_acknowledged_order_is_pending_until_its_time_is_up():
    """Kafka makes a transaction visible in one partition after the other: progress may be there before the orders."""
    history = History().add_run("r", 20)
    history.add_progress("r", 25, timestamp_ms=START_MS + 1_000)
    history.drop(order_id("r", 19), "order_placed")
    auditor = new_auditor()
    auditor.feed_many(history.records())
    early = auditor.verdict(START_MS + 2_000, 5_000)
    assert early.ok
    assert early.pending == 6
    late = auditor.verdict(START_MS + 6_000, 5_000)
    assert late.settled
    assert late.anomalies["lost_order"].count == 6


def test_the_order_generator_may_be_ahead_of_what_was_read_of_its_progress():
    history = History().add_run("r", 40, known=False)
    history.add_progress("r", 30)
    auditor = new_auditor()
    auditor.feed_many(history.records())
    assert auditor.verdict(history.end_ms).ok
    assert auditor.verdict(history.end_ms + HOUR_MS).anomalies["unacknowledged_order"].count == 10
    late = History()
    late.add_progress("r", 40)
    auditor.feed_many(late.records())
    assert auditor.verdict(history.end_ms + HOUR_MS).ok


def test_a_tombstone_is_no_progress_and_rubbish_is_a_bad_record():
    history = History().add_run("r", 5)
    progress = TOPOLOGY.source.progress
    history.add_bad(progress, None, key=b"old")
    assert audit(history).bad_records == {}
    history.add_bad(progress, b"{}", key=b"old")
    assert audit(history).bad_records == {"not_a_run": 1}
    assert audit(history).ok


def test_other_services_state_is_not_looked_at():
    history = History().add_run("r", 5)
    history.add_bad("shipping_handler_state", b"\x00\x01")
    assert audit(history).bad_records == {}


def retention_of(history: History, keep_from_ms: int, *topics: str) -> dict[tuple[str, int], int]:
    """Delete what is older, and say where each partition begins then."""
    begins = {}
    for place, records in history.partitions().items():
        if place[0] in topics:
            begins[place] = sum(record.timestamp_ms < keep_from_ms for record in records)
    return begins


@pytest.mark.parametrize("topics", [("order_placed",), ("order_placed", "payment_result", "notifications")])
def test_what_retention_may_have_taken_is_cut_off_and_no_anomaly(topics):
    history = History().add_run("r", 200)
    history.add_run("later", 20, start_ms=START_MS + HOUR_MS)
    begins = retention_of(history, START_MS + 500, *topics)
    auditor = new_auditor()
    for (topic, partition), offset in begins.items():
        auditor.begins_at(topic, partition, offset)
    for record in history.records():
        if record.offset >= begins.get((record.topic, record.partition), 0):
            auditor.feed(record)
    verdict = auditor.verdict(history.end_ms, 1_000)
    assert verdict.ok
    assert verdict.cut_off >= 100 - 1
    assert verdict.runs["later"].cut_off == 0
    assert verdict.money["EUR"].difference == 0
    assert verdict.settled


def test_what_is_younger_than_the_cut_is_judged():
    history = History().add_run("r", 20).add_run("later", 20, start_ms=START_MS + HOUR_MS)
    history.drop(order_id("later", 5), "customer_notified")
    history.drop(order_id("later", 6), "order_placed")
    begins = retention_of(history, START_MS + 20, "order_placed")
    auditor = new_auditor()
    for place, offset in begins.items():
        auditor.begins_at(*place, offset)
    auditor.feed_many(r for r in history.records() if r.offset >= begins.get((r.topic, r.partition), 0))
    verdict = auditor.verdict(history.end_ms + 1_000, 1_000)
    assert set(verdict.runs["later"].anomalies) == {"lost_order", "missing_notification"}
    assert verdict.runs["r"].ok


def test_a_contradiction_is_wrong_even_when_cut_off():
    history = History().add_run("r", 40)
    order = history.orders("payment_approved", "stock_reserved")[0]
    history.add(chain(order, approved=False, reserved=True)[1][1], START_MS + 15)
    history.drop(order, "order_placed")
    auditor = new_auditor()
    for number in range(6):
        auditor.begins_at(TOPOLOGY.topic_of["order_placed"], number, 1)
    auditor.feed_many(history.records())
    assert set(auditor.verdict(history.end_ms + HOUR_MS).anomalies) == {"two_payment_decisions"}


def test_latency_comes_from_the_records():
    verdict = audit(History().add_run("r", 500))
    assert verdict.latency_ms.max == 3 * STEP_MS
    assert verdict.latency_ms.p50 == pytest.approx(3 * STEP_MS, rel=0.01)
    assert verdict.stages_ms["payment"].p99 == pytest.approx(STEP_MS, rel=0.01)
    assert verdict.stages_ms["outcome"].max == 2 * STEP_MS


def test_throughput_is_of_the_time_in_which_a_run_was_running():
    history = History().add_run("r", 101, gap_ms=10).add_run("s", 101, gap_ms=10, start_ms=START_MS + HOUR_MS)
    verdict = audit(history)
    assert verdict.runs["r"].throughput == pytest.approx(101 / 1.03, rel=0.01)
    assert verdict.throughput == pytest.approx(101 / 1.03, rel=0.01)


def test_the_verdict_is_plain_data():
    data = json.loads(json.dumps(audit(History().add_run("r", 10)).to_data()))
    assert data["ok"] is True
    assert data["anomalies"] == {}
    assert set(data) >= {
        "orders", "pending", "duplicates", "dead_letters", "bad_records", "cut_off", "funnel", "outcomes", "rates",
        "money", "throughput", "latency_ms", "runs",
    }  # fmt: skip
    assert data["runs"]["r"]["ok"] is True


def test_an_expected_rate_must_be_one_of_a_decision():
    with pytest.raises(ValueError, match="order_shipped"):
        Auditor(TOPOLOGY, expected_rates={"order_shipped": 0.5})


def test_memory_is_bounded_by_what_is_under_way_not_by_what_was():
    auditor = new_auditor()
    next_offset: dict[tuple[str, int], int] = {}

    def feed(numbers) -> int:
        """Orders one after the other. Returns how many were under way at most."""
        most = 0
        for number in numbers:
            history = History()
            for delay_ms, event in chain(order_id("r", number), approved=True, reserved=True):
                e = history.add(event, START_MS + number * 100 + delay_ms)
                place = (e.topic, e.partition)
                next_offset[place] = offset = next_offset.get(place, -1) + 1
                auditor.feed(Record(e.topic, e.partition, offset, e.timestamp_ms, e.key, e.value))
                most = max(most, auditor.open_orders)
        return most

    assert feed(range(1_000)) == 1
    gc.collect()
    tracemalloc.start()
    try:
        assert feed(range(1_000, 5_000)) == 1
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown / 4_000 < 40  # bytes an order


def test_finished_orders_are_found_again_and_gaps_are_seen():
    book = RunBook("r", 10)
    finished = FinishedOrders()
    rng = random.Random(0)
    numbers = sorted(rng.sample(range(2_000), 700))
    for number in numbers:
        order = Order(order_id("r", number), book, number, number % 6, 0)
        order.facts = [Fact(0, number, 0)] * len(TYPE_NAMES)
        finished.put(order, number % 4)
    assert finished.count == 700
    assert list(finished.absent(100, 1_500)) == [n for n in range(100, 1_500) if n not in set(numbers)]
    assert list(finished.present(1_000)) == [(n, n % 6) for n in numbers if n >= 1_000]
    assert finished.take("r-00000000", book, numbers[3], 0).partition == numbers[3] % 6
    assert finished.take("r-00000000", book, numbers[3], 0) is None
    assert finished.count == 699

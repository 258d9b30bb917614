"""Each anomaly is found when exactly that fault is planted in a sound history, and nothing else is found then."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest

from shopstream import deadletter
from shopstream.audit import ANOMALIES, Auditor, Verdict
from shopstream.errors import BadRecord
from shopstream.events import Line, encode, order_id
from tests.audit_history import RATES, START_MS, TOPOLOGY, Entry, History, chain, consumers, interleave, partition_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from shopstream.runs import Guarantee

SHIPPED = ("payment_approved", "stock_reserved")
DECLINED = ("payment_declined", "stock_reserved")
OUT_OF_STOCK = ("payment_approved", "stock_rejected")
BOTH = ("payment_declined", "stock_rejected")
GHOST = order_id("r", 4711)
LATER_MS = 3_600_000


@dataclass
class Planted:
    """What was planted: where it must show, and what else follows from it by the shop's own rules."""

    order: str | None
    topic: str | None
    implied: set[str] = field(default_factory=set)


def event_of(order: str, event_type: str, *, approved: bool, reserved: bool):
    return next(
        event for _, event in chain(order, approved=approved, reserved=reserved) if event.event_type == event_type
    )


def topic(event_type: str) -> str:
    return TOPOLOGY.topic_of[event_type]


PLANTS: dict[str, Callable[[History], Planted]] = {}
VARIANTS: list[tuple[str, Callable[[History], Planted]]] = []


def plants(anomaly: str):
    def note(plant: Callable[[History], Planted]) -> Callable[[History], Planted]:
        PLANTS.setdefault(anomaly, plant)
        VARIANTS.append((anomaly, plant))
        return plant

    return note


@plants("lost_order")
def lost_without_a_trace(history: History) -> Planted:
    order = history.orders(*SHIPPED)[5]
    history.entries = [e for e in history.entries if not (e.event and e.event.order_id == order)]
    return Planted(order, topic("order_placed"))


@plants("lost_order")
def lost_though_handled(history: History) -> Planted:
    order = history.orders(*SHIPPED)[5]
    history.drop(order, "order_placed")
    return Planted(order, topic("order_placed"))


@plants("lost_order")
def lost_at_the_end(history: History) -> Planted:
    history.add_progress("r", 41)
    return Planted(order_id("r", 40), topic("order_placed"))


@plants("unacknowledged_order")
def one_more_than_committed(history: History) -> Planted:
    order = order_id("r", 40)
    for delay_ms, event in chain(order, approved=True, reserved=True):
        history.add(event, START_MS + 300 + delay_ms)
    return Planted(order, topic("order_placed"))


@plants("effect_without_cause")
def mail_out_of_nowhere(history: History) -> Planted:
    history.add(event_of(GHOST, "customer_notified", approved=True, reserved=True))
    return Planted(GHOST, topic("customer_notified"))


@plants("effect_without_cause")
def whole_chain_out_of_nowhere(history: History) -> Planted:
    for _, event in chain(GHOST, approved=True, reserved=True)[1:]:
        history.add(event)
    return Planted(GHOST, topic("payment_approved"))


def _twice(event_type: str, *decisions: str) -> Callable[[History], Planted]:
    def plant(history: History) -> Planted:
        order = history.orders(*decisions)[-1]
        history.repeat(order, event_type)
        return Planted(order, topic(event_type))

    return plant


for _type, _decisions in {
    "order_placed": SHIPPED,
    "payment_approved": SHIPPED,
    "payment_declined": DECLINED,
    "stock_reserved": SHIPPED,
    "stock_rejected": BOTH,
    "stock_released": DECLINED,
    "order_shipped": SHIPPED,
    "order_cancelled": DECLINED,
}.items():
    plants("duplicate_event")(_twice(_type, *_decisions))
plants("double_refund")(_twice("payment_refunded", *OUT_OF_STOCK))
plants("double_notification")(_twice("customer_notified", *DECLINED))


@plants("conflicting_duplicate")
def second_parcel(history: History) -> Planted:
    order = history.orders(*SHIPPED)[-1]
    history.repeat(order, "order_shipped", tracking_number="2")
    return Planted(order, topic("order_shipped"), {"money_imbalance"})


@plants("conflicting_duplicate")
def second_rejection(history: History) -> Planted:
    order = history.orders(*BOTH)[-1]
    history.repeat(order, "stock_rejected", missing=("A-999",))
    return Planted(order, topic("stock_rejected"))


@plants("double_refund")
def second_refund_of_another_amount(history: History) -> Planted:
    order = history.orders(*OUT_OF_STOCK)[-1]
    history.repeat(order, "payment_refunded", amount=1)
    return Planted(order, topic("payment_refunded"), {"money_imbalance"})


@plants("double_notification")
def second_mail_of_another_kind(history: History) -> Planted:
    order = history.orders(*SHIPPED)[-1]
    history.repeat(order, "customer_notified", kind="payment_declined")
    return Planted(order, topic("customer_notified"))


@plants("missing_payment_decision")
def payment_stuck(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    history.drop(order, "payment_approved", "order_shipped", "customer_notified")
    return Planted(order, topic("order_placed"))


@plants("missing_inventory_decision")
def stock_stuck(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    history.drop(order, "stock_reserved", "order_shipped", "customer_notified")
    return Planted(order, topic("order_placed"), {"money_imbalance"})


@plants("two_payment_decisions")
def declined_too(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    history.add(event_of(order, "payment_declined", approved=False, reserved=True))
    return Planted(order, topic("payment_declined"))


@plants("two_inventory_decisions")
def rejected_too(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    history.add(event_of(order, "stock_rejected", approved=True, reserved=False))
    return Planted(order, topic("stock_rejected"))


@plants("not_shipped")
def shipping_stuck(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    history.drop(order, "order_shipped", "customer_notified")
    return Planted(order, topic("payment_approved"), {"money_imbalance"})


@plants("not_cancelled")
def cancelling_stuck(history: History) -> Planted:
    order = history.orders(*BOTH)[0]
    history.drop(order, "order_cancelled")
    return Planted(order, topic("payment_declined"))


@plants("shipped_and_cancelled")
def both_ends(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    cancelled = event_of(order, "order_cancelled", approved=True, reserved=False)
    placed = history.find(order, "order_placed").event
    history.add(msgspec.structs.replace(cancelled, release=placed.lines))
    return Planted(order, topic("order_cancelled"))


@plants("shipped_without_payment")
def shipped_though_declined(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    history.drop(order, "payment_approved")
    history.add(event_of(order, "payment_declined", approved=False, reserved=True), START_MS)
    return Planted(order, topic("order_shipped"), {"money_imbalance"})


@plants("shipped_without_payment")
def shipped_without_any_decision(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    history.drop(order, "payment_approved")
    return Planted(order, topic("order_shipped"), {"money_imbalance"})


@plants("shipped_without_stock")
def shipped_though_rejected(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    history.drop(order, "stock_reserved")
    history.add(event_of(order, "stock_rejected", approved=True, reserved=False), START_MS)
    return Planted(order, topic("order_shipped"))


@plants("shipped_without_stock")
def shipped_before_stock_was_asked(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    history.drop(order, "stock_reserved")
    return Planted(order, topic("order_shipped"))


@plants("cancelled_wrongly")
def good_order_cancelled(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    placed = history.find(order, "order_placed").event
    history.drop(order, "order_shipped", "customer_notified")
    cancelled = event_of(order, "order_cancelled", approved=True, reserved=False)
    history.add(msgspec.structs.replace(cancelled, release=placed.lines))
    history.add(event_of(order, "payment_refunded", approved=True, reserved=False))
    history.add(event_of(order, "stock_released", approved=False, reserved=True))
    history.add(event_of(order, "customer_notified", approved=False, reserved=True))
    return Planted(order, topic("order_cancelled"))


@plants("wrong_cancel_reason")
def another_reason(history: History) -> Planted:
    order = history.orders(*DECLINED)[0]
    history.change(order, "order_cancelled", reason="out_of_stock")
    return Planted(order, topic("order_cancelled"))


@plants("wrong_cancel_reason")
def half_the_reason(history: History) -> Planted:
    order = history.orders(*BOTH)[0]
    history.change(order, "order_cancelled", reason="out_of_stock")
    return Planted(order, topic("order_cancelled"))


@plants("missing_refund")
def money_kept(history: History) -> Planted:
    order = history.orders(*OUT_OF_STOCK)[0]
    history.drop(order, "payment_refunded")
    return Planted(order, topic("order_cancelled"), {"money_imbalance"})


@plants("wrong_refund_amount")
def refunded_too_little(history: History) -> Planted:
    order = history.orders(*OUT_OF_STOCK)[0]
    history.change(order, "payment_refunded", amount=1)
    return Planted(order, topic("payment_refunded"), {"money_imbalance"})


@plants("wrong_refund_amount")
def cancelled_with_too_little(history: History) -> Planted:
    order = history.orders(*OUT_OF_STOCK)[0]
    history.change(order, "order_cancelled", refund=1)
    return Planted(order, topic("order_cancelled"))


@plants("wrong_refund_amount")
def cancelled_with_money_that_was_never_paid(history: History) -> Planted:
    order = history.orders(*DECLINED)[0]
    history.change(order, "order_cancelled", refund=1)
    return Planted(order, topic("order_cancelled"))


@plants("refund_without_cause")
def refund_of_a_shipped_order(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    history.add(event_of(order, "payment_refunded", approved=True, reserved=False))
    return Planted(order, topic("payment_refunded"), {"money_imbalance"})


@plants("refund_without_cause")
def refund_of_a_declined_order(history: History) -> Planted:
    order = history.orders(*DECLINED)[0]
    history.add(event_of(order, "payment_refunded", approved=True, reserved=False))
    return Planted(order, topic("payment_refunded"), {"money_imbalance"})


@plants("refund_without_cause")
def refund_before_any_cancellation(history: History) -> Planted:
    order = history.orders(*OUT_OF_STOCK)[0]
    history.drop(order, "order_cancelled")
    return Planted(order, topic("payment_refunded"), {"not_cancelled"})


@plants("missing_release")
def stock_kept(history: History) -> Planted:
    order = history.orders(*DECLINED)[0]
    history.drop(order, "stock_released")
    return Planted(order, topic("order_cancelled"))


@plants("wrong_release")
def released_something_else(history: History) -> Planted:
    order = history.orders(*DECLINED)[0]
    history.change(order, "stock_released", lines=(Line("A-999", "Another", 1, 1),))
    return Planted(order, topic("stock_released"))


@plants("wrong_release")
def cancelled_with_stock_that_was_never_reserved(history: History) -> Planted:
    order = history.orders(*BOTH)[0]
    history.change(order, "order_cancelled", release=(Line("A-999", "Another", 1, 1),))
    return Planted(order, topic("order_cancelled"))


@plants("release_without_cause")
def release_of_a_shipped_order(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    history.add(event_of(order, "stock_released", approved=False, reserved=True))
    return Planted(order, topic("stock_released"))


@plants("release_without_cause")
def release_of_what_was_rejected(history: History) -> Planted:
    order = history.orders(*BOTH)[0]
    history.add(event_of(order, "stock_released", approved=False, reserved=True))
    return Planted(order, topic("stock_released"))


@plants("release_without_cause")
def release_before_any_cancellation(history: History) -> Planted:
    order = history.orders(*DECLINED)[0]
    history.drop(order, "order_cancelled", "customer_notified")
    return Planted(order, topic("stock_released"), {"not_cancelled"})


@plants("missing_notification")
def nobody_told(history: History) -> Planted:
    order = history.orders(*SHIPPED)[3]
    history.drop(order, "customer_notified")
    return Planted(order, topic("order_shipped"))


@plants("missing_notification")
def nobody_told_of_the_missing_stock(history: History) -> Planted:
    order = history.orders(*BOTH)[0]
    history.drop(order, "customer_notified")
    return Planted(order, topic("stock_rejected"))


@plants("missing_notification")
def nobody_told_of_the_declined_payment(history: History) -> Planted:
    order = history.orders(*DECLINED)[0]
    history.drop(order, "customer_notified")
    return Planted(order, topic("order_cancelled"))


@plants("wrong_notification")
def wrong_news(history: History) -> Planted:
    order = history.orders(*OUT_OF_STOCK)[0]
    history.change(order, "customer_notified", kind="shipped")
    return Planted(order, topic("customer_notified"))


@plants("wrong_notification")
def false_hope(history: History) -> Planted:
    order = history.orders(*DECLINED)[0]
    history.change(order, "customer_notified", kind="out_of_stock")
    return Planted(order, topic("customer_notified"))


@plants("amount_mismatch")
def declined_another_amount(history: History) -> Planted:
    order = history.orders(*DECLINED)[0]
    history.change(order, "payment_declined", amount=1)
    return Planted(order, topic("payment_declined"))


@plants("amount_mismatch")
def shipped_for_another_amount(history: History) -> Planted:
    order = history.orders(*SHIPPED)[0]
    history.change(order, "order_shipped", amount=1)
    return Planted(order, topic("order_shipped"), {"money_imbalance"})


@plants("currency_mismatch")
def declined_in_another_currency(history: History) -> Planted:
    order = history.orders(*DECLINED)[0]
    history.change(order, "payment_declined", currency="USD")
    return Planted(order, topic("payment_declined"))


@plants("currency_mismatch")
def refunded_in_another_currency(history: History) -> Planted:
    order = history.orders(*OUT_OF_STOCK)[0]
    history.change(order, "payment_refunded", currency="USD")
    return Planted(order, topic("payment_refunded"), {"money_imbalance"})


@plants("lines_mismatch")
def shipped_something_else(history: History) -> Planted:
    order = history.orders(*SHIPPED)[0]
    history.change(order, "order_shipped", lines=(Line("A-999", "Another", 1, 1),))
    return Planted(order, topic("order_shipped"))


@plants("partition_mismatch")
def strayed(history: History) -> Planted:
    order = history.orders(*SHIPPED)[0]
    entry = history.find(order, "customer_notified")
    entry.partition = (entry.partition + 1) % 6
    return Planted(order, topic("customer_notified"))


@plants("money_imbalance")
def money_vanishes(history: History) -> Planted:
    """No single order shows it: another approval under the same name, of an order that was done long ago."""
    order = history.orders(*SHIPPED)[0]
    history.repeat(order, "payment_approved", amount=1)
    return Planted(None, None, {"conflicting_duplicate"})


@plants("rate_deviation")
def nobody_can_pay(history: History) -> Planted:
    for number in range(40, 80):
        for delay_ms, event in chain(order_id("r", number), approved=False, reserved=True):
            history.add(event, START_MS + 5 * number + delay_ms)
    history.add_progress("r", 80)
    return Planted(None, None)


def bad(history: History) -> Entry:
    return history.add_bad(topic("order_placed"), b"{", key=b"key", partition=3)


@plants("dead_letter_missing")
def one_service_forgets(history: History) -> Planted:
    entry = bad(history)
    history.add_letter(entry, consumers(entry.topic)[1])
    return Planted("key", entry.topic)


@plants("dead_letter_duplicate")
def dead_lettered_twice(history: History) -> Planted:
    entry = bad(history)
    history.add_letters(entry)
    history.add_letter(entry, consumers(entry.topic)[0])
    return Planted("key", TOPOLOGY.dead_letters)


@plants("dead_letter_unfounded")
def good_record_dead_lettered(history: History) -> Planted:
    order = history.orders(*SHIPPED)[0]
    entry = history.find(order, "order_placed")
    history.add_letter(entry, consumers(entry.topic)[0])
    return Planted(order, TOPOLOGY.dead_letters)


@plants("dead_letter_unfounded")
def origin_does_not_exist(history: History) -> Planted:
    history.add_letter(
        Entry(topic("order_placed"), 0, START_MS, b"key", b"{"), consumers(topic("order_placed"))[0], offset=10**6
    )
    return Planted("key", TOPOLOGY.dead_letters)


@plants("dead_letter_unfounded")
def no_origin(history: History) -> Planted:
    history.add_bad(TOPOLOGY.dead_letters, b"{")
    return Planted("key", TOPOLOGY.dead_letters)


@plants("dead_letter_unfounded")
def service_that_does_not_consume_the_topic(history: History) -> Planted:
    entry = bad(history)
    history.add_letters(entry)
    history.add_letter(entry, "shipping_handler")
    return Planted("key", TOPOLOGY.dead_letters)


def judge(history: History, *, guarantee: Guarantee | None = None, rng: random.Random | None = None) -> Verdict:
    auditor = Auditor(TOPOLOGY, expected_rates=RATES, guarantee=guarantee)
    auditor.feed_many(history.records() if rng is None else interleave(history.partitions(), rng))
    return auditor.verdict(history.end_ms + LATER_MS)


def test_every_anomaly_has_a_plant():
    assert set(PLANTS) == set(ANOMALIES)


@pytest.mark.parametrize("rng", [None, random.Random(1), random.Random(2)], ids=["by time", "shuffled", "shuffled 2"])
@pytest.mark.parametrize(("anomaly", "plant"), VARIANTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_planted_fault_is_named_and_nothing_else(anomaly, plant, rng):
    history = History().add_run("r", 40)
    planted = plant(history)
    verdict = judge(history, rng=rng)
    assert not verdict.ok
    assert set(verdict.anomalies) == {anomaly} | planted.implied
    found = verdict.anomalies[anomaly]
    assert found.count == 1
    (sample,) = found.samples
    assert sample.order_id == planted.order
    if anomaly != "partition_mismatch" or rng is None:  # which one strayed depends on which is read first
        assert sample.topic == planted.topic
    assert sample.detail
    assert verdict.runs["r"].anomalies.keys() | verdict.runs.get("", verdict.runs["r"]).anomalies.keys() == set(
        verdict.anomalies
    )


@pytest.mark.parametrize(("anomaly", "plant"), VARIANTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_sample_points_at_the_record(anomaly, plant):
    history = History().add_run("r", 40)
    plant(history)
    records = {(r.topic, r.partition, r.offset): r for r in history.records()}
    for sample in judge(history).anomalies[anomaly].samples:
        if sample.offset is not None:
            record = records[sample.topic, sample.partition, sample.offset]
            assert (record.key or b"").decode() == sample.order_id


AT_ONCE = {
    "duplicate_event", "conflicting_duplicate", "double_refund", "double_notification",
    "two_payment_decisions", "two_inventory_decisions", "shipped_and_cancelled", "cancelled_wrongly",
    "wrong_cancel_reason", "wrong_refund_amount", "wrong_release", "wrong_notification", "amount_mismatch",
    "currency_mismatch", "lines_mismatch", "partition_mismatch", "rate_deviation", "dead_letter_duplicate",
    "money_imbalance", "shipped_without_payment", "shipped_without_stock", "refund_without_cause",
    "release_without_cause",
}  # fmt: skip


@pytest.mark.parametrize("anomaly", sorted(set(ANOMALIES) - {"dead_letter_unfounded"}))
def test_what_is_missing_is_pending_first_and_what_is_wrong_is_wrong_at_once(anomaly):
    history = History().add_run("r", 40)
    PLANTS[anomaly](history)
    auditor = Auditor(TOPOLOGY, expected_rates=RATES)
    auditor.feed_many(history.records())
    soon = auditor.verdict(history.end_ms)
    assert (anomaly in soon.anomalies) == (anomaly in AT_ONCE)
    if anomaly not in AT_ONCE | {"unacknowledged_order"}:
        assert soon.ok
        assert not soon.settled
    overdue = auditor.verdict(history.end_ms + 60_000)
    assert anomaly in overdue.anomalies
    assert overdue.settled


@pytest.mark.parametrize("event_type", ["order_placed", "payment_refunded", "stock_rejected", "customer_notified"])
def test_at_least_once_counts_identical_copies_apart(event_type):
    history = History().add_run("r", 40, guarantee="at-least-once")
    order = history.orders(*OUT_OF_STOCK)[0]
    history.repeat(order, event_type)
    history.repeat(order, event_type)
    verdict = judge(history)
    assert verdict.ok
    assert verdict.duplicates == 2
    assert verdict.orders == 40
    assert verdict.money["EUR"].difference == 0


def test_at_least_once_does_not_excuse_other_content():
    history = History().add_run("r", 40, guarantee="at-least-once")
    history.repeat(history.orders(*BOTH)[0], "stock_rejected", missing=("A-999",))
    assert set(judge(history).anomalies) == {"conflicting_duplicate"}


def test_at_least_once_counts_dead_letter_copies_apart():
    history = History().add_run("r", 40, guarantee="at-least-once")
    entry = bad(history)
    history.add_letters(entry)
    history.add_letter(entry, consumers(entry.topic)[0])
    verdict = judge(history)
    assert verdict.ok
    assert verdict.dead_letters.duplicates == 1


def test_the_caller_may_demand_more_or_less_than_was_promised():
    history = History().add_run("r", 40, guarantee="at-least-once")
    history.repeat(history.orders(*SHIPPED)[0], "order_shipped")
    assert set(judge(history, guarantee="exactly-once").anomalies) == {"duplicate_event"}
    history = History().add_run("r", 40)
    history.repeat(history.orders(*SHIPPED)[0], "order_shipped")
    assert judge(history, guarantee="at-least-once").ok


def test_a_late_contradiction_of_a_finished_order_is_found_and_counted_once():
    history = History().add_run("r", 40)
    order = history.orders(*SHIPPED)[0]
    history.add(event_of(order, "payment_declined", approved=False, reserved=True), START_MS + 10**6)
    history.add(event_of(order, "payment_declined", approved=False, reserved=True), START_MS + 2 * 10**6)
    verdict = judge(history)
    assert {name: anomaly.count for name, anomaly in verdict.anomalies.items()} == {
        "two_payment_decisions": 1,
        "duplicate_event": 1,
    }
    assert verdict.orders == sum(verdict.outcomes.values()) == 40


def test_a_late_copy_in_another_partition_is_a_stray_as_well():
    history = History().add_run("r", 40, guarantee="at-least-once")
    order = history.orders(*SHIPPED)[0]
    history.repeat(order, "order_shipped").partition = (partition_of(order) + 1) % 6
    verdict = judge(history)
    assert set(verdict.anomalies) == {"partition_mismatch"}
    assert verdict.duplicates == 1


def test_samples_are_bounded_and_the_count_is_not():
    history = History().add_run("r", 400)
    orders = history.orders(*SHIPPED)
    for order in orders:
        history.repeat(order, "order_shipped")
    auditor = Auditor(TOPOLOGY, expected_rates=RATES, max_samples=3)
    auditor.feed_many(history.records())
    found = auditor.verdict(history.end_ms).anomalies["duplicate_event"]
    assert found.count == len(orders)
    assert len(found.samples) == 3


def test_a_dead_letter_for_each_service_is_what_a_bad_record_needs():
    history = History().add_run("r", 40)
    bads = [
        bad(history),
        history.add_bad(topic("order_placed"), None, key=None),
        history.add_bad(topic("payment_approved"), b"[]", key=b"\xff\xfe", partition=1),
        history.add_bad(topic("order_cancelled"), encode_wrong_topic(), partition=2),
    ]
    for entry in bads:
        history.add_letters(entry)
    history.add_bad(topic("customer_notified"), b"no service reads this")
    verdict = judge(history)
    assert verdict.ok
    assert verdict.bad_records == {"empty": 1, "not_an_object": 1, "not_json": 2, "wrong_topic": 1}
    assert verdict.dead_letters.expected == verdict.dead_letters.found == sum(len(consumers(e.topic)) for e in bads)
    assert verdict.runs["r"].bad_records == {}


def encode_wrong_topic() -> bytes:
    return encode(chain(order_id("r", 0), approved=True, reserved=True)[0][1])


def test_a_record_whose_letter_was_cut_off_is_not_unfounded():
    history = History().add_run("r", 40)
    entry = bad(history)
    history.add_letters(entry)
    history.entries.remove(entry)
    auditor = Auditor(TOPOLOGY, expected_rates=RATES)
    auditor.feed_many(history.records())
    auditor.begins_at(entry.topic, entry.partition, 10**6)
    verdict = auditor.verdict(history.end_ms + LATER_MS)
    assert "dead_letter_unfounded" not in verdict.anomalies
    assert verdict.dead_letters.cut_off == len(consumers(entry.topic))


def test_origin_round_trip_and_replay():
    headers = deadletter.headers_for(
        BadRecord("not_json", "lone \ud800"), service="s", topic="t", partition=1, offset=2, timestamp_ms=3,
        original=[("x", None), ("shopstream.service", b"an earlier failure")],
    )  # fmt: skip
    assert headers[0] == ("x", None)
    assert deadletter.origin_of(headers) == deadletter.Origin("not_json", "s", "t", 1, 2)


@pytest.mark.parametrize("value", [b"", b"-1", b"1.0", b"\xff", b"9" * 30, "\u0661".encode()])
def test_origin_refuses_what_it_never_wrote(value):
    headers = deadletter.headers_for(
        BadRecord("not_json", "x"), service="s", topic="t", partition=1, offset=2, timestamp_ms=3
    )
    with pytest.raises(BadRecord, match="no_origin"):
        deadletter.origin_of([*headers, (deadletter.OFFSET, value)])

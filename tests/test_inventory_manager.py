"""Stock is reserved at the configured rate, wholly or not at all, and released once the order is cancelled."""

from datetime import UTC, datetime
from math import exp, lgamma, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inventory_manager.inventory_manager import check_inventory, react, release_stock
from services.order_generator.order_generator import generate_order_event, generate_orders
from services.payment_processor.payment_processor import process_payment
from services.shipping_handler.shipping_handler import cancel_order
from shopstream.events import EventReader, StockRejected, StockReleased, StockReserved, derive, encode

START = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = generate_order_event(run_id="stock", start=START)
DECLINED = process_payment(ORDER, approval_rate=0)
APPROVED = process_payment(ORDER, approval_rate=1)

orders = st.builds(generate_order_event, st.integers(0, 10**9), run_id=st.just("stock"), start=st.just(START))


def binomial_tail(successes, trials, rate):
    """The exact chance to lie at least as far out on the same side."""
    side = range(successes, trials + 1) if successes > trials * rate else range(successes + 1)
    return sum(
        exp(lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(rate) + (trials - k) * log(1 - rate))
        for k in side
    )


@pytest.mark.parametrize("rate", [None, 0.01, 0.5, 0.97])
def test_the_share_of_reservations_fits_the_rate(rate):
    arguments = {} if rate is None else {"stock_rate": rate}
    sample = generate_orders(0, 10_000, run_id="rate", start=START)
    reserved = sum(isinstance(check_inventory(order, **arguments), StockReserved) for order in sample)
    assert binomial_tail(reserved, 10_000, rate or 0.8) > 1e-6


@given(orders, st.integers())
def test_rates_of_0_and_1_are_certain(order, seed):
    assert isinstance(check_inventory(order, seed=seed, stock_rate=0), StockRejected)
    assert isinstance(check_inventory(order, seed=seed, stock_rate=1), StockReserved)


@given(orders, st.integers(), st.floats(0, 1))
def test_a_decision_is_the_same_whenever_it_is_taken(order, seed, rate):
    decisions = {encode(check_inventory(order, seed=seed, stock_rate=rate)) for _ in range(2)}
    assert len(decisions) == 1


def test_another_seed_is_another_world():
    sample = list(generate_orders(0, 1000, run_id="worlds", start=START))
    worlds = [[check_inventory(order, seed=seed).event_type for order in sample] for seed in (0, 1)]
    assert worlds[0] != worlds[1]


@given(orders, st.integers(), st.floats(0, 1))
def test_the_decision_carries_the_order_s_facts(order, seed, rate):
    decision = check_inventory(order, seed=seed, stock_rate=rate)
    assert decision.order_id == order.order_id
    assert decision.occurred_at == order.occurred_at
    assert decision.event_id == f"{order.order_id}:{decision.event_type}"
    assert decision.customer == order.customer
    if isinstance(decision, StockReserved):
        assert decision.lines == order.lines
    else:
        articles = [line.article_id for line in order.lines]
        assert decision.missing
        assert list(decision.missing) == [article for article in articles if article in decision.missing]
    reader = EventReader(["stock_reserved", "stock_rejected"])
    assert reader.read(order.order_id.encode(), encode(decision)) == decision


def test_an_article_on_two_lines_is_missing_once():
    twice = generate_order_event(run_id="twice", start=START)
    line = twice.lines[0]
    twice = derive(
        type(twice),
        twice,
        customer=twice.customer,
        ship_to=twice.ship_to,
        lines=(line, line),
        total=2 * line.quantity * line.unit_price,
        currency=twice.currency,
    )
    assert check_inventory(twice, stock_rate=0).missing == (line.article_id,)


def test_one_or_several_articles_may_be_missing_and_each_may_be_the_one():
    order = next(o for o in generate_orders(0, 1000, run_id="missing", start=START) if len(o.lines) == 4)
    found = {check_inventory(order, seed=seed, stock_rate=0).missing for seed in range(500)}
    articles = [line.article_id for line in order.lines]
    assert {(article,) for article in articles} <= found
    assert max(map(len, found)) > 1


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_rate_outside_0_to_1_is_refused(rate):
    with pytest.raises(ValueError, match=r"stock_rate is .*: it must lie between 0 and 1"):
        check_inventory(ORDER, stock_rate=rate)


def test_the_stock_of_a_cancelled_order_is_released():
    cancelled = cancel_order(DECLINED, check_inventory(ORDER, stock_rate=1))
    released = release_stock(cancelled)
    assert isinstance(released, StockReleased)
    assert released.lines == ORDER.lines
    assert released.order_id == ORDER.order_id
    assert released.occurred_at == cancelled.occurred_at
    assert react(cancelled) == (released,)


@pytest.mark.parametrize("payment", [DECLINED, APPROVED], ids=["declined", "approved"])
def test_what_was_not_reserved_is_not_released(payment):
    cancelled = cancel_order(payment, check_inventory(ORDER, stock_rate=0))
    assert release_stock(cancelled) is None
    assert react(cancelled) == ()


def test_react_answers_orders_with_decisions_and_passes_its_options_on():
    assert react(ORDER) == (check_inventory(ORDER),)
    assert react(ORDER, seed=5, stock_rate=0) == (check_inventory(ORDER, seed=5, stock_rate=0),)


def test_react_ignores_everything_else():
    assert react(APPROVED) == react(DECLINED) == react(check_inventory(ORDER)) == ()

"""A payment is approved at the configured rate, stays decided, and is refunded once its order is cancelled."""

from datetime import UTC, datetime
from math import exp, lgamma, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inventory_manager.inventory_manager import check_inventory
from services.order_generator.order_generator import generate_order_event, generate_orders
from services.payment_processor.payment_processor import (
    DECLINE_REASONS,
    process_payment,
    react,
    refund_payment,
)
from services.shipping_handler.shipping_handler import cancel_order
from shopstream.events import EventReader, PaymentApproved, PaymentDeclined, PaymentRefunded, encode

START = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = generate_order_event(run_id="pay", start=START)
SOLD_OUT = check_inventory(ORDER, stock_rate=0)
IN_STOCK = check_inventory(ORDER, stock_rate=1)

orders = st.builds(generate_order_event, st.integers(0, 10**9), run_id=st.just("pay"), start=st.just(START))


def binomial_tail(successes, trials, rate):
    """The exact chance to lie at least as far out on the same side."""
    side = range(successes, trials + 1) if successes > trials * rate else range(successes + 1)
    return sum(
        exp(lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(rate) + (trials - k) * log(1 - rate))
        for k in side
    )


@pytest.mark.parametrize("rate", [None, 0.01, 0.5, 0.97])
def test_the_share_of_approvals_fits_the_rate(rate):
    arguments = {} if rate is None else {"approval_rate": rate}
    sample = generate_orders(0, 10_000, run_id="rate", start=START)
    approved = sum(isinstance(process_payment(order, **arguments), PaymentApproved) for order in sample)
    assert binomial_tail(approved, 10_000, rate or 0.9) > 1e-6


@given(orders, st.integers())
def test_rates_of_0_and_1_are_certain(order, seed):
    assert isinstance(process_payment(order, seed=seed, approval_rate=0), PaymentDeclined)
    assert isinstance(process_payment(order, seed=seed, approval_rate=1), PaymentApproved)


@given(orders, st.integers(), st.floats(0, 1))
def test_a_decision_is_the_same_whenever_it_is_taken(order, seed, rate):
    decisions = {encode(process_payment(order, seed=seed, approval_rate=rate)) for _ in range(2)}
    assert len(decisions) == 1


@given(orders, st.integers(), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_rate_declines_nobody_else(order, seed, one, other):
    lower, higher = (process_payment(order, seed=seed, approval_rate=rate) for rate in sorted((one, other)))
    assert isinstance(higher, PaymentApproved) or isinstance(lower, PaymentDeclined)


def test_another_seed_is_another_world():
    sample = list(generate_orders(0, 1000, run_id="worlds", start=START))
    worlds = [[process_payment(order, seed=seed).event_type for order in sample] for seed in (0, 1)]
    assert worlds[0] != worlds[1]


@given(orders, st.floats(0, 1))
def test_the_decision_carries_the_order_s_facts(order, rate):
    decision = process_payment(order, approval_rate=rate)
    assert decision.order_id == order.order_id
    assert decision.occurred_at == order.occurred_at
    assert decision.event_id == f"{order.order_id}:{decision.event_type}"
    assert (decision.amount, decision.currency, decision.customer) == (order.total, order.currency, order.customer)
    if isinstance(decision, PaymentApproved):
        assert (decision.ship_to, decision.lines) == (order.ship_to, order.lines)
        assert len(decision.authorization) == 6
        assert decision.authorization.isdecimal()
    else:
        assert decision.reason in DECLINE_REASONS
    reader = EventReader(["payment_approved", "payment_declined"])
    assert reader.read(order.order_id.encode(), encode(decision)) == decision


def test_every_reason_to_decline_occurs():
    sample = generate_orders(0, 500, run_id="reasons", start=START)
    assert {process_payment(order, approval_rate=0).reason for order in sample} == set(DECLINE_REASONS)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_rate_outside_0_to_1_is_refused(rate):
    with pytest.raises(ValueError, match=r"approval_rate is .*: it must lie between 0 and 1"):
        process_payment(ORDER, approval_rate=rate)


def test_a_paid_order_that_is_cancelled_is_refunded_in_full():
    cancelled = cancel_order(process_payment(ORDER, approval_rate=1), SOLD_OUT)
    refunded = refund_payment(cancelled)
    assert isinstance(refunded, PaymentRefunded)
    assert (refunded.amount, refunded.currency) == (ORDER.total, ORDER.currency)
    assert refunded.order_id == ORDER.order_id
    assert refunded.occurred_at == cancelled.occurred_at
    assert react(cancelled) == (refunded,)


@pytest.mark.parametrize("stock", [SOLD_OUT, IN_STOCK], ids=["sold out", "in stock"])
def test_what_was_not_paid_is_not_refunded(stock):
    cancelled = cancel_order(process_payment(ORDER, approval_rate=0), stock)
    assert refund_payment(cancelled) is None
    assert react(cancelled) == ()


def test_react_answers_orders_with_decisions_and_passes_its_options_on():
    assert react(ORDER) == (process_payment(ORDER),)
    assert react(ORDER, seed=5, approval_rate=0) == (process_payment(ORDER, seed=5, approval_rate=0),)


def test_react_ignores_everything_else():
    assert react(SOLD_OUT) == react(IN_STOCK) == react(process_payment(ORDER)) == ()

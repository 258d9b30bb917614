"""The binomial test is exact: it agrees with sums of fractions, and blames an honest rate almost never."""

from __future__ import annotations

import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopstream.audit.rates import TAIL_BOUND, configured_rates, rival_of, tail
from tests.audit_history import RATES, TOPOLOGY


@given(st.integers(1, 60), st.data(), st.sampled_from([0.01, 0.2, 0.5, 0.8, 0.9]))
def test_the_tail_is_the_sum_of_the_exact_probabilities(trials, data, rate):
    hits = data.draw(st.integers(0, trials))
    p = Fraction(rate)
    chances = [comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(trials + 1)]
    exact = sum(chances[hits:]) if hits > trials * rate else sum(chances[: hits + 1])
    assert tail(hits, trials, rate) == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.parametrize(("hits", "rate", "expected"), [(10, 1.0, 1.0), (9, 1.0, 0.0), (0, 0.0, 1.0), (1, 0.0, 0.0)])
def test_certainty_allows_no_exception(hits, rate, expected):
    assert tail(hits, 10, rate) == expected


def test_large_counts_are_judged_like_small_ones():
    assert tail(900_000, 1_000_000, 0.9) == pytest.approx(0.5, abs=0.01)
    assert tail(898_500, 1_000_000, 0.9) < TAIL_BOUND < tail(898_600, 1_000_000, 0.9)
    assert tail(901_500, 1_000_000, 0.9) < TAIL_BOUND < tail(901_400, 1_000_000, 0.9)
    assert tail(0, 1_000_000, 0.9) == 0


def test_honest_rates_are_not_blamed():
    rng = random.Random(7)
    for _ in range(300):
        trials = rng.randint(1, 400)
        assert tail(sum(rng.random() < 0.8 for _ in range(trials)), trials, 0.8) > TAIL_BOUND


def test_the_configured_rates_are_those_of_the_topology():
    assert configured_rates(TOPOLOGY) == RATES


def test_only_decisions_have_rivals():
    assert rival_of("stock_reserved") == "stock_rejected"
    assert rival_of("payment_declined") == "payment_approved"
    with pytest.raises(ValueError, match="payment_approved"):
        rival_of("order_placed")

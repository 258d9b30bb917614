"""Quantiles are within 1 % of a duration that was really seen."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from shopstream.audit.latency import PRECISION, Histogram


def histogram_of(durations) -> Histogram:
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    return histogram


@given(st.lists(st.integers(-5, 10**8), min_size=1), st.floats(0.001, 1))
def test_a_quantile_is_within_one_percent(durations, q):
    exact = sorted(max(duration, 0) for duration in durations)[ceil(q * len(durations)) - 1]
    found = histogram_of(durations).quantile(q)
    assert abs(found - exact) <= exact * PRECISION * 1.0001


@given(st.lists(st.integers(0, 10**6)), st.lists(st.integers(0, 10**6)))
def test_merging_is_counting_all(left, right):
    merged = histogram_of(left)
    merged.merge(histogram_of(right))
    assert merged.quantiles() == histogram_of(left + right).quantiles()


def test_nothing_has_no_quantiles():
    assert Histogram().quantiles() is None
    assert Histogram().quantile(0.5) == 0


def test_a_day_takes_few_buckets():
    histogram = histogram_of(range(1, 86_400_000, 997))
    assert len(histogram._buckets) < 950

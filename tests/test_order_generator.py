"""Orders are believable, follow the documented distributions, and are a pure function of what they are made from."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from itertools import islice, pairwise
from math import sqrt
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.order_generator import order_generator as generator
from services.order_generator.order_generator import customer_of, generate_order_event, generate_orders
from shopstream.events import EventReader, OrderPlaced, encode, split_order_id, valid_run_id

START = datetime(2026, 1, 1, tzinfo=UTC)
POSTAL_CODES = {
    "AT": r"\d{4}",
    "BE": r"\d{4}",
    "DE": r"\d{5}",
    "ES": r"\d{5}",
    "FI": r"\d{5}",
    "FR": r"\d{5}",
    "IT": r"\d{5}",
    "NL": r"\d{4} [A-Z]{2}",
    "PT": r"\d{4}-\d{3}",
}
IMPROBABLE = 1e-6  # a fair sample fails a check with less than this chance
Z = NormalDist().inv_cdf(1 - IMPROBABLE / 2)

runs = st.fixed_dictionaries(
    {
        "run_id": st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?", fullmatch=True),
        "seed": st.integers(),
        "start": st.datetimes(timezones=st.just(UTC)).map(
            lambda moment: moment.replace(year=2000 + moment.year % 100, day=1)
        ),
        "shop_rate": st.floats(0.01, 1e6),
    }
)


@pytest.fixture(scope="module")
def sample():
    return list(generate_orders(0, 20_000, run_id="sample", seed=1, start=START, shop_rate=10))


@pytest.fixture(scope="module")
def everybody():
    return [customer_of(number) for number in range(1, generator.CUSTOMERS + 1)]


def chi_square_limit(degrees):
    """What a fair sample's chi-square exceeds with a chance of one in a million (Wilson and Hilferty, 1931)."""
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + NormalDist().inv_cdf(1 - IMPROBABLE) * sqrt(spread)) ** 3


def assert_distributed(found, expected):
    total, weight = sum(found.values()), sum(expected.values())
    assert found.keys() <= expected.keys()
    chi_square = sum((found[k] - total * w / weight) ** 2 / (total * w / weight) for k, w in expected.items())
    assert chi_square < chi_square_limit(len(expected) - 1)


class TestIdentity:
    def test_it_needs_no_arguments(self):
        order = generate_order_event()
        run_id, index = split_order_id(order.order_id)
        assert re.fullmatch(r"adhoc-[0-9a-f]{8}", run_id)
        assert valid_run_id(run_id)
        assert index == 0
        assert abs(datetime.now(UTC) - order.occurred_at) < timedelta(minutes=1)
        assert generate_order_event().order_id != order.order_id

    @given(runs, st.integers(0, 10**9), st.integers(1, 5))
    def test_an_order_depends_on_its_number_and_not_on_its_predecessors(self, run, first, count):
        stream = list(generate_orders(first, count, **run))
        alone = [generate_order_event(first + n, **run) for n in range(count)]
        assert list(map(encode, stream)) == list(map(encode, alone))

    def test_the_stream_never_changes_between_machines_and_versions(self):
        stream = b"\n".join(map(encode, generate_orders(0, 1000, run_id="golden", seed=7, start=START)))
        assert sha256(stream).hexdigest() == "c05c5ea268c28da761f4acc3dc00b86699760fd8de135a29e0affb61cb74eec8"

    @pytest.mark.parametrize(
        "other", [{"seed": 1}, {"run_id": "b"}, {"start": START + timedelta(1)}, {"shop_rate": 11.0}]
    )
    def test_every_argument_matters(self, other):
        run = {"run_id": "a", "seed": 0, "start": START, "shop_rate": 10.0}
        assert encode(generate_order_event(3, **run)) != encode(generate_order_event(3, **run | other))

    def test_the_shop_s_clock_is_utc_wherever_the_start_was_written(self):
        elsewhere = START.astimezone(timezone(timedelta(hours=5, minutes=45)))
        run = {"run_id": "a", "shop_rate": 10.0}
        assert encode(generate_order_event(start=elsewhere, **run)) == encode(generate_order_event(start=START, **run))


class TestTime:
    @given(runs, st.integers(0, 10**9))
    def test_it_never_goes_back(self, run, first):
        times = [order.occurred_at for order in generate_orders(first, 20, **run)]
        assert all(earlier <= later for earlier, later in pairwise(times))

    def test_order_n_falls_into_its_own_interval(self, sample):
        for index, order in enumerate(sample):
            seconds = (order.occurred_at - START).total_seconds()
            assert index / 10 <= seconds < (index + 1) / 10

    def test_it_varies_within_the_interval(self, sample):
        tenths = Counter((order.occurred_at.microsecond % 100_000) // 10_000 for order in sample)
        assert_distributed(tenths, dict.fromkeys(range(10), 1))


class TestRules:
    @given(runs, st.integers(0, 10**9))
    def test_every_order_can_be_read_back_and_adds_up(self, run, index):
        order = generate_order_event(index, **run)
        assert EventReader(["order_placed"]).read(order.order_id.encode(), encode(order)) == order
        assert split_order_id(order.order_id) == (run["run_id"], index)
        assert order.total == sum(line.quantity * line.unit_price for line in order.lines) > 0
        assert order.currency == "EUR"
        assert 1 <= len(order.lines) <= 8
        assert len({line.article_id for line in order.lines}) == len(order.lines)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"run_id": "Black Friday"}, "cannot name a run"),
            ({"run_id": ""}, "cannot name a run"),
            ({"index": -1}, "not within"),
            ({"index": 10**12}, "not within"),
            ({"shop_rate": 0}, "must be above 0"),
            ({"shop_rate": -1}, "must be above 0"),
            ({"shop_rate": float("nan")}, "must be above 0"),
            ({"shop_rate": float("inf")}, "must be above 0"),
            ({"index": 10**9, "shop_rate": 1e-3}, "beyond the year 9999"),
            ({"shop_rate": 1e-300}, "beyond the year 9999"),
            ({"start": START.replace(tzinfo=None)}, "without a time zone"),
        ],
    )
    def test_what_makes_no_sense_is_refused_before_the_first_order(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            generate_order_event(**arguments)

    def test_a_stream_is_refused_when_it_is_asked_for_not_when_it_is_read(self):
        with pytest.raises(ValueError, match="not within"):
            generate_orders(0, -1)

    def test_the_last_order_that_an_id_can_hold(self):
        order = generate_order_event(10**12 - 1, run_id="a", start=START, shop_rate=1e9)
        assert split_order_id(order.order_id) == ("a", 10**12 - 1)
        assert list(islice(generate_orders(5, 0), 1)) == []


class TestCatalogue:
    def test_it_has_some_200_distinct_articles_with_prices_in_cents(self):
        articles = generator._CATALOGUE
        assert len(articles) == 200
        assert len({a["article_id"] for a in articles}) == len({a["name"] for a in articles}) == 200
        assert all(a.keys() == {"article_id", "name", "price", "category"} for a in articles)
        assert all(isinstance(a["price"], int) and 100 <= a["price"] <= 20_000 for a in articles)
        assert len({a["category"] for a in articles}) == 10

    def test_articles_are_picked_by_zipf_s_law(self, sample):
        """The first line of a basket is drawn from the whole catalogue, so its law is exact."""
        found = Counter(order.lines[0].article_id for order in sample)
        expected = {
            a["article_id"]: rank**-generator.ZIPF_EXPONENT for rank, a in enumerate(generator._CATALOGUE, start=1)
        }
        assert_distributed(found, expected)

    def test_a_second_article_is_drawn_from_what_the_first_one_left(self):
        """Against the exact law of drawing two without replacement, over a catalogue's three most popular articles."""
        weights = generator._WEIGHT
        total = sum(weights)
        exact = {
            (i, j): weights[i] / total * weights[j] / (total - weights[i]) for i in range(3) for j in range(3) if i != j
        }
        exact["others"] = 1 - sum(exact.values())
        rank = {a["article_id"]: n for n, a in enumerate(generator._CATALOGUE)}
        found = Counter()
        for order in generate_orders(0, 60_000, run_id="pairs", start=START):
            if len(order.lines) > 1:
                pair = tuple(rank[line.article_id] for line in order.lines[:2])
                found[pair if pair in exact else "others"] += 1
        assert_distributed(found, exact)

    def test_the_largest_basket_may_hold_the_rarest_and_the_most_popular_articles(self):
        highest, lowest = generator._basket(8, [2**32 - 1] * 8 + [0] * 8), generator._basket(8, [0] * 16)
        articles = [a["article_id"] for a in generator._CATALOGUE]
        assert [line.article_id for line in highest] == articles[:-9:-1]
        assert [line.article_id for line in lowest] == articles[:8]

    def test_most_baskets_are_small_and_most_articles_are_bought_singly(self, sample):
        assert_distributed(Counter(len(order.lines) for order in sample), generator._BASKET_SIZES)
        assert_distributed(Counter(line.quantity for order in sample for line in order.lines), generator._QUANTITIES)


class TestCustomers:
    def test_every_address_has_the_form_of_its_country(self, everybody):
        for _, address in everybody:
            assert re.fullmatch(POSTAL_CODES[address.country], address.postal_code)
            assert re.search(r"\d", address.street)
        assert {address.country for _, address in everybody} == POSTAL_CODES.keys()

    def test_a_city_has_its_own_postal_codes(self, everybody):
        prefixes = {(a.country, a.city): set() for _, a in everybody}
        for _, address in everybody:
            prefixes[address.country, address.city].add(address.postal_code[0])
        assert all(len(first_digits) == 1 for first_digits in prefixes.values())

    def test_emails_are_unique_and_reach_nobody(self, everybody):
        emails = {customer.email for customer, _ in everybody}
        assert len(emails) == generator.CUSTOMERS
        assert all(re.fullmatch(r"[a-z]+\.[a-z]+\d+@example\.com", email) for email in emails)

    def test_countries_have_their_share(self, everybody):
        found = Counter(address.country for _, address in everybody)
        assert_distributed(found, Counter(c["country"] for c in generator._COUNTRY))

    def test_a_person_is_the_same_in_every_run(self, sample):
        people = {order.customer.customer_id: (order.customer, order.ship_to) for order in sample}
        known = 0
        for order in generate_orders(0, 2000, run_id="another", seed=99, start=START):
            if order.customer.customer_id in people:
                assert people[order.customer.customer_id] == (order.customer, order.ship_to)
                known += 1
        assert known > 1000

    def test_a_fifth_of_them_places_58_percent_of_the_orders(self, sample):
        share = 0.2 ** (1 / 3)
        regulars = sum(int(order.customer.customer_id[-6:]) <= generator.CUSTOMERS // 5 for order in sample)
        assert abs(regulars - len(sample) * share) < Z * sqrt(len(sample) * share * (1 - share))

    def test_the_numbers_of_the_first_and_the_last(self):
        assert generator._shopper(0) == 1
        assert generator._shopper(2**32 - 1) == generator.CUSTOMERS


def test_an_order_is_an_order_placed():
    assert type(generate_order_event()) is OrderPlaced

"""The price table holds what AWS asks, each figure with its source, and knows by what it is billed."""

from datetime import date

import pytest

from shopstream.cost.prices import HOURS_A_MONTH, Price, parse_prices, price_table

# Typed in apart from the table, so that a slip in either shows.
FIGURES = {
    "ec2 t2.micro": (0.0116, "hour"),
    "ec2 t3.micro": (0.0104, "hour"),
    "ec2 t3.small": (0.0208, "hour"),
    "ec2 t3.medium": (0.0416, "hour"),
    "ec2 t3.large": (0.0832, "hour"),
    "ebs gp3": (0.08, "GB-month"),
    "public ipv4": (0.005, "hour"),
    "nat gateway": (0.045, "started hour"),
    "nat data": (0.045, "GB"),
    "interface endpoint": (0.01, "started hour"),
    "interface endpoint data": (0.01, "GB"),
    "data between zones": (0.01, "GB"),
    "lambda x86_64": (0.0000166667, "GB-second"),
    "lambda arm64": (0.0000133334, "GB-second"),
    "lambda requests": (0.2, "million"),
    "poller unit": (0.185, "hour"),
    "dynamodb writes": (0.625, "million"),
    "dynamodb storage": (0.25, "GB-month"),
    "secret": (0.4, "month"),
    "s3 storage": (0.023, "GB-month"),
    "logs": (0.5, "GB"),
    "logs storage": (0.03, "GB-month"),
    "custom metric": (0.3, "month"),
    "alarm": (0.1, "month"),
    "dashboard": (3.0, "month"),
}
TABLE = price_table()


def test_every_figure_is_there_and_no_other():
    assert {key: (price.usd, price.unit) for key, price in TABLE.prices.items()} == FIGURES
    assert (TABLE.region, TABLE.currency) == ("us-east-1", "USD")


@pytest.mark.parametrize("price", TABLE.prices.values(), ids=lambda price: price.key)
def test_every_figure_names_aws_own_page_and_the_day_on_which_it_was_found(price):
    assert price.page.startswith(("https://aws.amazon.com/", "https://docs.aws.amazon.com/"))
    assert date(2025, 1, 1) < price.read <= TABLE.as_of


def priced(usd, unit):
    return Price("p", usd, unit, "https://aws.amazon.com/", date(2026, 1, 1))


@pytest.mark.parametrize(
    ("usd", "unit", "hourly"),
    [(0.5, "hour", 0.5), (0.5, "started hour", 0.5), (73.0, "month", 0.1), (7.3, "GB-month", 0.01)],
)
def test_what_is_billed_by_time_has_a_price_by_the_hour_and_none_by_the_piece(usd, unit, hourly):
    assert priced(usd, unit).hourly == pytest.approx(hourly)
    with pytest.raises(ValueError, match="not by use"):
        _ = priced(usd, unit).each


@pytest.mark.parametrize(("usd", "unit", "each"), [(0.5, "GB", 0.5), (0.5, "GB-second", 0.5), (2.0, "million", 2e-6)])
def test_what_is_billed_by_use_has_a_price_by_the_piece_and_none_by_the_hour(usd, unit, each):
    assert priced(usd, unit).each == pytest.approx(each)
    with pytest.raises(ValueError, match="not by time"):
        _ = priced(usd, unit).hourly


def test_only_started_hours_are_billed_whole():
    assert [key for key, price in TABLE.prices.items() if price.whole_hours] == ["nat gateway", "interface endpoint"]


def test_a_month_is_730_hours():
    assert HOURS_A_MONTH == 730 == 365 * 24 / 12


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('usd = 1.0\nunit = "fortnight"\npage = "https://aws.amazon.com/"', "fortnight"),
        ('usd = -1.0\nunit = "hour"\npage = "https://aws.amazon.com/"', "above 0"),
        ('usd = 0\nunit = "hour"\npage = "https://aws.amazon.com/"', "above 0"),
        ('usd = 1.0\nunit = "hour"\npage = "hearsay"', "page"),
    ],
)
def test_a_price_that_cannot_be_computed_with_or_checked_is_refused(line, complaint):
    text = f'region = "r"\ncurrency = "USD"\nas_of = 2026-01-01\n[prices.p]\nread = 2026-01-01\n{line}\n'
    with pytest.raises(ValueError, match=complaint):
        parse_prices(text)


def test_what_the_table_lacks_is_none():
    assert TABLE.get("ec2 x9.huge") is None
    with pytest.raises(KeyError):
        _ = TABLE["ec2 x9.huge"]

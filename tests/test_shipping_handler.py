"""An order is shipped if and only if it is paid and in stock, and both sequences of arrival give the same bytes."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inventory_manager.inventory_manager import check_inventory, release_stock
from services.order_generator.order_generator import generate_order_event
from services.payment_processor.payment_processor import process_payment, refund_payment
from services.shipping_handler.shipping_handler import CARRIERS, cancel_order, join, ship_order
from shopstream.events import (
    EventReader,
    OrderCancelled,
    OrderShipped,
    PaymentApproved,
    StockReserved,
    encode,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = generate_order_event(run_id="ship", start=START)
APPROVED, DECLINED = (process_payment(ORDER, approval_rate=rate) for rate in (1, 0))
RESERVED, REJECTED = (check_inventory(ORDER, stock_rate=rate) for rate in (1, 0))
REFUNDED = refund_payment(cancel_order(APPROVED, REJECTED))
RELEASED = release_stock(cancel_order(DECLINED, RESERVED))

moments = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))]))


@st.composite
def halves(draw):
    """The two decisions on an order, each at a time of its own."""
    order = generate_order_event(draw(st.integers(0, 10**9)), run_id="ship", start=START)
    payment = process_payment(order, approval_rate=draw(st.sampled_from([0, 1])))
    stock = check_inventory(order, stock_rate=draw(st.sampled_from([0, 1])))
    return (
        msgspec.structs.replace(payment, occurred_at=draw(moments)),
        msgspec.structs.replace(stock, occurred_at=draw(moments)),
    )


def joined(*events):
    """All that follows from events of one order that arrive one after the other, and what waits at the end."""
    waiting, followed = None, []
    for event in events:
        waiting, results = join(waiting, event)
        followed += results
    return waiting, followed


class TestShipOrder:
    def test_an_approved_payment_is_shipped(self):
        shipped = ship_order(APPROVED)
        assert isinstance(shipped, OrderShipped)
        assert (shipped.amount, shipped.currency) == (ORDER.total, ORDER.currency)
        assert (shipped.customer, shipped.ship_to, shipped.lines) == (ORDER.customer, ORDER.ship_to, ORDER.lines)
        assert shipped.occurred_at == APPROVED.occurred_at
        assert shipped.carrier in CARRIERS
        assert shipped == ship_order(APPROVED)

    @pytest.mark.parametrize("event", [DECLINED, REFUNDED, RESERVED, ORDER], ids=lambda event: event.event_type)
    def test_nothing_else_is(self, event):
        assert ship_order(event) is None

    def test_every_carrier_has_work_and_tracking_numbers_differ(self):
        orders = (generate_order_event(n, run_id="carriers", start=START) for n in range(200))
        shipments = [ship_order(process_payment(order, approval_rate=1)) for order in orders]
        assert {shipment.carrier for shipment in shipments} == set(CARRIERS)
        assert len({shipment.tracking_number for shipment in shipments}) == 200


class TestCancelOrder:
    @pytest.mark.parametrize(
        ("payment", "stock", "reason", "refund", "release"),
        [
            (APPROVED, REJECTED, "out_of_stock", ORDER.total, ()),
            (DECLINED, RESERVED, "payment_declined", 0, ORDER.lines),
            (DECLINED, REJECTED, "payment_declined_and_out_of_stock", 0, ()),
        ],
    )
    def test_the_reason_and_what_must_be_undone(self, payment, stock, reason, refund, release):
        cancelled = cancel_order(payment, stock)
        assert (cancelled.reason, cancelled.refund, cancelled.release) == (reason, refund, release)
        assert (cancelled.customer, cancelled.currency) == (ORDER.customer, ORDER.currency)

    def test_an_order_that_is_paid_and_in_stock_is_not_cancelled(self):
        with pytest.raises(ValueError, match="is paid and in stock"):
            cancel_order(APPROVED, RESERVED)


class TestJoin:
    @given(halves())
    def test_both_sequences_of_arrival_give_the_same_bytes(self, pair):
        one, other = joined(*pair), joined(*reversed(pair))
        assert one == other
        assert [encode(event) for event in one[1]] == [encode(event) for event in other[1]]

    @given(halves())
    def test_one_outcome_shipped_if_and_only_if_approved_and_reserved(self, pair):
        payment, stock = pair
        waiting, (outcome,) = joined(*pair)
        assert waiting is None
        good = isinstance(payment, PaymentApproved) and isinstance(stock, StockReserved)
        assert type(outcome) is (OrderShipped if good else OrderCancelled)
        assert outcome.occurred_at == max(payment.occurred_at, stock.occurred_at)
        if isinstance(outcome, OrderCancelled):
            assert bool(outcome.refund) == isinstance(payment, PaymentApproved)
            assert bool(outcome.release) == isinstance(stock, StockReserved)

    @given(halves(), st.lists(st.sampled_from([REFUNDED, RELEASED, ORDER, "again"]), max_size=5), st.booleans())
    def test_what_comes_between_the_halves_changes_nothing(self, pair, between, swapped):
        first, second = reversed(pair) if swapped else pair
        noise = [first if event == "again" else event for event in between]
        assert joined(first, *noise, second) == joined(first, second)

    @pytest.mark.parametrize("event", [REFUNDED, RELEASED, ORDER], ids=lambda event: event.event_type)
    def test_what_is_no_half_does_not_wait(self, event):
        assert join(None, event) == (None, ())

    @pytest.mark.parametrize("half", [APPROVED, DECLINED, RESERVED, REJECTED], ids=lambda event: event.event_type)
    def test_the_first_half_waits_even_if_it_says_no(self, half):
        assert join(None, half) == (half, ())
        assert join(half, half) == (half, ())

    def test_the_first_of_two_different_decisions_of_one_side_stands(self):
        assert join(APPROVED, DECLINED) == (APPROVED, ())

    def test_halves_of_two_orders_are_refused(self):
        other = check_inventory(generate_order_event(1, run_id="ship", start=START))
        with pytest.raises(ValueError, match="these are two orders"):
            join(APPROVED, other)

    def test_the_same_instant_in_two_time_zones(self):
        payment = msgspec.structs.replace(APPROVED, occurred_at=START)
        stock = msgspec.structs.replace(RESERVED, occurred_at=START.astimezone(timezone(timedelta(hours=2))))
        results = {encode(event) for pair in ((payment, stock), (stock, payment)) for event in joined(*pair)[1]}
        assert len(results) == 1

    @given(halves())
    def test_the_outcome_can_be_read_back(self, pair):
        _, (outcome,) = joined(*pair)
        reader = EventReader(["order_shipped", "order_cancelled"])
        assert reader.read(outcome.order_id.encode(), encode(outcome)) == outcome

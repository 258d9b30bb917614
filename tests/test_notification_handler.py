"""The customer is told of three endings, in a text that names the order and the money, and of nothing else."""

from datetime import UTC, datetime

import pytest

from services.inventory_manager.inventory_manager import check_inventory, release_stock
from services.notification_handler.notification_handler import _money, notify, react
from services.order_generator.order_generator import generate_order_event
from services.payment_processor.payment_processor import process_payment, refund_payment
from services.shipping_handler.shipping_handler import cancel_order, ship_order
from shopstream.events import Customer, CustomerNotified, EventReader, derive, encode, order_id

START = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = generate_order_event(run_id="tell", start=START)
APPROVED, DECLINED = (process_payment(ORDER, approval_rate=rate) for rate in (1, 0))
RESERVED, REJECTED = (check_inventory(ORDER, stock_rate=rate) for rate in (1, 0))
SHIPPED = ship_order(APPROVED)
UNPAID = cancel_order(DECLINED, RESERVED)
SOLD_OUT = cancel_order(APPROVED, REJECTED)
BOTH = cancel_order(DECLINED, REJECTED)
PRICE = f"{ORDER.total / 100:,.2f} EUR"


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        (SHIPPED, "shipped", ["on its way", SHIPPED.carrier, SHIPPED.tracking_number, PRICE]),
        (REJECTED, "out_of_stock", ["in stock", "all of it back"]),
        (UNPAID, "payment_declined", ["declined", PRICE, "Nothing was charged"]),
    ],
)
def test_each_ending_has_its_message(event, kind, words):
    notified = notify(event)
    assert isinstance(notified, CustomerNotified)
    assert (notified.kind, notified.channel, notified.customer) == (kind, "email", ORDER.customer)
    assert all(word in notified.text for word in [ORDER.order_id, ORDER.customer.name, *words])
    assert len(notified.text) < 400
    assert notified.occurred_at == event.occurred_at
    assert react(event) == (notified,)
    assert encode(notify(event)) == encode(notified)
    assert EventReader(["customer_notified"]).read(ORDER.order_id.encode(), encode(notified)) == notified


@pytest.mark.parametrize(
    "event",
    [ORDER, APPROVED, DECLINED, RESERVED, refund_payment(SOLD_OUT), release_stock(UNPAID), SOLD_OUT, BOTH],
    ids=lambda event: getattr(event, "reason", event.event_type),
)
def test_nothing_else_is_told(event):
    assert notify(event) is None
    assert react(event) == ()


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0.00 EUR"), (5, "0.05 EUR"), (100, "1.00 EUR"), (123_456, "1,234.56 EUR"), (10**12, "10,000,000,000.00 EUR")],
)
def test_money_is_written_as_people_write_it(amount, text):
    assert _money(amount, "EUR") == text


def test_the_longest_names_still_make_a_message_that_can_be_read():
    customer = Customer("c", "ß" * 256, "e")
    rejected = derive(type(REJECTED), REJECTED, missing=REJECTED.missing, customer=customer)
    notified = notify(rejected)
    order = order_id("tell", 0)
    assert EventReader(["customer_notified"]).read(order.encode(), encode(notified)) == notified

"""What holds of the five services together, whatever the order and however its events arrive.

An order has exactly one outcome and one notification, and money adds up: approved - refunded = shipped.
"""

import shutil
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inventory_manager import inventory_manager
from services.notification_handler import notification_handler
from services.order_generator.order_generator import generate_order_event, generate_orders
from services.payment_processor import payment_processor
from services.shipping_handler import shipping_handler
from shopstream.events import encode
from shopstream.topology import load

START = datetime(2026, 1, 1, tzinfo=UTC)
TOPOLOGY = load()
ENDINGS = {
    ("payment_approved", "stock_reserved"): ("order_shipped", "shipped"),
    ("payment_approved", "stock_rejected"): ("order_cancelled", "out_of_stock"),
    ("payment_declined", "stock_reserved"): ("order_cancelled", "payment_declined"),
    ("payment_declined", "stock_rejected"): ("order_cancelled", "out_of_stock"),
}

orders = st.builds(generate_order_event, st.integers(0, 10**9), run_id=st.just("shop"), start=st.just(START))


def play(order, pick=lambda count: 0, *, seed=0, approval_rate=0.9, stock_rate=0.8):
    """All events of an order, from placing it until nobody has anything left to do.

    `pick` chooses which of the deliveries that are due comes next: topics are not ordered among each other.
    """
    waiting = None

    def ship(event):
        nonlocal waiting
        waiting, results = shipping_handler.join(waiting, event)
        return results

    reactions = {
        "payment_processor": lambda e: payment_processor.react(e, seed=seed, approval_rate=approval_rate),
        "inventory_manager": lambda e: inventory_manager.react(e, seed=seed, stock_rate=stock_rate),
        "shipping_handler": ship,
        "notification_handler": notification_handler.react,
    }
    assert reactions.keys() == {service.name for service in TOPOLOGY.processors}

    def deliveries(event):
        topic = TOPOLOGY.topic_of[event.event_type]
        return [(s.name, event) for s in TOPOLOGY.processors if topic in s.consumes]

    events, due = [order], deliveries(order)
    while due:
        service, event = due.pop(pick(len(due)))
        for result in reactions[service](event):
            assert TOPOLOGY.topic_of[result.event_type] in TOPOLOGY.services[service].produces
            events.append(result)
            due += deliveries(result)
    assert waiting is None
    return {event.event_type: event for event in events} if len(set(events)) == len(events) else pytest.fail("doubles")


@given(orders, st.sampled_from([0, 1]), st.sampled_from([0, 1]), st.data())
def test_each_of_the_four_ends_has_one_outcome_one_message_and_no_money_lost(order, approval, stock, data):
    def pick(count):
        return data.draw(st.integers(0, count - 1))

    events = play(order, pick, approval_rate=approval, stock_rate=stock)
    decisions = tuple(t for t in events if t in {name for pair in ENDINGS for name in pair})
    outcome, kind = ENDINGS[tuple(sorted(decisions))]
    undone = {
        *(["payment_refunded"] if outcome == "order_cancelled" and approval else []),
        *(["stock_released"] if outcome == "order_cancelled" and stock else []),
    }
    assert events.keys() == {"order_placed", *decisions, outcome, "customer_notified", *undone}
    assert events["customer_notified"].kind == kind

    def amount(event_type):
        return events[event_type].amount if event_type in events else 0

    assert amount("payment_approved") - amount("payment_refunded") == amount("order_shipped")
    if "stock_released" in events:
        assert events["stock_released"].lines == events["stock_reserved"].lines


@given(orders, st.integers(), st.data())
def test_the_sequence_of_deliveries_changes_no_byte(order, seed, data):
    in_turn = play(order, seed=seed)
    shuffled = play(order, lambda count: data.draw(st.integers(0, count - 1)), seed=seed)
    assert {t: encode(e) for t, e in in_turn.items()} == {t: encode(e) for t, e in shuffled.items()}


def test_payment_and_stock_are_decided_independently():
    """Pearson's test over the four pairs of decisions: 16.27 is exceeded by chance once in 1000 (3 degrees)."""
    seen = Counter(
        (
            payment_processor.process_payment(order, seed=3).event_type,
            inventory_manager.check_inventory(order, seed=3).event_type,
        )
        for order in generate_orders(0, 10_000, run_id="independent", start=START)
    )
    expected = {
        pair: 10_000 * (0.9, 0.1)["declined" in pair[0]] * (0.8, 0.2)["rejected" in pair[1]] for pair in ENDINGS
    }
    assert sum((seen[pair] - expected[pair]) ** 2 / expected[pair] for pair in ENDINGS) < 16.27


def test_the_options_in_the_topology_are_arguments_of_the_cores():
    order = generate_order_event(run_id="options", start=START)
    for name, module in (("payment_processor", payment_processor), ("inventory_manager", inventory_manager)):
        assert module.react(order, **TOPOLOGY.services[name].options) == module.react(order)


def test_a_service_is_named_as_the_topology_names_it():
    for module in (payment_processor, inventory_manager, shipping_handler, notification_handler):
        assert module.__name__.endswith(f".{module.SERVICE}")
        assert module.SERVICE in TOPOLOGY.services


SERVICES = Path(__file__).parent.parent / "services"
EVENTS = {"order_generator": {"orders": 0}}  # {} gives the others nothing to do


@pytest.mark.parametrize("name", ["hello_world", *TOPOLOGY.services])
def test_a_service_works_as_the_only_module_of_a_lambda(name, tmp_path):
    function = shutil.copytree(SERVICES / name, tmp_path / "task", ignore=shutil.ignore_patterns("__*__*"))
    libraries = Path(sys.modules["shopstream"].__file__).parents[1]
    call = f"{name}.handler({EVENTS.get(name, {})}, None)"
    code = f"import sys; sys.path.insert(0, {str(libraries)!r}); import {name}; print({call})"
    result = subprocess.run([sys.executable, "-c", code], cwd=function, capture_output=True, text=True, check=True)
    assert result.stdout
    assert result.stderr == ""

"""Killed at any point, and delivered again as AWS does, an order has one outcome: never none, never two that differ.

The whole way of shipping_handler as a function is taken, ports included: each call of a port is a point before which
and after which the environment may die. What it held in memory is gone then; table and topics stay.
"""

import itertools
import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.inventory_manager.inventory_manager import check_inventory
from services.order_generator.order_generator import generate_orders
from services.payment_processor.payment_processor import process_payment
from services.shipping_handler.shipping_handler import join
from shopstream.deadletter import origin_of
from shopstream.events import encode
from shopstream.runtime.order_table import MemoryOrderTable
from tests.lambda_fakes import ALL_DONE, TOPOLOGY, Context, function_of, payload, raw

START = datetime(2026, 1, 1, tzinfo=UTC)
ENDINGS = list(itertools.product((1, 0), (1, 0)))
ORDERS = list(generate_orders(0, 4, run_id="crash", start=START))
PAYMENTS = [process_payment(o, approval_rate=a) for o, (a, _) in zip(ORDERS, ENDINGS, strict=True)]
STOCKS = [check_inventory(o, stock_rate=s) for o, (_, s) in zip(ORDERS, ENDINGS, strict=True)]


def expected(payments=PAYMENTS, stocks=STOCKS):
    outcomes = [join(*pair)[1][0] for pair in zip(payments, stocks, strict=True)]
    return {o.order_id.encode(): (TOPOLOGY.topic_of[o.event_type], encode(o)) for o in outcomes}


class Killed(BaseException):
    """The end of an environment: nothing catches it."""


class World:
    """Table and topics, which outlive every environment, and the points at which one dies."""

    def __init__(self, kills=()):
        self.table = MemoryOrderTable()
        self.topics = []
        self.kills = set(kills)
        self.points = 0
        self.wait = lambda: None

    def point(self):
        self.points += 1
        if self.points in self.kills:
            raise Killed

    def open(self):
        self.point()

    def record(self, *args):
        self.wait()
        self.point()
        stored = self.table.record(*args)
        self.point()
        return stored

    def publish(self, messages, within):
        self.wait()
        for message in messages:
            self.point()
            self.topics.append(message)
        self.point()  # acknowledged, but nobody has heard of it
        return {}

    def deliver(self, batch):
        """As an event source mapping does: the same batch again until the function says that it is done."""
        while True:
            try:
                answer = function_of("shipping_handler", self, table=self).handle(batch, Context())
                self.point()  # done, but the answer does not reach AWS
            except Killed:
                continue
            assert answer == ALL_DONE
            return

    def check(self, outcomes=None):
        outcomes = expected() if outcomes is None else outcomes
        letters = [origin_of(m.headers).reason for m in self.topics if m.topic == "dead_letters"]
        assert set(letters) <= {"contradiction"}
        found = {(m.key, m.topic, m.value) for m in self.topics if m.topic != "dead_letters"}
        assert found == {(key, *outcome) for key, outcome in outcomes.items()}
        return letters


def batches(events, size):
    """The records of one mapping, in batches."""
    topic = TOPOLOGY.topic_of[events[0].event_type]
    raws = [raw(topic, offset, e.order_id.encode(), encode(e)) for offset, e in enumerate(events)]
    return [payload(*raws[at : at + size]) for at in range(0, len(raws), size)]


def merges(one, other):
    """Every sequence in which the batches of two mappings can come, each mapping's own in turn."""
    for places in itertools.combinations(range(len(one) + len(other)), len(one)):
        ones, others = iter(one), iter(other)
        yield [next(ones) if place in places else next(others) for place in range(len(one) + len(other))]


def run(sequence, kills=()):
    world = World(kills)
    for batch in sequence:
        world.deliver(batch)
    return world


SEQUENCES = [
    sequence
    for payment_size, stock_size in ((1, 4), (4, 1), (4, 4), (2, 2), (3, 2))
    for sequence in merges(batches(PAYMENTS, payment_size), batches(STOCKS, stock_size))
]


@pytest.mark.parametrize("number", range(len(SEQUENCES)))
def test_killed_at_each_point_of_each_sequence(number):
    sequence = SEQUENCES[number]
    quiet = run(sequence)
    quiet.check()
    assert len(quiet.topics) == len(ORDERS)
    for kill in range(1, quiet.points + 1):
        killed = run(sequence, [kill])
        assert killed.points > quiet.points
        killed.check()


def test_killed_twice_at_any_two_points():
    sequence = next(merges(batches(PAYMENTS[:2], 2), batches(STOCKS[:2], 2)))
    outcomes = expected(PAYMENTS[:2], STOCKS[:2])
    most = run(sequence).points * 2
    for kills in itertools.combinations(range(1, most), 2):
        run(sequence, kills).check(outcomes)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_killed_again_and_again_with_batches_that_come_once_more_at_any_time(data):
    sequence = data.draw(st.sampled_from(SEQUENCES))
    once_more = data.draw(st.lists(st.tuples(st.sampled_from(sequence), st.integers(0, len(sequence))), max_size=5))
    sequence = list(sequence)
    for batch, place in once_more:
        sequence.insert(place, batch)
    run(sequence, data.draw(st.sets(st.integers(1, 150), max_size=12))).check()


def test_a_contradiction_never_makes_a_second_outcome():
    other = process_payment(ORDERS[0], approval_rate=0)
    assert other != PAYMENTS[0]
    events = [PAYMENTS[0], other]
    outcomes = expected(PAYMENTS[:1], STOCKS[:1])
    for size in (1, 2):
        for sequence in merges(batches(events, size), batches(STOCKS[:1], 1)):
            points = run(sequence).points
            for kill in range(points + 1):
                assert "contradiction" in run(sequence, [kill]).check(outcomes)


class Turns:
    """Lets two threads go on only when it is their turn, so that every interleaving can be played."""

    def __init__(self, turns):
        self._turns = list(turns)
        self._changed = threading.Condition()
        self._finished = set()

    def take(self, who):
        with self._changed:
            assert self._changed.wait_for(lambda: self._next() in {None, who}, timeout=10)
            if self._turns:
                self._turns.pop(0)
            self._changed.notify_all()

    def finish(self, who):
        with self._changed:
            self._finished.add(who)
            self._changed.notify_all()

    def _next(self):
        while self._turns and self._turns[0] in self._finished:
            self._turns.pop(0)
        return self._turns[0] if self._turns else None


@pytest.mark.parametrize("turns", sorted(set(itertools.permutations("ppss"))), ids="".join)
def test_two_environments_at_the_same_time(turns):
    """Each takes two steps: it records its half, and it publishes if it saw both."""
    world = World()
    scheduler = Turns(turns)
    world.wait = lambda: scheduler.take(threading.current_thread().name)
    done = []

    def serve(events):
        try:
            world.deliver(batches(events, 1)[0])
            done.append(events)
        finally:
            scheduler.finish(threading.current_thread().name)

    threads = [
        threading.Thread(target=serve, args=(events,), name=name)
        for name, events in (("p", PAYMENTS[:1]), ("s", STOCKS[:1]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(done) == 2
    world.check(expected(PAYMENTS[:1], STOCKS[:1]))


@pytest.mark.parametrize("flaw", ["second", "forgetful"])
def test_the_harness_notices_a_table_that_breaks_its_promise(flaw):
    """A table that keeps the last half instead of the first, and one that returns before the half is stored."""

    class Flawed(MemoryOrderTable):
        def record(self, order_id, topic, event, expires_at):
            if flaw == "second":
                self.items[order_id].pop(topic, None)
                return super().record(order_id, topic, event, expires_at)
            return {topic: event}

    world = World()
    world.table = Flawed()
    other = process_payment(ORDERS[0], approval_rate=0)
    for batch in (*batches(PAYMENTS[:1], 1), *batches(STOCKS[:1], 1), *batches([other], 1)):
        world.deliver(batch)
    with pytest.raises(AssertionError):
        world.check(expected(PAYMENTS[:1], STOCKS[:1]))

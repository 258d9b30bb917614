"""What every adapter must do: the worker's promises, as a suite that each adapter's test class inherits.

A world is a place where workers run: `MemoryWorld` here, `KafkaWorld` in tests/integration. A fault is a rule for one
write of a worker's output; the table of faults is crossed with a service that only reacts and one that joins.
"""

import dataclasses
import itertools
import time
from collections import Counter
from datetime import UTC, datetime

import pytest

from services.inventory_manager.inventory_manager import check_inventory
from services.order_generator.order_generator import generate_orders
from services.payment_processor.payment_processor import process_payment
from shopstream.deadletter import origin_of
from shopstream.errors import Abortable, Fenced, Uncertain
from shopstream.events import EventReader, encode
from shopstream.runtime.memory import MemoryKafka
from shopstream.runtime.processor import processor_for
from shopstream.runtime.transport import Batch
from shopstream.runtime.worker import Worker
from shopstream.topology import load

START = datetime(2026, 11, 23, 8, tzinfo=UTC)
_runs = itertools.count()


def orders_of_a_new_run(count):
    return list(generate_orders(0, count, run_id=f"b{next(_runs)}", seed=3, start=START))


class Faulty:
    """An output that fails by plan: one word for each write, then it is sound.

    abort: nothing is written, and the worker is told so.
    lost: nothing is written, and nobody knows.
    late: everything is written, and nobody knows.
    fenced: as after a transaction that timed out: nothing is written, a newer producer seems to exist.
    """

    def __init__(self, output, plan):
        self._output = output
        self._plan = list(plan)

    def write(self, batch, group=None):
        fault = self._plan.pop(0) if self._plan else None
        if fault == "abort":
            raise Abortable("planned")
        if fault == "lost":
            raise Uncertain("planned")
        if fault == "fenced":
            raise Fenced("planned")
        self._output.write(batch, group)
        if fault == "late":
            raise Uncertain("planned")

    def renew(self):
        self._output.renew()

    def close(self):
        self._output.close()


class World:
    """Workers over some adapter. Subclasses give what differs."""

    topology = load()

    def append(self, topic, key, value, partition=None, headers=None):
        """Write one record, as somebody outside the shop."""
        raise NotImplementedError

    def records(self, topic):
        """All committed records of a topic."""
        raise NotImplementedError

    def link(self, service, instance):
        """An input and an output for an instance of a service."""
        raise NotImplementedError

    def name(self, topic):
        """What a topic of the shop is called here."""
        return topic

    def worker(self, name, instance=0, faults=()):
        service = self.topology.services[name]
        source, sink = self.link(service, instance)
        worker = Worker(processor_for(self.topology, service), source, Faulty(sink, faults), sleep=lambda _: None)
        worker.start()
        return worker

    def place(self, *events):
        for event in events:
            self.append(self.topology.topic_of[event.event_type], event.order_id.encode(), encode(event))

    def events(self, topic):
        read = EventReader(self.topology.topics[self.name(topic)].events).read
        return [read(record.key, record.value) for record in self.records(topic)]

    def pump(self, *workers, until, timeout=60.0):
        """Let the workers work until a condition holds, and a little longer, to see that nothing follows."""
        deadline = time.monotonic() + timeout
        while not until():
            assert time.monotonic() < deadline, f"still not so; counts: {[vars(worker.counts) for worker in workers]}"
            for worker in workers:
                worker.step(0.05)
        for worker in (*workers, *workers):
            worker.step(0.05)


class MemoryWorld(World):
    def __init__(self):
        self._kafka = MemoryKafka(self.topology)

    def append(self, topic, key, value, partition=None, headers=None):
        self._kafka.append(topic, key, value, headers, partition=partition)

    def records(self, topic):
        return self._kafka.records(topic)

    def link(self, service, instance):
        return self._kafka.input(service), self._kafka.output(service, instance)


FAULTS = {
    "none": [],
    "an abort": ["abort"],
    "three aborts": ["abort"] * 3,
    "a commit that was lost": ["lost"],
    "a commit whose answer was lost": ["late"],
    "late, then lost, then an abort": ["late", "lost", "abort"],
    "an abort in the second batch": [None, "abort"],
    "an answer lost in the second batch": [None, "late"],
    "fenced by its own time-out": ["fenced"],
}
each_fault = pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)


class GroupBehaviour:
    """What depends on the group protocol. Inherited by each adapter's test class, which gives the fixture `world`."""

    def test_state_survives_a_restart(self, world):
        orders = orders_of_a_new_run(30)
        worker = world.worker("shipping_handler")
        world.place(*map(process_payment, orders))
        world.pump(worker, until=lambda: sum(map(len, worker._processor.waiting.values())) == 30)
        worker.close()
        successor = world.worker("shipping_handler")
        world.place(*map(check_inventory, orders))
        world.pump(successor, until=lambda: decided(world) >= 30)
        assert decided(world) == 30
        assert not any(successor._processor.waiting.values())
        successor.close()

    def test_partitions_and_their_state_move_to_a_second_instance(self, world):
        orders = orders_of_a_new_run(60)
        first = world.worker("shipping_handler", 0)
        world.place(*map(process_payment, orders))
        world.pump(first, until=lambda: sum(map(len, first._processor.waiting.values())) == 60)
        second = world.worker("shipping_handler", 1)
        both = (first, second)
        partitions = 2 * world.topology.topics[world.name("payment_result")].partitions
        world.pump(*both, until=lambda: 0 < (second.counts.partitions or 0) < partitions)
        world.pump(*both, until=lambda: first.counts.partitions + second.counts.partitions == partitions)
        world.place(*map(check_inventory, orders))
        world.pump(*both, until=lambda: decided(world) >= 60)
        ids = Counter(event.order_id for topic in ("order_shipped", "order_cancelled") for event in world.events(topic))
        assert ids == Counter(order.order_id for order in orders)
        assert all(worker.counts.written.total() for worker in both)
        first.close()
        second.close()

    def test_what_a_vanished_instance_had_read_is_processed_by_another(self, world):
        orders = orders_of_a_new_run(50)
        first = world.worker("payment_processor", 0)
        world.place(*orders)
        world.pump(first, until=lambda: len(world.records("payment_result")) >= 50)
        more = orders_of_a_new_run(50)
        world.place(*more)
        first._output = Reads(first._output)
        world.pump(first, until=lambda: first._output.batches)  # it has read, and gone as far as it could
        first.close()
        second = world.worker("payment_processor", 1)
        world.pump(second, until=lambda: len(world.records("payment_result")) >= 100)
        assert Counter(event.order_id for event in world.events("payment_result")) == Counter(
            order.order_id for order in (*orders, *more)
        )
        second.close()


class WorkerBehaviour(GroupBehaviour):
    """All of it. Inherited by each adapter's test class, which gives the fixture `world`."""

    @each_fault
    def test_a_service_answers_each_order_once(self, world, faults):
        worker = world.worker("payment_processor", faults=faults)
        first, second = orders_of_a_new_run(40), orders_of_a_new_run(40)
        world.place(*first)
        world.pump(worker, until=lambda: len(world.records("payment_result")) >= 40)
        world.place(*second)
        world.pump(worker, until=lambda: len(world.records("payment_result")) >= 80)
        answers = sorted(world.events("payment_result"), key=lambda event: event.event_id)
        assert answers == sorted(map(process_payment, (*first, *second)), key=lambda event: event.event_id)
        worker.close()

    @each_fault
    def test_a_join_decides_each_order_once(self, world, faults):
        worker = world.worker("shipping_handler", faults=faults)
        orders = orders_of_a_new_run(60)
        payments, stocks = list(map(process_payment, orders)), list(map(check_inventory, orders))
        world.place(*payments[:40], *stocks[20:])
        world.pump(worker, until=lambda: decided(world) >= 20)
        world.place(*stocks[:20], *payments[40:])
        world.pump(worker, until=lambda: decided(world) >= 60)
        ids = Counter(event.order_id for topic in ("order_shipped", "order_cancelled") for event in world.events(topic))
        assert ids == Counter(order.order_id for order in orders)
        shipped = {event.order_id for event in world.events("order_shipped")}
        assert shipped == {
            payment.order_id
            for payment, stock in zip(payments, stocks, strict=True)
            if (payment.event_type, stock.event_type) == ("payment_approved", "stock_reserved")
        }
        worker.close()

    def test_only_what_still_waits_is_written_to_the_changelog(self, world):
        orders = orders_of_a_new_run(30)
        worker = world.worker("shipping_handler")
        world.pump(worker, until=lambda: worker.counts.partitions)
        world.place(*map(process_payment, orders[:10]))
        world.pump(worker, until=lambda: len(world.records("shipping_handler_state")) >= 10)
        world.place(*map(check_inventory, orders[:10]))
        world.pump(worker, until=lambda: decided(world) >= 10)
        state = world.records("shipping_handler_state")
        waiting, done = [r for r in state if r.value is not None], [r for r in state if r.value is None]
        assert Counter(r.key for r in waiting) == Counter(r.key for r in done)
        assert {r.key.decode() for r in waiting} <= {order.order_id for order in orders[:10]}
        worker.close()

    def test_an_unusable_record_becomes_a_dead_letter_once_and_the_rest_flows_on(self, world):
        order = orders_of_a_new_run(1)[0]
        key = order.order_id.encode()
        bad = {
            "not_json": (key, b"{"),
            "empty": (key, None),
            "no_key": (None, encode(order)),
            "wrong_key": (b"another", encode(order)),
            "too_large": (key, b" " * 300_000),
        }
        for key_, value in bad.values():
            world.append("order_placed", key_, value, headers=[("trace", b"\x00\xff"), ("empty", None)])
        world.place(order)
        worker = world.worker("payment_processor", faults=["abort", "late"])
        world.pump(worker, until=lambda: len(world.records("dead_letters")) >= 5 and world.records("payment_result"))
        letters = {origin_of(record.headers).reason: record for record in world.records("dead_letters")}
        assert len(world.records("dead_letters")) == 5
        assert {reason: (record.key, record.value) for reason, record in letters.items()} == bad
        origins = {
            (origin.topic, origin.partition, origin.offset)
            for origin in (origin_of(record.headers) for record in letters.values())
        }
        unusable = [r for r in world.records("order_placed") if (r.key, r.value) != (key, encode(order))]
        assert origins == {(r.topic, r.partition, r.offset) for r in unusable}
        assert all(list(record.headers)[:2] == [("trace", b"\x00\xff"), ("empty", None)] for record in letters.values())
        assert world.events("payment_result") == [process_payment(order)]
        worker.close()

    def test_a_record_at_the_topics_limit_becomes_a_dead_letter_with_all_its_bytes(self, world):
        key, value = b"b-00000000", bytes(1_048_576 - 200)  # what is left is the record batch's own overhead
        world.append("order_placed", key, value)
        worker = world.worker("payment_processor")
        world.pump(worker, until=lambda: world.records("dead_letters"))
        (letter,) = world.records("dead_letters")
        assert (letter.key, letter.value) == (key, value)
        worker.close()

    def test_a_second_producer_with_its_id_stops_a_worker_for_good(self, world):
        worker = world.worker("payment_processor", faults=["fenced", "fenced"])
        world.place(*orders_of_a_new_run(5))
        with pytest.raises(Fenced, match="another instance uses the same transactional id"):
            world.pump(worker, until=lambda: False)
        worker.close()


class Reads:
    """An output that never gets anything through."""

    def __init__(self, output):
        self._output = output
        self.batches = 0

    def write(self, batch: Batch, group=None):
        self.batches += 1
        raise Abortable("the process is about to vanish")

    def close(self):
        self._output.close()


def decided(world):
    return len(world.records("order_shipped")) + len(world.records("order_cancelled"))


def renamed(topology, prefix, partitions):
    """The topology with other names for topics and groups, so that worlds on one cluster do not meet."""

    def new(name):
        return f"{prefix}{name}" if name else name

    topics = {
        new(t.name): dataclasses.replace(t, name=new(t.name), partitions=min(t.partitions, partitions), replication=1)
        for t in topology.topics.values()
    }
    services = {
        s.name: dataclasses.replace(
            s,
            consumes=tuple(map(new, s.consumes)),
            produces=tuple(map(new, s.produces)),
            group=new(s.group),
            state=new(s.state),
            progress=new(s.progress),
            dead_letters=new(s.dead_letters),
        )
        for s in topology.services.values()
    }
    return dataclasses.replace(topology, topics=topics, services=services, dead_letters=new(topology.dead_letters))

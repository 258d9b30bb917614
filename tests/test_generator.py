"""The generator loses no order and doubles none, whatever its output does, and goes on where a killed one stopped."""

from datetime import UTC, datetime

import msgspec
import pytest

from services.order_generator.order_generator import generate_orders
from shopstream.errors import Fatal, Fenced, UsageError
from shopstream.events import encode
from shopstream.runs import Run
from shopstream.runtime.generator import MOST_ORDERS, Generator, check_run, read_runs
from shopstream.runtime.memory import MemoryKafka
from shopstream.topology import load
from tests.behaviour import FAULTS, Faulty

TOPOLOGY = load()
RUN = Run(run_id="g", orders=2 * MOST_ORDERS + 10, seed=5, start=datetime(2026, 11, 23, tzinfo=UTC), shop_rate=10.0)


def orders(run, first, count):
    return generate_orders(first, count, run_id=run.run_id, seed=run.seed, start=run.start, shop_rate=run.shop_rate)


class Log:
    def __init__(self, kafka):
        self._input = kafka.input(TOPOLOGY.source)

    def read(self, topic, partitions):
        return self._input.read_log(topic, partitions)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def generator(kafka, faults=(), run=RUN, **options):
    clock = options.pop("clock", Clock())
    sink = Faulty(kafka.output(TOPOLOGY.source), faults)
    return Generator(TOPOLOGY, run, orders, sink, Log(kafka), clock=clock, sleep=clock.sleep, **options)


def placed(kafka):
    return sorted(record.value for record in kafka.records("order_placed"))


def expected(run=RUN):
    return sorted(map(encode, orders(run, 0, run.orders)))


@pytest.fixture
def kafka():
    return MemoryKafka(TOPOLOGY)


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_every_order_is_placed_once(kafka, faults):
    acknowledged = []
    source = generator(kafka, faults, acknowledged=acknowledged.append)
    source.run(stopping=lambda: False)
    assert placed(kafka) == expected()
    assert read_runs(Log(kafka), TOPOLOGY) == {"g": msgspec.structs.replace(RUN, committed=RUN.orders)}
    assert acknowledged[-1].committed == RUN.orders


def test_at_least_once_a_run_is_known_before_its_first_order(kafka):
    """There the orders are on their topic before the note that counts them, and may be answered already."""
    run = msgspec.structs.replace(RUN, guarantee="at-least-once")
    source = generator(kafka, run=run)
    source._ask_kafka()
    assert source.step() == 0
    assert placed(kafka) == []
    assert read_runs(Log(kafka), TOPOLOGY) == {"g": run}
    assert source.step() == MOST_ORDERS
    successor = generator(kafka, run=run)
    successor.run(stopping=lambda: False)
    assert placed(kafka) == expected()


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_successor_goes_on_where_a_killed_one_stopped(kafka, steps):
    killed = generator(kafka)
    for _ in range(steps):
        killed.step()
    generator(kafka).run(stopping=lambda: False)
    assert placed(kafka) == expected()


def test_the_killed_one_can_write_no_more_once_its_successor_is_there(kafka):
    killed = generator(kafka)
    killed.step()
    generator(kafka).run(stopping=lambda: False)
    killed._output._plan = []
    with pytest.raises(Fenced):
        killed._output._output.write(killed._batch(RUN, 10))
    assert placed(kafka) == expected()


def test_fenced_twice_is_another_generator(kafka):
    with pytest.raises(Fenced, match="another instance"):
        generator(kafka, ["fenced", "fenced"]).run(stopping=lambda: False)


def test_it_gives_up_when_no_transaction_succeeds(kafka):
    with pytest.raises(Fatal, match="run g: 21 transactions in a row failed"):
        generator(kafka, ["abort"] * 100).run(stopping=lambda: False)


def test_it_stops_when_it_is_told(kafka):
    generator(kafka).run(stopping=lambda: len(kafka.records("order_placed")) >= MOST_ORDERS)
    assert len(placed(kafka)) == MOST_ORDERS


def test_a_rate_is_kept(kafka):
    clock = Clock()
    run = msgspec.structs.replace(RUN, orders=1_000)
    generator(kafka, run=run, rate=100.0, clock=clock).run(stopping=lambda: False)
    assert placed(kafka) == expected(run)
    assert clock.now == pytest.approx(10, abs=0.1)


def test_an_unfinished_run_is_found_again():
    half = msgspec.structs.replace(RUN, committed=7)
    assert check_run(RUN, {}) is None
    assert check_run(RUN, {"g": half}) == half


@pytest.mark.parametrize("change", [{"orders": 9}, {"seed": 6}, {"shop_rate": 11.0}, {"guarantee": "at-least-once"}])
def test_another_run_of_the_same_name_is_refused(change):
    with pytest.raises(UsageError, match=f"--orders {RUN.orders} --seed 5 --start 2026-11-23T00:00:00"):
        check_run(msgspec.structs.replace(RUN, **change), {"g": RUN})


@pytest.mark.parametrize(("seen", "wanted"), [("worker", "lambda"), ("lambda", "worker")])
def test_workers_and_lambda_functions_do_not_share_a_cluster_s_history(seen, wanted):
    before = msgspec.structs.replace(RUN, run_id="earlier", platform=seen)
    with pytest.raises(UsageError, match=f"--on {seen}, or begin afresh"):
        check_run(msgspec.structs.replace(RUN, platform=wanted), {"earlier": before})
    assert check_run(msgspec.structs.replace(RUN, platform=seen), {"earlier": before}) is None

"""A worker loses nothing and doubles nothing, whatever its output does: shown on the adapter in memory."""

import pytest

from shopstream.errors import Fatal
from shopstream.records import Record
from shopstream.runtime.memory import murmur2, partition_for
from shopstream.runtime.processor import processor_for
from shopstream.runtime.transport import Partition
from shopstream.runtime.worker import Worker
from shopstream.topology import load
from tests.behaviour import MemoryWorld, WorkerBehaviour, orders_of_a_new_run


class TestWorkerInMemory(WorkerBehaviour):
    @pytest.fixture
    def world(self):
        return MemoryWorld()

    def test_it_gives_up_when_no_transaction_succeeds(self, world):
        worker = world.worker("payment_processor", faults=["abort"] * 100)
        world.place(*orders_of_a_new_run(1))
        with pytest.raises(Fatal, match="21 transactions in a row failed"):
            world.pump(worker, until=lambda: False)


class Recorder:
    """An input that only takes note of what its worker asks for."""

    def __init__(self):
        self.started, self.held, self.restored = [], [], []

    def subscribe(self, topics, rebalance):
        self.topics = topics

    def committed(self, partitions):
        return dict.fromkeys(partitions, 5)

    def start(self, positions):
        self.started.append(positions)

    def hold(self, partitions):
        self.held.append(set(partitions))

    def read_log(self, topic, partitions):
        self.restored.append((topic, list(partitions)))
        return iter(())


class TestHalfOfAJoin:
    """A join's partition is worked on only while the same partition of every topic is ours."""

    @pytest.fixture
    def worker(self):
        topology = load()
        return Worker(processor_for(topology, topology.services["shipping_handler"]), Recorder(), sink=None)

    PAYMENT, STOCK = Partition("payment_result", 2), Partition("inventory_result", 2)

    def test_the_first_half_is_held(self, worker):
        worker.assigned([self.PAYMENT])
        assert worker._input.started == worker._input.restored == []
        assert worker._input.held[-1] == {self.PAYMENT}

    def test_both_halves_start_from_what_is_committed_with_their_state_restored(self, worker):
        worker.assigned([self.PAYMENT])
        worker.assigned([self.STOCK])
        assert worker._input.started == [{self.PAYMENT: 5, self.STOCK: 5}]
        assert worker._input.restored == [("shipping_handler_state", [2])]
        assert worker._input.held[-1] == set()

    def test_losing_one_half_holds_the_other_and_drops_the_state(self, worker):
        worker.assigned([self.PAYMENT, self.STOCK])
        worker.revoked([self.STOCK])
        assert worker._input.held[-1] == {self.PAYMENT}
        assert 2 not in worker._processor.waiting
        records = [Record("payment_result", 2, 5, 0, b"k", b"v"), Record("inventory_result", 2, 5, 0, b"k", b"v")]
        assert worker._fresh(records) == []

    def test_a_record_that_comes_twice_in_one_batch_counts_once(self, worker):
        worker.assigned([self.PAYMENT, self.STOCK])
        records = [Record("payment_result", 2, offset, 0, b"k", b"v") for offset in (4, 5, 6, 5, 6, 7)]
        assert [record.offset for record in worker._fresh(records)] == [5, 6, 7]


@pytest.mark.parametrize(
    ("key", "expected"),
    # Computed by Kafka's own Utils.murmur2 (its unit test, UtilsTest.testMurmur2).
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_keys_are_placed_as_java_places_them(key, expected):
    assert murmur2(key) == expected & 0xFFFFFFFF
    assert 0 <= partition_for(key, 6) < 6

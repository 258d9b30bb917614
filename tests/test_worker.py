"""A worker loses nothing and doubles nothing, whatever its output does: shown on the adapter in memory."""

import pytest

from shopstream.errors import Fatal
from shopstream.runtime.memory import murmur2, partition_for
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

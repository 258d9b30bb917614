"""Where a mapping begins to read a partition, and that it goes on there whatever becomes of its first batch."""

import time

import pytest

from tests.integration.lambda_kafka import counts, world
from tests.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.infra]

__all__ = ["world"]


def mapped(position):
    fields = {"starting_position": position}
    if position == "AT_TIMESTAMP":
        fields["starting_timestamp"] = int(time.time() * 1000) + 1
        until(lambda: time.time() * 1000 > fields["starting_timestamp"], "the clock has moved on")
    return fields


def test_the_latest_position_leaves_out_what_was_there(world):
    world.send(3)
    with world.host("note", mapping=mapped("LATEST")) as host:
        until(lambda: host.ready, "the poller has its partitions")
        until(lambda: world.committed() == 3, "the group has its place")
        assert counts(host).lag == 0
        world.send(3)
        until(lambda: counts(host).delivered == 3, "what is sent later comes")
    assert {value for *_, value in world.got} == {"3", "4", "5"}


@pytest.mark.parametrize("position", ["LATEST", "AT_TIMESTAMP"])
def test_a_first_batch_that_fails_is_there_again_after_a_restart(world, position):
    world.send(3)
    mapping = mapped(position)
    with world.host("poison", mapping=mapping) as host:
        until(lambda: host.ready, "the poller has its partitions")
        world.send(30)
        until(lambda: counts(host).failures, "the function fails")
        until(lambda: counts(host).lag == 30, "the records are known to wait")
    world.mended.touch()
    before = len(world.got)
    with world.host("poison", mapping=mapping) as host:
        until(lambda: world.committed() == 33, "all of them are done")
        assert counts(host).delivered == 30
    assert {value for *_, value in world.got[before:]} == {str(number) for number in range(3, 33)}


def test_a_position_in_time_leaves_out_what_was_before(world):
    world.send(3)
    middle = int(time.time() * 1000) + 1
    until(lambda: time.time() * 1000 > middle, "the clock has moved on")
    world.send(3)
    with world.host("note", mapping={"starting_position": "AT_TIMESTAMP", "starting_timestamp": middle}) as host:
        until(lambda: counts(host).delivered >= 3, "those since then come")
    assert {value for *_, value in world.got} == {"3", "4", "5"}

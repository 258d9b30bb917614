"""Every record of a batch succeeds, is given up by a rule of its mapping, or stays uncommitted."""

import json
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopstream.lambdas.bookkeeping import FaultDraw, Tally
from shopstream.lambdas.delivery import Abandoned, Delivery, reported_failures
from shopstream.lambdas.model import Faults, MappingConfig, Provisioned
from shopstream.lambdas.payload import LARGEST, Partition, Record
from shopstream.lambdas.results import Invocation

P0, P1 = Partition("t", 0), Partition("t", 1)
OK = Invocation("id", b"null", environment=7)
FAILED = Invocation("id", b'{"errorType":"ValueError"}', "Unhandled")
THROTTLED = Invocation("id", b"{}", "TooManyRequestsException")
NOW = 1_700_000_000.0


def record(offset, partition=P0, *, age=0.0, size=1, epoch=0):
    return Record(partition, offset, int((NOW - age) * 1000), "CREATE_TIME", b"k", bytes(size), (), epoch)


def partial(*places):
    items = [{"itemIdentifier": {"partition": str(p), "offset": o}} for p, o in places]
    return Invocation("id", json.dumps({"batchItemFailures": items}).encode())


class World:
    """What a poller would do, noted down. `answers` are the function's, one after the other, the last for ever."""

    def __init__(self, *answers, **changes):
        fields = {"uuid": "u", "function": "f", "topic": "t", "bootstrap_servers": ("b:1",), **changes}
        faults = fields.pop("faults", Faults())
        largest = fields.pop("largest", LARGEST)
        self.answers = chain(answers or [OK], repeat((answers or [OK])[-1]))
        self.calls, self.pauses, self.commits, self.discarded, self.killed = [], [], {}, [], []
        self.committed_after = []  # how many calls there had been at each commit
        self.lost, self.first, self.time = set(), {}, NOW
        self.most_pauses = 50
        self.on_call = lambda: None
        self.tally = Tally()
        mapping = MappingConfig(**fields)
        self.delivery = Delivery(mapping, self, self.tally, FaultDraw(faults, "u"), largest=largest)

    def deliver(self, *records):
        return self.delivery.deliver(records)

    def invoke(self, payload):
        sent = json.loads(payload)["records"]
        self.calls.append([(each["partition"], each["offset"]) for batch in sent.values() for each in batch])
        self.on_call()
        return next(self.answers)

    def pause(self, seconds):
        self.pauses.append(seconds)
        self.time += seconds
        return len(self.pauses) < self.most_pauses

    def holds(self, record):
        return (record.partition, record.epoch) not in self.lost

    def earliest(self, partitions):
        return {partition: self.first.get(partition, 0) for partition in partitions}

    def commit(self, offsets):
        for partition, offset in offsets.items():
            assert offset >= self.commits.get(partition, 0), "a commit went back"
        self.commits |= offsets
        self.committed_after.append(len(self.calls))

    def discard(self, discarded):
        self.discarded.append(discarded)

    def kill(self, environment):
        self.killed.append(environment)

    def now(self):
        return self.time


def provisioned(*answers, **changes):
    return World(*answers, provisioned=Provisioned(1, 1), **changes)


def test_a_batch_that_succeeds_is_committed_afterwards():
    world = World(OK)
    assert world.deliver(record(5), record(9, P1), record(6))
    assert world.calls == [[(0, 5), (0, 6), (1, 9)]]
    assert (world.commits, world.committed_after) == ({P0: 7, P1: 10}, [1])
    assert (world.tally.delivered, world.tally.batches, world.tally.last_result) == (3, 1, "OK")


def test_on_demand_the_whole_batch_is_retried_until_it_succeeds():
    world = World(*[FAILED] * 20, OK)
    assert world.deliver(record(5), record(6, P1))
    assert world.calls == [[(0, 5), (1, 6)]] * 21
    assert (world.commits, world.committed_after) == ({P0: 6, P1: 7}, [21])
    assert world.pauses[:3] == [0.1, 0.2, 0.4]
    assert max(world.pauses) == world.pauses[-1] == 10
    assert (world.tally.failures, world.tally.retries, world.tally.discarded) == (20, 20, 0)


def test_on_demand_a_partial_answer_is_a_success():
    """Without ReportBatchItemFailures, what a function returns means nothing."""
    world = World(partial((P0, 5)))
    assert world.deliver(record(5), record(6))
    assert (len(world.calls), world.commits) == (1, {P0: 7})


def test_records_that_the_brokers_have_dropped_are_given_up():
    world = World(FAILED, FAILED, FAILED, FAILED, FAILED, FAILED, FAILED, FAILED, FAILED, FAILED, OK)
    world.on_call = lambda: world.first.update({P0: 6}) if len(world.calls) == 2 else None
    world.most_pauses = 100
    assert world.deliver(record(5), record(6))
    assert (world.calls[0], world.calls[-1]) == ([(0, 5), (0, 6)], [(0, 6)])
    (given_up,) = world.discarded
    assert ([each.offset for each in given_up.records], given_up.condition) == ([5], "RecordsExpired")
    assert world.commits == {P0: 7}


def test_a_stop_leaves_the_rest_uncommitted():
    world = World(FAILED)
    world.most_pauses = 3
    assert not world.deliver(record(5), record(6))
    assert (len(world.calls), world.commits) == (3, {})


def test_a_batch_beyond_6_mb_goes_in_pieces_that_are_committed_one_by_one():
    world = World(OK, FAILED, OK, largest=900)
    records = [record(n, size=300) for n in range(3)]
    assert world.deliver(*records)
    assert world.calls == [[(0, 0)], [(0, 1)], [(0, 1)], [(0, 2)]]
    assert (world.commits, world.committed_after) == ({P0: 3}, [1, 3, 4])


@pytest.mark.parametrize("make", [World, provisioned])
def test_a_record_beyond_6_mb_is_given_up_without_a_call(make):
    world = make(OK, largest=900)
    assert world.deliver(record(1), record(2, size=900), record(3))
    assert world.calls == [[(0, 1)], [(0, 3)]]
    (given_up,) = world.discarded
    assert (given_up.condition, given_up.invocations, given_up.last) == ("MaximumPayloadSizeExceeded", 0, None)
    assert (world.commits, world.tally.discarded) == ({P0: 4}, 1)


def test_throttling_is_waited_out_and_is_no_failure():
    world = provisioned(THROTTLED, THROTTLED, OK, maximum_retry_attempts=0)
    assert world.deliver(record(1))
    assert (world.tally.throttled, world.tally.failures, world.tally.invocations) == (2, 0, 1)
    assert world.commits == {P0: 2}


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_after_the_last_retry_the_batch_is_given_up(retries):
    world = provisioned(FAILED, maximum_retry_attempts=retries)
    assert world.deliver(record(1), record(2))
    assert len(world.calls) == retries + 1
    (given_up,) = world.discarded
    assert (given_up.condition, given_up.invocations, given_up.last) == ("RetryAttemptsExhausted", retries + 1, FAILED)
    assert (world.commits, world.tally.discarded, world.tally.delivered) == ({P0: 3}, 2, 0)


def test_bisecting_isolates_the_bad_record_and_keeps_the_order():
    world = provisioned(maximum_retry_attempts=1, bisect_batch_on_function_error=True)
    world.invoke = lambda payload: (
        world.calls.append([each["offset"] for each in json.loads(payload)["records"]["t-0"]])
        or (FAILED if 2 in world.calls[-1] else OK)
    )
    assert world.deliver(*map(record, range(4)))
    assert world.calls == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [2], [3]]
    assert [each.offset for given_up in world.discarded for each in given_up.records] == [2]
    assert world.commits == {P0: 4}


def test_a_partial_answer_retries_only_what_failed():
    world = provisioned(partial((P0, 6), (P1, 1)), partial((P1, 1)), OK, report_batch_item_failures=True)
    assert world.deliver(record(5), record(6), record(7), record(1, P1), record(2, P1))
    assert world.calls == [[(0, 5), (0, 6), (0, 7), (1, 1), (1, 2)], [(0, 6), (1, 1)], [(1, 1)]]
    assert world.commits == {P0: 8, P1: 3}
    assert world.tally.delivered == 5


def test_nothing_behind_a_record_that_failed_is_committed():
    world = provisioned(partial((P0, 6)), FAILED, report_batch_item_failures=True)
    world.most_pauses = 4
    assert not world.deliver(record(5), record(6), record(7), record(1, P1))
    assert world.commits == {P0: 6, P1: 2}


def test_an_item_that_fails_for_ever_is_given_up_like_a_batch():
    world = provisioned(partial((P0, 6)), report_batch_item_failures=True, maximum_retry_attempts=2)
    assert world.deliver(record(5), record(6))
    assert world.calls == [[(0, 5), (0, 6)], [(0, 6)], [(0, 6)]]
    assert [each.offset for given_up in world.discarded for each in given_up.records] == [6]
    assert world.commits == {P0: 7}


def test_an_item_that_was_not_in_the_batch_means_that_all_failed():
    world = provisioned(partial((P0, 99)), OK, report_batch_item_failures=True)
    assert world.deliver(record(5), record(6))
    assert world.calls == [[(0, 5), (0, 6)]] * 2


@pytest.mark.parametrize(
    ("answer", "places"),
    [
        (b"", set()),
        (b"null", set()),
        (b"{}", set()),
        (b'{"batchItemFailures": null}', set()),
        (b'{"batchItemFailures": []}', set()),
        (b'{"batchItemFailures": [{"itemIdentifier": {"partition": "t-0", "offset": 3}}]}', {("t-0", 3)}),
        (b'{"batchItemFailures": [{"itemIdentifier": {"partition": "t-0", "offset": "3"}}]}', {("t-0", 3)}),
        (b'{"batchItemFailures": [{"itemIdentifier": {"partition": "t-0", "offset": null}}]}', None),
        (b'{"batchItemFailures": [{"itemIdentifier": "3"}]}', None),
        (b'{"batchItemFailures": [{"id": 3}]}', None),
        (b'{"batchItemFailures": 3}', None),
        (b'"done"', None),
        (b"{", None),
    ],
)
def test_what_an_answer_reports(answer, places):
    assert reported_failures(answer) == places


def test_a_record_that_grows_too_old_is_given_up():
    world = provisioned(FAILED, maximum_record_age=60)
    world.most_pauses = 100
    assert world.deliver(record(1, age=100), record(2, age=50), record(3))
    assert world.calls[0] == [(0, 2), (0, 3)]
    assert world.calls[-1] == [(0, 3)]
    assert [(g.records[0].offset, g.condition) for g in world.discarded] == [
        (n, "RecordAgeExceeded") for n in (1, 2, 3)
    ]
    assert world.commits == {P0: 4}


def test_what_another_poller_has_now_is_neither_retried_nor_committed():
    world = World(FAILED, OK)
    world.on_call = lambda: world.lost.add((P0, 0))
    assert world.deliver(record(1), record(2, P1))
    assert world.calls == [[(0, 1), (1, 2)], [(1, 2)]]
    assert world.commits == {P1: 3}


def test_a_partition_that_left_and_came_back_is_not_committed_by_the_old_batch():
    """It is read anew from the committed offset: committing further would lose what is read then, on a crash."""
    world = World(OK)
    world.lost.add((P0, 0))
    assert world.deliver(record(1), record(2), record(1, epoch=1))
    assert (world.calls, world.commits) == ([[(0, 1)]], {P0: 2})


def test_redelivery_comes_once_and_before_the_commit():
    world = World(OK, faults=Faults(redeliver=1))
    assert world.deliver(record(1), record(2))
    assert (world.calls, world.commits, world.committed_after) == ([[(0, 1), (0, 2)]] * 2, {P0: 3}, [2])
    assert (world.tally.delivered, world.tally.redelivered) == (4, 2)


def test_a_redelivered_batch_that_fails_is_retried():
    world = World(OK, FAILED, FAILED, OK, faults=Faults(redeliver=1))
    assert world.deliver(record(1))
    assert (len(world.calls), world.committed_after) == (4, [4])


def test_a_lost_answer_is_a_failure_once():
    world = World(OK, faults=Faults(fail=1))
    assert world.deliver(record(1))
    assert (len(world.calls), world.tally.failures, world.committed_after) == (2, 1, [2])


def test_a_crash_takes_the_environment_and_the_commit():
    world = World(OK, faults=Faults(crash=1))
    assert world.deliver(record(1))
    assert (world.killed, len(world.calls), world.committed_after) == ([7], 2, [2])


def test_an_abandoned_batch_commits_nothing():
    world = World(OK)

    def abandon():
        raise Abandoned

    world.on_call = abandon
    with pytest.raises(Abandoned):
        world.deliver(record(1))
    assert world.commits == {}


def test_the_same_seed_draws_the_same_faults():
    def drawn(seed, salt, count=200):
        draw = FaultDraw(Faults(0.2, 0.2, 0.2, seed), salt)
        return [draw() for _ in range(count)]

    assert drawn(1, "a") == drawn(1, "a")
    assert drawn(1, "a") != drawn(2, "a")
    assert drawn(1, "a") != drawn(1, "b")
    assert {None, "fail", "crash", "redeliver"} == set(drawn(1, "a"))


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 400)), min_size=1, max_size=12),
    st.lists(st.sampled_from(["ok", "failed", "throttled", "some"]), max_size=15),
    st.booleans(),
    st.integers(0, 3),
    st.floats(0, 1),
)
def test_whatever_happens_each_record_is_delivered_or_given_up(shape, outcomes, bisect, retries, fault):
    """And what is committed is finished, in each partition up to its end."""
    offsets = {}
    records = []
    for number, size in shape:
        partition = Partition("t", number)
        offsets[partition] = offsets.get(partition, 0) + 1
        records.append(record(offsets[partition], partition, size=size))
    world = provisioned(
        report_batch_item_failures=True,
        bisect_batch_on_function_error=bisect,
        maximum_retry_attempts=retries,
        faults=Faults(fault, fault, fault),
        largest=700,
    )
    world.most_pauses = 10_000
    left, fine = iter(outcomes), set()

    def invoke(payload):
        sent = json.loads(payload)["records"]
        places = [(name, each["offset"]) for name, batch in sent.items() for each in batch]
        outcome = next(left, "ok")
        if outcome == "failed":
            return FAILED
        if outcome == "throttled":
            return THROTTLED
        bad = places[::2] if outcome == "some" else []
        fine.update(set(places) - set(bad))
        items = [{"itemIdentifier": {"partition": p, "offset": o}} for p, o in bad]
        return Invocation("id", json.dumps({"batchItemFailures": items}).encode())

    world.invoke = invoke
    assert world.deliver(*records)
    given_up = {(str(each.partition), each.offset) for each in chain(*(g.records for g in world.discarded))}
    assert fine | given_up == {(str(each.partition), each.offset) for each in records}
    assert world.commits == {partition: last + 1 for partition, last in offsets.items()}

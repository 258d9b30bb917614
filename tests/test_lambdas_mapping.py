"""A mapping's pollers gather, deliver and commit, come back after trouble, and are as many as the lag asks for."""

import contextlib
import json
import threading
import time
from collections import deque

import pytest

from shopstream.lambdas.mapping import RunningMapping, wanted
from shopstream.lambdas.model import Faults, MappingConfig, Provisioned
from shopstream.lambdas.payload import Partition, Record
from shopstream.lambdas.results import Invocation
from shopstream.lambdas.source import SourceProblem, gather
from tests.waiting import until


class Log:
    """A topic with a consumer group of at most one member: what a broker would hold."""

    def __init__(self, partitions=2):
        self.records = {Partition("t", n): [] for n in range(partitions)}
        self.committed = dict.fromkeys(self.records, 0)
        self.problems = deque()  # each keeps a member from joining once
        self.members = []
        self.lock = threading.Lock()

    def append(self, number, count=1):
        partition = Partition("t", number)
        with self.lock:
            for _ in range(count):
                self.records[partition].append(len(self.records[partition]))

    def join(self, number):
        if self.problems:
            raise self.problems.popleft()
        member = Member(self)
        self.members.append(member)
        return member


class Member:
    """A source in memory."""

    trouble = ""

    def __init__(self, log):
        self.log = log
        self.epoch = 0
        self.position = dict(log.committed)
        self.assignment = frozenset(log.records)
        self.closed = False
        self.alive = 0
        self.broken = None

    partitions = property(lambda self: len(self.log.records))

    def fetch(self, timeout):
        deadline = time.monotonic() + timeout
        while True:
            if self.broken:
                raise self.broken
            with self.log.lock:
                for partition, at in self.position.items():
                    if at < len(self.log.records[partition]):
                        self.position[partition] += 1
                        return Record(partition, at, 0, "CREATE_TIME", None, b"v", (), self.epoch)
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.001)

    def keep_alive(self):
        self.alive += 1

    def rebalance(self):
        """Everything leaves and comes back."""
        self.epoch += 1
        self.position = dict(self.log.committed)

    def holds(self, record):
        return record.epoch == self.epoch

    def commit(self, offsets):
        assert not self.closed
        self.log.committed |= offsets

    def earliest(self, partitions):
        return dict.fromkeys(partitions, 0)

    def lag(self):
        return sum(len(records) - self.log.committed[p] for p, records in self.log.records.items())

    def close(self):
        self.closed = True


class Pretended:
    """A function that notes what it gets."""

    def __init__(self):
        self.got = []
        self.answer = lambda batch: None
        self.config = None

    def invoke(self, payload):
        batch = [(r["partition"], r["offset"]) for each in json.loads(payload)["records"].values() for r in each]
        self.got.append(batch)
        return Invocation("id", b"null", self.answer(batch))

    def kill(self, environment):
        pass

    @property
    def seen(self):
        return [place for batch in self.got for place in batch]


@contextlib.contextmanager
def running(log, function, *, faults=None, **changes):
    fields = {"uuid": "u", "function": "f", "topic": "t", "bootstrap_servers": ("b:1",), "window": 0.01, **changes}
    told = []
    mapping = RunningMapping(
        MappingConfig(**fields),
        function,
        log.join,
        tell=told.append,
        faults=faults or Faults(),
        destinations=None,
        most_pollers=1,
    )
    mapping.told = told
    mapping.start()
    try:
        yield mapping
    finally:
        mapping.stop()
        assert mapping.join(20)
    assert all(member.closed for member in log.members)


def test_everything_arrives_and_is_committed():
    log, function = Log(), Pretended()
    log.append(0, 250)
    log.append(1, 3)
    with running(log, function, batch_size=100) as mapping:
        until(lambda: log.committed == {Partition("t", 0): 250, Partition("t", 1): 3})
        until(lambda: mapping.ready)
    assert sorted(function.seen) == [(0, n) for n in range(250)] + [(1, n) for n in range(3)]
    assert max(map(len, function.got)) == 100
    counts = mapping.counts()
    assert (counts.delivered, counts.failures, counts.last_result) == (253, 0, "OK")


def test_a_disabled_mapping_does_nothing():
    log, function = Log(), Pretended()
    log.append(0)
    with running(log, function, enabled=False) as mapping:
        assert mapping.ready
        mapping.decide(1e9)
        assert (mapping.counts().pollers, mapping.counts().state) == (0, "Disabled")
    assert (log.members, function.got) == ([], [])


def test_a_failing_function_is_called_again_with_the_same_batch():
    log, function = Log(1), Pretended()
    log.append(0, 5)
    function.answer = lambda _: "Unhandled" if len(function.got) < 3 else None
    with running(log, function) as mapping:
        until(lambda: log.committed == {Partition("t", 0): 5})
        assert mapping.counts().retries == 2
    assert function.got == [[(0, n) for n in range(5)]] * 3


def test_a_rebalance_in_the_middle_of_a_batch_loses_nothing():
    log, function = Log(1), Pretended()
    log.append(0, 5)

    def rebalance_once(_):
        if len(function.got) == 1:
            log.members[0].rebalance()
            return "Unhandled"
        return None

    function.answer = rebalance_once
    with running(log, function):
        until(lambda: log.committed == {Partition("t", 0): 5})
    assert [place for batch in function.got[1:] for place in batch] == [(0, n) for n in range(5)]


def test_a_restart_drops_the_batch_and_delivers_it_again():
    log, function = Log(1), Pretended()
    log.append(0, 5)
    entered, leave = threading.Event(), threading.Event()

    def linger(_):
        if len(function.got) == 1:
            entered.set()
            leave.wait(20)

    function.answer = linger
    with running(log, function) as mapping:
        assert entered.wait(20)
        mapping.restart()
        until(lambda: log.committed == {Partition("t", 0): 5})  # while the first invocation still runs
        leave.set()
    assert function.got == [[(0, n) for n in range(5)]] * 2
    assert len(log.members) == 2


def test_a_long_invocation_keeps_its_place_in_the_group():
    log, function = Log(1), Pretended()
    log.append(0)

    def linger(_):
        until(lambda: log.members[0].alive >= 2)

    function.answer = linger
    with running(log, function):
        until(lambda: log.committed == {Partition("t", 0): 1})


def test_the_lag_is_known_while_a_batch_fails():
    log, function = Log(1), Pretended()
    log.append(0, 5)
    function.answer = lambda _: "Unhandled"
    with running(log, function, batch_size=5) as mapping:
        until(lambda: mapping.counts().failures)
        log.append(0, 95)
        until(lambda: mapping.counts().lag == 100)


def test_stopping_waits_for_the_invocation_and_commits_it():
    log, function = Log(1), Pretended()
    log.append(0)
    entered, leave = threading.Event(), threading.Event()

    def linger(_):
        entered.set()
        leave.wait(20)

    function.answer = linger
    with running(log, function) as mapping:
        assert entered.wait(20)
        mapping.stop()
        assert not mapping.join(0.05)
        leave.set()
    assert log.committed == {Partition("t", 0): 1}


def test_trouble_is_told_once_and_polling_goes_on_when_it_is_mended():
    log, function = Log(1), Pretended()
    log.append(0)
    log.problems.extend([SourceProblem("PROBLEM: SASL authentication failed.", "bad password")] * 2)
    with running(log, function) as mapping:
        until(lambda: mapping.counts().last_result == "PROBLEM: SASL authentication failed.")
        assert not mapping.ready
        until(lambda: log.committed == {Partition("t", 0): 1})
        until(lambda: mapping.counts().last_result == "OK")
    first, last = mapping.told
    assert "SASL authentication failed. (bad password)" in first
    assert "polling again" in last


def test_brokers_that_cannot_be_reached_are_told_though_the_source_lives_on():
    log, function = Log(1), Pretended()
    with running(log, function) as mapping:
        until(lambda: log.members)
        log.members[0].trouble = "PROBLEM: Connection error."
        until(lambda: mapping.told)
        until(lambda: mapping.counts().last_result == "PROBLEM: Connection error.")
        log.members[0].trouble = ""
        until(lambda: mapping.counts().last_result != "PROBLEM: Connection error.")
    first, last = mapping.told
    assert "Connection error" in first
    assert "no answer from b:1" in first
    assert "polling again" in last
    assert len(log.members) == 1


@pytest.mark.parametrize("error", [SourceProblem("PROBLEM: x", ""), RuntimeError("a defect")])
def test_a_source_that_breaks_is_replaced(error):
    log, function = Log(1), Pretended()
    with running(log, function):
        until(lambda: log.members)
        log.members[0].broken = error
        log.append(0)
        until(lambda: log.committed == {Partition("t", 0): 1})
    assert log.members[0].closed


def test_a_source_that_cannot_be_closed_is_told_and_replaced():
    log, function = Log(1), Pretended()
    with running(log, function) as mapping:
        member = until(lambda: log.members)[0]

        def close():
            member.closed = True
            raise RuntimeError("it hangs together with the broken source")

        member.close, member.broken = close, SourceProblem("PROBLEM: x", "")
        log.append(0)
        until(lambda: log.committed == {Partition("t", 0): 1})
    assert any("RuntimeError" in line and "leaving the consumer group failed" in line for line in mapping.told)


def test_what_is_given_up_is_told():
    log, function = Log(1), Pretended()
    log.append(0, 2)
    function.answer = lambda _: "Unhandled"
    with running(log, function, provisioned=Provisioned(1, 1), maximum_retry_attempts=0) as mapping:
        until(lambda: log.committed == {Partition("t", 0): 2})
        assert mapping.counts().discarded == 2
    assert any("RetryAttemptsExhausted" in line and "t-0 offset 0" in line for line in mapping.told)


def test_provisioned_mode_begins_with_its_minimum():
    log, function = Log(2), Pretended()
    mapping = MappingConfig("u", "f", "t", ("b:1",), provisioned=Provisioned(2, 5))
    run = RunningMapping(mapping, function, log.join, tell=print, faults=Faults(), destinations=None, most_pollers=4)
    run.start()
    until(lambda: len(log.members) == 2)
    run.stop()
    assert run.join(20)


class Clock:
    """Time passes only while a source waits."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Timed:
    """A source whose records come at given times."""

    def __init__(self, clock, *times, size=1):
        self.clock, self.times, self.size = clock, deque(times), size

    def fetch(self, timeout):
        if self.times and self.times[0] <= self.clock.now + timeout:
            self.clock.now = max(self.clock.now, self.times[0])
            return Record(Partition("t", 0), int(self.times.popleft()), 0, "CREATE_TIME", None, bytes(self.size))
        self.clock.now += timeout
        return None


@pytest.mark.parametrize(
    ("times", "most", "window", "expected", "until_time"),
    [
        ([], 5, 1, 0, 0.2),
        ([0] * 9, 5, 1, 5, 0),  # full
        ([0, 0.5, 0.9, 1.5], 5, 1, 3, 1),  # the window counts from the first record
        ([0.1, 0.5], 5, 0.4, 2, 0.5),
        ([0, 0, 0, 0.3], 5, 0, 3, 0),  # without a window: what is there
    ],
)
def test_a_batch_is_full_or_its_window_has_passed(times, most, window, expected, until_time):
    clock = Clock()
    batch = gather(Timed(clock, *times), most, window, wait=0.2, clock=clock)
    assert (len(batch), clock.now) == (expected, pytest.approx(until_time))


def test_a_batch_that_fills_a_payload_waits_no_longer():
    clock = Clock()
    assert len(gather(Timed(clock, *[0] * 9, size=300), 9, 1, wait=1, clock=clock, largest=1000)) == 2


@pytest.mark.parametrize(
    ("pollers", "lag", "quiet", "limits", "expected"),
    [
        (1, 0, 0, (1, 4), 1),
        (1, 1000, 0, (1, 4), 1),
        (1, 1001, 0, (1, 4), 2),
        (2, 1500, 0, (1, 4), 2),
        (4, 99_999, 0, (1, 4), 4),
        (3, 0, 3, (1, 4), 2),
        (3, 0, 2, (1, 4), 3),
        (1, 0, 9, (1, 4), 1),
        (2, 0, 9, (2, 4), 2),
        (4, 0, 0, (1, 2), 2),  # throttled
        (3, 0, 0, (2, 1), 1),  # fewer partitions than the minimum
    ],
)
def test_pollers_follow_the_lag(pollers, lag, quiet, limits, expected):
    least, most = limits
    assert wanted(pollers, least=least, most=most, lag=lag, batch_size=100, quiet=quiet) == expected

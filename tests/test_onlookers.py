"""A run waits for services that no outcome depends on: until their groups have committed what stood on the topics."""

from datetime import UTC, datetime
from itertools import repeat
from typing import ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shopstream.audit import Auditor
from shopstream.errors import ClusterError
from shopstream.records import Record
from shopstream.run import Plan, onlookers, runner
from shopstream.run.onlookers import Onlookers
from shopstream.runs import Run
from shopstream.settings import ClientSettings
from shopstream.topology import default_path, load, parse

ENTRY = "services:\n  fraud_checker:\n    consumes: [order_placed, order_cancelled]\n"
TOPOLOGY = parse(default_path().read_text(encoding="utf-8").replace("services:\n", ENTRY, 1))
READ = {("order_placed", 0): 12, ("order_placed", 1): 3, ("order_cancelled", 0): 5, ("payment_result", 0): 9}


class Groups:
    """Stands in for consumers: what each group has committed, or why that cannot be told."""

    def __init__(self, committed):
        self.committed_by = committed
        self.asked, self.open = [], 0

    def __call__(self, config):
        self.open += 1
        return Groups.Consumer(self, config["group.id"])

    class Consumer:
        def __init__(self, groups, group):
            self._groups, self._group = groups, group

        def committed(self, places, timeout):
            self._groups.asked.append(self._group)
            known = self._groups.committed_by.get(self._group, {})
            if isinstance(known, KafkaError):
                raise KafkaException(known)
            return [TopicPartition(p.topic, p.partition, known.get((p.topic, p.partition), -1001)) for p in places]

        def close(self):
            self._groups.open -= 1


@pytest.fixture
def groups(monkeypatch):
    groups = Groups({})
    monkeypatch.setattr(onlookers, "Consumer", groups)
    return groups


def behind(platform="worker", topology=TOPOLOGY):
    with Onlookers(ClientSettings("b:1", security_protocol="PLAINTEXT"), topology, platform) as found:
        return found.behind(READ)


def test_it_has_all_to_go_before_its_group_has_committed_anything(groups):
    assert behind() == {"fraud_checker": 12 + 3 + 5}


def test_it_is_through_when_every_topic_is(groups):
    groups.committed_by["fraud_checker"] = {("order_placed", 0): 12, ("order_placed", 1): 4, ("order_cancelled", 0): 1}
    assert behind() == {"fraud_checker": 4}
    groups.committed_by["fraud_checker"]["order_cancelled", 0] = 5
    assert behind() == {}


def test_on_lambda_each_topic_has_a_group(groups):
    groups.committed_by["fraud_checker.order_placed"] = {("order_placed", 0): 12, ("order_placed", 1): 3}
    assert behind("lambda") == {"fraud_checker": 5}
    assert set(groups.asked) == {"fraud_checker.order_placed", "fraud_checker.order_cancelled"}


def test_no_answer_is_not_taken_for_all_read(groups):
    groups.committed_by["fraud_checker"] = KafkaError(KafkaError._TIMED_OUT)
    assert behind() == {"fraud_checker": 20}


def test_a_refusal_is_told(groups):
    groups.committed_by["fraud_checker"] = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
    with pytest.raises(ClusterError, match="the offsets of group fraud_checker cannot be read"):
        behind()


def test_every_connection_is_closed(groups):
    behind("lambda")
    assert len(groups.asked) == 2
    assert groups.open == 0


def test_nobody_is_asked_about_the_shop_itself(groups):
    assert behind(topology=load()) == {}
    assert groups.asked == []


def test_the_auditor_tells_how_far_it_was_fed():
    auditor = Auditor(TOPOLOGY, expected_rates={})
    auditor.begins_at("order_placed", 2, 7)
    auditor.feed_many([Record("order_placed", 1, 4, 0, b"k", b"{"), Record("notifications", 0, 0, 0, b"k", b"{")])
    assert auditor.read_up_to == {("order_placed", 1): 5, ("notifications", 0): 1}


class Fleet:
    """Services that need no care."""

    pids: ClassVar = {}
    checks = 0

    def check(self):
        self.checks += 1

    def counts(self):
        return {}


class Heard(list):
    """A watcher that remembers the lines."""

    phase = event = list.append

    def counts(self, counts):
        pass


class Behind:
    """Stands in for `Onlookers`: says what it is told to, one answer after the other."""

    def __init__(self, answers):
        self._answers = iter(answers)

    def __call__(self, *_):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def behind(self, read):
        return next(self._answers)


@pytest.fixture
def waited(tmp_path, monkeypatch):
    """Lets a runner wait while onlookers answer so; what it said, and how many seconds it took."""
    file = tmp_path / "auditor.properties"
    file.write_text("bootstrap.servers=b:1\n", encoding="utf-8")
    run = Run(run_id="r", orders=1, seed=0, start=datetime(2026, 1, 1, tzinfo=UTC), shop_rate=1.0)
    now = [0.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(runner.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def wait(answers):
        monkeypatch.setattr(runner, "Onlookers", Behind(answers))
        heard = Heard()
        runner.Runner(Plan(run, file, tmp_path), TOPOLOGY, heard)._wait_for_onlookers(Fleet())
        return heard, now[0]

    return wait


def test_a_run_waits_as_long_as_they_come_nearer(waited):
    answers = [{"fraud_checker": left} for left in range(2_000, 0, -1)]
    heard, seconds = waited([*answers, {}])
    assert heard == ["waiting for fraud_checker"]
    assert seconds > 2 * runner.STALLED


def test_it_goes_on_when_one_does_not_move_and_says_which(waited):
    heard, seconds = waited(repeat({"fraud_checker": 1_234}))
    assert heard[-1].startswith("no longer waiting for fraud_checker (1,234 offsets to go): see ")
    assert runner.STALLED < seconds < runner.STALLED + 5


def test_it_does_not_wait_for_what_is_through(waited):
    assert waited([{}]) == ([], 0.0)

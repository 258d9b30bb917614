"""What an account holds is run, changes are taken up, lines reach their log groups, and failures are told."""

import base64
import hashlib
import json
import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from shopstream.errors import AwsError, RehearsalError, UsageError
from shopstream.lambdas.results import Invocation
from shopstream.rehearsal.cloud.account import NoLogGroupError, allows, reachable
from shopstream.rehearsal.cloud.cloud import Cloud
from shopstream.rehearsal.cloud.control import Control, ask
from shopstream.rehearsal.cloud.log_groups import LogSender
from shopstream.rehearsal.cloud.programs import CodeStore, sha256_of
from shopstream.rehearsal.cloud.scheduler import Asynchronous
from tests.waiting import until

RULE = "arn:aws:events:us-east-1:123456789012:rule/clock"
PREFIX = "arn:aws:lambda:us-east-1:123456789012:function"


class MemoryAccount:
    """An account in memory, through the seam that boto3's goes through."""

    def __init__(self):
        self.zips = {}
        self.answers = {}
        self.sources = {}
        self.schedules = []
        self.groups = defaultdict(lambda: defaultdict(list))
        self.permitted = True
        self.fetched = []
        self.broken = ""

    def put(self, name, code=b"zip", **changes):
        self.zips[name] = code
        self.answers[name] = {
            "FunctionName": name,
            "FunctionArn": f"{PREFIX}:{name}",
            "Runtime": "python3.13",
            "Handler": "app.handler",
            "CodeSha256": base64.b64encode(hashlib.sha256(code).digest()).decode(),
            **changes,
        }
        self.groups[f"/aws/lambda/{name}"]

    def feed(self, uuid, function, topic="orders", state="Enabled", **changes):
        self.sources[uuid] = {
            "UUID": uuid,
            "FunctionArn": f"{PREFIX}:{function}",
            "Topics": [topic],
            "State": state,
            "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["k:9094"]}},
            "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": f"{function}.{topic}"},
            **changes,
        }

    def schedule(self, function, expression="rate(1 minute)", state="ENABLED"):
        target = {"Id": "a", "Arn": f"{PREFIX}:{function}"}
        self.schedules = [
            {"Name": "clock", "Arn": RULE, "State": state, "ScheduleExpression": expression, "Targets": [target]}
        ]

    def functions(self):
        if self.broken:
            raise AwsError(self.broken)
        return [dict(each) for each in self.answers.values()]

    def reserved_concurrency(self, function):
        return None

    def mappings(self):
        return [dict(each) for each in self.sources.values()]

    def rules(self):
        return list(self.schedules)

    def code(self, function):
        self.fetched.append(function)
        return self.zips[function]

    def may_invoke(self, function, rule):
        return self.permitted

    def put_lines(self, group, stream, lines):
        if self.broken:
            raise AwsError(self.broken)
        if group not in self.groups:
            raise NoLogGroupError(f"there is no log group {group}")
        self.groups[group][stream] += lines


class MemoryHost:
    """Takes what it is given, and answers by plan."""

    ready = True

    def __init__(self):
        self.functions, self.mappings = {}, {}
        self.invoked = []
        self.faults = []
        self.errors = []
        self.refuses = ""
        self.running = False

    def start(self):
        self.running = True

    def stop(self):
        self.running = False

    def change(self, functions, mappings):
        if self.refuses:
            raise UsageError(self.refuses)
        self.functions = {each.name: each for each in functions}
        self.mappings = {each.uuid: each for each in mappings}

    def change_faults(self, faults, function=None):
        self.faults.append((faults, function))

    def invoke(self, function, payload, *, request_id=None, trace_id=None):
        if function not in self.functions:
            raise UsageError(f"there is no function {function!r}")
        self.invoked.append((function, json.loads(payload), request_id, trace_id))
        error = self.errors.pop(0) if self.errors else None
        return Invocation(request_id or "r", b'"done"', error)

    def restart_pollers(self):
        self.faults.append("pollers")

    def counts(self):
        return {}

    def processes(self):
        return dict.fromkeys(self.functions, (7,))


class World:
    """A cloud over both, which looks when the test says."""

    def __init__(self, home):
        self.account, self.host = MemoryAccount(), MemoryHost()
        self.told = []
        self.time = datetime(2026, 3, 2, 8, tzinfo=UTC)
        self.cloud = Cloud(
            self.account,
            lambda listener: self.host,
            home=home,
            tell=lambda what, **about: self.told.append((what, about)),
            poll=0.05,
            retry_after=(0.01, 0.02),
            now=lambda: self.time,
        )

    def tellings(self, kind):
        return [about for what, about in self.told if what == kind]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_functions_and_mappings_of_the_account_are_run(world):
    world.account.put("pay", b"v1", Timeout=9, Environment={"Variables": {"AB": "b"}})
    world.account.feed("u1", "pay")
    world.cloud.look()
    (function,), (mapping,) = world.host.functions.values(), world.host.mappings.values()
    assert (function.handler, function.timeout, dict(function.environment)) == ("app.handler", 9, {"AB": "b"})
    assert function.code.read_bytes() == b"v1"
    assert (mapping.function, mapping.topic, mapping.group, mapping.enabled) == ("pay", "orders", "pay.orders", True)
    assert world.cloud.status()["functions"]["pay"]["code_sha256"] == sha256_of(b"v1")


def test_what_has_not_changed_is_left_alone(world):
    world.account.put("pay")
    world.cloud.look()
    world.host.refuses = "nothing may change"
    world.cloud.look()
    assert world.tellings("problem") == []
    assert world.account.fetched == ["pay"]


def test_new_code_a_new_setting_and_a_disabled_mapping_are_taken_up(world):
    world.account.put("pay", b"v1")
    world.account.feed("u1", "pay")
    world.cloud.look()
    world.account.put("pay", b"v2", Timeout=30)
    world.account.feed("u1", "pay", state="Disabled")
    world.cloud.look()
    assert world.host.functions["pay"].code.read_bytes() == b"v2"
    assert world.host.functions["pay"].timeout == 30
    assert not world.host.mappings["u1"].enabled
    assert [about["change"] for about in world.tellings("function")] == ["there", "updated"]
    assert [(about["change"], about["enabled"]) for about in world.tellings("mapping")] == [
        ("there", True),
        ("updated", False),
    ]
    world.account.sources.clear()
    world.account.answers.clear()
    world.cloud.look()
    assert (world.host.functions, world.host.mappings) == ({}, {})


@pytest.mark.parametrize("state", ["Creating", "Enabling", "Updating"])
def test_a_mapping_on_its_way_waits_and_what_ran_goes_on(world, state):
    world.account.put("pay")
    world.account.feed("u1", "pay", state=state)
    world.cloud.look()
    assert world.host.mappings == {}
    world.account.feed("u1", "pay", state="Disabled")
    world.cloud.look()
    world.account.feed("u1", "pay", state=state, BatchSize=7)
    world.cloud.look()
    assert (world.host.mappings["u1"].enabled, world.host.mappings["u1"].batch_size) == (False, 100)
    world.account.feed("u1", "pay", BatchSize=7)
    world.cloud.look()
    assert (world.host.mappings["u1"].enabled, world.host.mappings["u1"].batch_size) == (True, 7)
    world.account.feed("u1", "pay", state="Deleting")
    world.cloud.look()
    assert world.host.mappings == {}


def test_code_that_is_not_what_the_api_reports_is_not_run(world):
    world.account.put("pay", CodeSha256=sha256_of(b"something else"))
    world.account.feed("u1", "pay")
    world.cloud.look()
    assert (world.host.functions, world.host.mappings) == ({}, {})
    problems = world.cloud.status()["problems"]
    assert "CodeSha256" in problems["pay"]
    assert "which is not there or cannot be run" in problems["u1"]


def test_a_file_that_was_changed_on_the_disk_is_fetched_again(tmp_path):
    digest = sha256_of(b"right")
    first = CodeStore(tmp_path, lambda _: b"right").zip_of("f", digest)
    first.write_bytes(b"wrong")
    assert CodeStore(tmp_path, lambda _: b"right").zip_of("f", digest).read_bytes() == b"right"
    first.write_bytes(b"wrong")
    with pytest.raises(RehearsalError, match="reports code with CodeSha256"):
        CodeStore(tmp_path, lambda _: b"wrong").zip_of("f", digest)


def test_of_two_mappings_with_one_group_the_second_is_refused(world):
    world.account.put("pay")
    world.account.feed("u1", "pay")
    world.account.feed("u2", "pay", topic="other", SelfManagedKafkaEventSourceConfig={"ConsumerGroupId": "pay.orders"})
    world.cloud.look()
    assert list(world.host.mappings) == ["u1"]
    assert "give each its own" in world.cloud.status()["problems"]["u2"]


def test_while_the_api_does_not_answer_what_runs_goes_on(world):
    world.account.put("pay")
    world.cloud.look()
    world.account.broken = "no answer"
    world.cloud.look()
    world.cloud.look()
    assert list(world.host.functions) == ["pay"]
    assert len(world.tellings("api")) == 1
    world.account.broken = ""
    world.cloud.look()
    assert len(world.tellings("api")) == 2


def test_a_schedule_invokes_its_target_with_eventbridges_event(world):
    world.account.put("pay")
    world.account.schedule("pay")
    with world.cloud:
        until(lambda: world.cloud.status()["schedules"], "the rule is known")
        world.time += timedelta(seconds=61)
        until(lambda: world.host.invoked, "it is invoked")
        ((function, event, request_id, trace),) = world.host.invoked
        assert (function, event["detail-type"], event["resources"]) == ("pay", "Scheduled Event", [RULE])
        assert event["time"] == "2026-03-02T08:01:00Z"
        assert request_id
        assert trace.startswith("Root=1-")
        world.account.permitted = False
        world.time += timedelta(seconds=61)
        until(lambda: world.tellings("schedule"), "it is refused")
    assert "aws_lambda_permission" in world.tellings("schedule")[0]["text"]
    assert len(world.host.invoked) == 1
    assert not world.host.running


def test_a_failed_asynchronous_invocation_is_tried_twice_more_with_the_same_id():
    calls, done = [], []
    over = threading.Event()

    def invoke(function, payload, request_id, trace):
        calls.append((function, payload, request_id, trace))
        return Invocation(request_id, b"", "Unhandled")

    def attempted(function, attempt, result, again):
        done.append((attempt, again))
        if not again:
            over.set()

    runner = Asynchronous(invoke, attempted, retry_after=(0.01, 0.02))
    runner.start()
    request = runner.submit("pay", b"{}")
    assert over.wait(10)
    runner.stop()
    assert len(calls) == 3
    assert {call[2] for call in calls} == {request}
    assert len(set(calls)) == 1
    assert done == [(1, True), (2, True), (3, False)]
    assert runner.pending == 0


def test_the_socket_invokes_asks_and_lets_things_go_wrong(world, tmp_path):
    world.account.put("pay")
    deep = tmp_path / ("a" * 100)  # too long for a socket's address
    deep.mkdir()
    with world.cloud, Control(world.cloud, deep):
        until(lambda: world.host.functions, "the function is there")
        assert ask(deep, "invoke", function="pay", payload={"orders": 1})["payload"] == '"done"'
        assert ask(deep, "invoke", function="pay", wait=False)["request_id"]
        until(lambda: len(world.host.invoked) == 2, "the second is invoked")
        ask(deep, "faults", redeliver=0.5, function="pay")
        ask(deep, "restart-pollers")
        assert list(ask(deep, "status")["functions"]) == ["pay"]
        for wrong, words in (
            ({"do": "dance"}, "cannot be done"),
            ({"do": "invoke", "function": "nobody"}, "no function 'nobody'"),
            ({"do": "invoke"}, "not understood"),
            ({"do": "faults", "redeliver": 2}, "share of batches"),
            ({"do": "fire", "rule": "x"}, "no rule 'x'"),
        ):
            with pytest.raises(RehearsalError, match=words):
                ask(deep, **wrong)
    (faults, function), pollers = world.host.faults
    assert (faults.redeliver, function, pollers) == (0.5, "pay", "pollers")
    with pytest.raises(RehearsalError, match="nothing answers"):
        ask(deep, "status")


def test_lines_go_to_the_stream_of_the_newest_environment_in_the_functions_own_group():
    account, told = MemoryAccount(), []
    account.put("pay")
    sender = LogSender(account, told.append, now=lambda: 12.5)
    sender.groups({"pay": "/aws/lambda/pay"})
    for line in ("INIT_START x\tLog Stream: one", "a", "", "INIT_START x\tLog Stream: two", "b"):
        sender.take("pay", line)
    sender.flush()
    streams = account.groups["/aws/lambda/pay"]
    assert [text for _, text in streams["one"]] == ["INIT_START x\tLog Stream: one", "a", " "]
    assert streams["two"] == [(12500, "INIT_START x\tLog Stream: two"), (12500, "b")]
    assert (sender.sent, sender.waiting, told) == (5, 0, [])


def test_lines_wait_for_a_log_group_and_make_none():
    account, told = MemoryAccount(), []
    sender = LogSender(account, told.append)
    sender.groups({"pay": "/own/group"})
    sender.take("pay", "a")
    sender.flush()
    sender.flush()
    assert (list(account.groups), sender.waiting, len(told)) == ([], 1, 1)
    account.groups["/own/group"]
    sender.flush()
    assert (sender.sent, sender.waiting, len(told)) == (1, 0, 2)


def test_a_batch_is_not_larger_than_cloudwatch_takes():
    account = MemoryAccount()
    sizes = []
    account.put("pay")
    account.put_lines = lambda group, stream, lines: sizes.append((len(lines), sum(len(x) + 26 for _, x in lines)))
    sender = LogSender(account, print)
    for number in range(20_500):
        sender.take("pay", f"{number}")
    for _ in range(9):
        sender.take("pay", "x" * 300_000)
    sender.flush()
    assert sum(count for count, _ in sizes) == 20_509
    assert max(count for count, _ in sizes) == 10_000
    assert max(size for _, size in sizes) <= 1_048_576


def test_the_policy_must_name_eventbridge_the_action_and_the_rule():
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Condition": {"ArnLike": {"AWS:SourceArn": RULE}},
    }

    def judged(**changes):
        return allows(json.dumps({"Statement": [{**statement, **changes}]}), RULE)

    assert judged()
    assert judged(Condition={})
    assert not judged(Principal={"Service": "s3.amazonaws.com"})
    assert not judged(Action="lambda:GetFunction")
    assert not judged(Condition={"ArnLike": {"AWS:SourceArn": f"{RULE}-other"}})


def test_code_on_the_apis_own_loopback_is_looked_for_where_the_api_is():
    endpoint = "http://10.20.0.1:5000"
    assert reachable("http://127.0.0.1:4566/lambda-code/a", endpoint) == f"{endpoint}/lambda-code/a"
    assert reachable("https://s3.amazonaws.com/a?b", endpoint) == "https://s3.amazonaws.com/a?b"

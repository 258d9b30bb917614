"""The real runtime client finds Lambda's environment: init, time-out, crash, freeze, logs, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from shopstream.lambdas import function as functions
from shopstream.lambdas.function import Function
from shopstream.lambdas.model import FunctionConfig
from shopstream.lambdas.spawner import Spawner
from tests.lambda_world import ROOT, gone, runtime, zipped
from tests.waiting import until

pytestmark = pytest.mark.infra

APP = """
    import json, os, subprocess, sys, threading, time
    import helper

    CALLS = []
    TICKS = []

    def echo(event, context):
        return event

    def about(event, context):
        CALLS.append(1)
        return {
            "environ": dict(os.environ), "cwd": os.getcwd(), "path": sys.path, "calls": len(CALLS), "pid": os.getpid(),
            "helper": helper.__file__, "request": context.aws_request_id, "arn": context.invoked_function_arn,
            "left": context.get_remaining_time_in_millis(), "memory": context.memory_limit_in_mb,
        }

    def fail(event, context):
        print("before it fails")
        raise KeyError(event["key"])

    def slow(event, context):
        time.sleep(event)
        return "done"

    def leave(event, context):
        os._exit(event)

    def suicide(event, context):
        os.kill(os.getpid(), 9)

    def large(event, context):
        return "x" * event

    def fork(event, context):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        return [os.getpid(), child.pid]

    def tick(event, context):
        if not TICKS:
            def work():
                while True:
                    TICKS.append(time.monotonic())
                    time.sleep(0.01)
            threading.Thread(target=work, daemon=True).start()
        return len(TICKS)

    def talk(event, context):
        print("one")
        print("two", end="")
        sys.stderr.write("three\\n")
        os.write(1, b"x" * 200_000 + b"\\n")

    def write(event, context):
        open(helper.__file__, "a")
"""


@pytest.fixture(scope="module")
def spawner():
    spawner = Spawner()
    yield spawner
    spawner.close()


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    broken = {"slow_init": "import time\ntime.sleep(60)\ndef f(e, c): pass", "dies": "import os\nos._exit(3)"}
    return zipped(tmp_path_factory.mktemp("code") / "app.zip", app=APP, helper="", six="MINE = True", **broken)


@pytest.fixture
def made(code, spawner, tmp_path):
    """Makes functions; in the end, none of their processes is left."""
    made = []

    def make(handler, *, freeze=True, environment=None, **config):
        function = Function(
            FunctionConfig("fn", code, handler, **config),
            python=runtime().python(),
            spawner=spawner,
            home=tmp_path,
            environment=environment or {},
            freeze=freeze,
        )
        made.append(function)
        return function

    yield make
    pids = [pid for function in made for pid in function.pids]
    for function in made:
        function.close()
    until(lambda: all(map(gone, pids)), "every process is gone")


def log(function):
    return function.log.path.read_text().splitlines()


def test_what_a_function_sees(made, tmp_path):
    function = made(
        "app.about",
        memory_size=256,
        timeout=30,
        environment={"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
        arn="arn:aws:lambda:eu-west-1:123456789012:function:fn",
    )
    cold = function.invoke(b"{}", "request-1")
    seen = json.loads(cold.payload)
    environ, root = seen["environ"], seen["cwd"]
    assert environ["LAMBDA_TASK_ROOT"] == root == seen["path"][0]
    assert Path(root).is_relative_to(tmp_path)
    assert (environ["AWS_LAMBDA_FUNCTION_NAME"], environ["AWS_REGION"], environ["_HANDLER"]) == (
        "fn",
        "eu-west-1",
        "app.about",
    )
    assert environ["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1"
    assert (environ["AWS_LAMBDA_LOG_GROUP_NAME"], environ["TZ"]) == ("/aws/lambda/fn", ":UTC")
    assert environ["_X_AMZN_TRACE_ID"].startswith("Root=1-")
    assert (seen["request"], seen["arn"], seen["memory"]) == ("request-1", function.config.arn, "256")
    assert 25_000 < seen["left"] <= 30_000
    assert "SHOPSTREAM_HOME" not in environ
    assert "HOME" not in environ
    assert "VIRTUAL_ENV" not in environ
    assert (cold.cold, cold.error, cold.environment) == (True, None, seen["pid"])
    assert cold.init_seconds > 0 < cold.memory_used
    warm = function.invoke(b"{}")
    assert (warm.cold, warm.init_seconds, json.loads(warm.payload)["calls"]) == (False, 0, 2)
    assert json.loads(warm.payload)["pid"] == seen["pid"]


def test_the_functions_own_variables_and_the_zips_packages_win(spawner, tmp_path):
    app = "import boto3, os\ndef f(e, c): return [boto3.MINE, os.environ['MY'], os.environ['AWS_ACCESS_KEY_ID']]"
    code = zipped(tmp_path / "b.zip", app=app, boto3="MINE = 'the zip'")
    function = Function(
        FunctionConfig("own", code, "app.f", environment={"MY": "x"}),
        python=runtime().python(),
        spawner=spawner,
        home=tmp_path,
        environment={"AWS_ACCESS_KEY_ID": "given"},
    )
    assert json.loads(function.invoke(b"{}").payload) == ["the zip", "x", "given"]
    function.close()


def test_the_runtimes_boto3_is_there(spawner, tmp_path):
    code = zipped(tmp_path / "b.zip", app="import boto3\ndef f(e, c): return boto3.__version__")
    config = FunctionConfig("own", code, "app.f", timeout=30)
    function = Function(config, python=runtime().python(), spawner=spawner, home=tmp_path, environment={})
    assert function.invoke(b"{}").error is None
    function.close()


def test_a_handler_that_raises_keeps_its_environment(made):
    function = made("app.fail")
    first, second = function.invoke(b'{"key": "k"}'), function.invoke(b'{"key": "k"}')
    error = json.loads(first.payload)
    assert (first.error, error["errorType"], error["errorMessage"]) == ("Unhandled", "KeyError", "'k'")
    assert any("raise KeyError" in line for line in error["stackTrace"])
    assert (second.cold, second.environment) == (False, first.environment)
    lines = log(function)
    assert lines.index("before it fails") < lines.index(f"END RequestId: {first.request_id}")
    assert any(line.startswith("[ERROR] KeyError") for line in lines)


def test_a_time_out_ends_the_environment(made):
    function = made("app.slow", timeout=1)
    begun = time.monotonic()
    late = function.invoke(b"60")
    assert time.monotonic() - begun < 10
    assert late.error == "Function.Timeout"
    assert "Task timed out after 1.00 seconds" in json.loads(late.payload)["errorMessage"]
    until(lambda: gone(late.environment), "its process is gone")
    after = function.invoke(b"0")
    assert (after.error, after.cold, after.environment != late.environment) == (None, True, True)
    assert any("Task timed out after 1.00 seconds" in line for line in log(function))
    assert any(line.startswith("REPORT") and line.endswith("Status: timeout") for line in log(function))


@pytest.mark.parametrize(
    ("handler", "event", "text"),
    [
        ("app.leave", b"1", "Runtime exited with error: exit status 1"),
        ("app.leave", b"0", "Runtime exited without providing a reason"),
        ("app.suicide", b"{}", "Runtime exited with error: signal: killed"),
    ],
)
def test_a_process_that_ends_fails_its_invocation_at_once(made, handler, event, text):
    function = made(handler, timeout=60)
    begun = time.monotonic()
    dead = function.invoke(event)
    assert time.monotonic() - begun < 20
    body = json.loads(dead.payload)
    assert (dead.error, body["errorType"]) == ("Runtime.ExitError", "Runtime.ExitError")
    assert body["errorMessage"] == f"RequestId: {dead.request_id} Error: {text}"
    assert function.pids == ()


def test_an_environment_killed_while_idle_is_replaced(made):
    function = made("app.echo")
    first = function.invoke(b"1")
    os.kill(first.environment, signal.SIGKILL)
    until(lambda: function.pids == (), "the death is noticed")
    second = function.invoke(b"2")
    assert (second.error, second.payload, second.cold) == (None, b"2", True)


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("app.missing", "Runtime.HandlerNotFound"),
        ("missing.handler", "Runtime.ImportModuleError"),
        ("dies.handler", "Runtime.ExitError"),
    ],
)
def test_a_failed_init_fails_the_invocation(made, handler, kind):
    function = made(handler)
    failed = function.invoke(b"{}")
    assert (failed.error, json.loads(failed.payload)["errorType"], failed.cold) == ("Unhandled", kind, True)
    assert any(line.startswith("INIT_REPORT") and "Status: error" in line for line in log(function))


def test_a_slow_init_is_begun_again_within_the_timeout(made, monkeypatch):
    monkeypatch.setattr(functions, "INIT_LIMIT", 0.5)
    function = made("slow_init.f", timeout=1)
    begun = time.monotonic()
    failed = function.invoke(b"{}")
    assert 1.5 <= time.monotonic() - begun < 20
    assert (failed.error, json.loads(failed.payload)["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert sum(line.startswith("INIT_START") for line in log(function)) == 2


def test_a_response_beyond_6_mb_is_an_error(made):
    function = made("app.large")
    assert function.invoke(str(6 * 1024 * 1024).encode()).error is None
    large = function.invoke(str(6 * 1024 * 1024 + 200).encode())
    assert large.error == json.loads(large.payload)["errorType"] == "Function.ResponseSizeTooLarge"
    assert function.invoke(b"1").payload == b'"x"'


def test_between_invocations_nothing_runs(made):
    """What a handler leaves to a thread stands still until the next invocation: the reason why one must flush."""
    function = made("app.tick")
    before = int(function.invoke(b"{}").payload)
    pid = function.pids[0]
    until(lambda: "State:\tT" in Path(f"/proc/{pid}/status").read_text(), "the process is stopped")
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        time.sleep(0.05)
    assert int(function.invoke(b"{}").payload) - before < 20


def test_freezing_can_be_left_out(made):
    function = made("app.tick", freeze=False)
    function.invoke(b"{}")
    until(lambda: int(function.invoke(b"{}").payload) > 20, "the thread goes on")


def test_the_log_is_what_cloudwatch_shows(made):
    function = made("app.talk")
    done = function.invoke(b"{}", "id-1")
    lines = log(function)
    assert lines[0].startswith("INIT_START Runtime Version: python:3.13")
    assert lines[1] == "START RequestId: id-1 Version: $LATEST"
    assert lines[2:5] == ["one", "twothree", "x" * 200_000]
    assert lines[5] == "END RequestId: id-1"
    assert lines[6].startswith("REPORT RequestId: id-1\tDuration: ")
    assert f"Max Memory Used: {done.memory_used} MB" in lines[6]
    assert "Init Duration: " in lines[6]


def test_as_many_environments_as_invocations_overlap(made):
    function = made("app.slow", timeout=20)
    results = []
    threads = [threading.Thread(target=lambda: results.append(function.invoke(b"0.5"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({result.environment for result in results}) == 2
    assert not function.invoke(b"0").cold


def test_reserved_concurrency_throttles(made):
    function = made("app.slow", timeout=20, reserved_concurrency=1)
    thread = threading.Thread(target=function.invoke, args=(b"1",))
    thread.start()
    until(lambda: function.pids, "the first runs")
    throttled = function.invoke(b"0")
    assert throttled.throttled
    thread.join()
    assert function.invoke(b"0").error is None
    assert made("app.slow", reserved_concurrency=0).invoke(b"0").throttled


def test_idle_environments_are_ended(made):
    function = made("app.echo")
    (pid,) = (function.invoke(b"1").environment,)
    function.expire(idle=60)
    assert function.pids == (pid,)
    function.expire(idle=-1)
    assert function.pids == ()
    until(lambda: gone(pid), "its process is gone")


def test_children_of_a_function_end_with_it(made):
    function = made("app.fork")
    pids = json.loads(function.invoke(b"{}").payload)
    function.close()
    until(lambda: all(map(gone, pids)), "the function and its child are gone")


def test_closing_ends_an_invocation_under_way(made):
    function = made("app.slow", timeout=600)
    results = []
    thread = threading.Thread(target=lambda: results.append(function.invoke(b"600")))
    thread.start()
    (pid,) = until(lambda: function.pids, "it runs")
    function.close()
    thread.join(20)
    assert gone(pid)
    assert results[0].error == "Runtime.ExitError"


HOST = """
    import sys
    from pathlib import Path
    from shopstream.lambdas.spawner import Spawner
    from shopstream.lambdas.function import Function
    from shopstream.lambdas.model import FunctionConfig

    python, code, home = map(Path, sys.argv[1:])
    config = FunctionConfig("fn", code, "app.echo")
    function = Function(config, python=python, spawner=Spawner(), home=home, environment={})
    print(function.invoke(b"1").environment, flush=True)
    sys.stdin.read()
"""


def test_a_frozen_function_ends_when_its_host_is_killed(code, tmp_path):
    host = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOST), runtime().python(), code, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    with host:
        pid = int(host.stdout.readline())
        assert not gone(pid)
        host.kill()
        until(lambda: gone(pid), "the function is gone")


def test_temporary_files_go_with_their_environment_or_with_the_next_host(made, tmp_path):
    (tmp_path / "tmp" / "999999999-left").mkdir(parents=True)  # no process has such an id
    function = made("app.about")
    scratch = Path(json.loads(function.invoke(b"{}").payload)["environ"]["TMPDIR"])
    assert list((tmp_path / "tmp").iterdir()) == [scratch]
    function.close()
    assert list((tmp_path / "tmp").iterdir()) == []

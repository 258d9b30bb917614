"""A running host takes up new versions: warm environments are replaced, invocations at hand are finished."""

import json
import threading

import pytest

from shopstream.errors import UsageError
from shopstream.lambdas.host import LambdaHost
from shopstream.lambdas.model import FunctionConfig
from tests.lambda_world import gone, runtime, zipped
from tests.waiting import until

pytestmark = pytest.mark.infra

APP = """
    import os, time

    def handler(event, context):
        time.sleep(event.get("sleep", 0))
        return [{version}, os.getpid(), os.environ.get("COLOUR")]
"""


class NoSecrets:
    def get(self, reference):
        raise UsageError("there are none")


@pytest.fixture
def host(tmp_path):
    made = LambdaHost([], [], secrets=NoSecrets(), runtime=runtime(), home=tmp_path / "home", tell=print)
    with made:
        yield made


@pytest.fixture
def version(tmp_path):
    def make(number, **changes):
        code = zipped(tmp_path / f"v{number}.zip", app=APP.format(version=number))
        return FunctionConfig("fn", code, "app.handler", timeout=20, **changes)

    return make


def call(host, **event):
    result = host.invoke("fn", json.dumps(event).encode())
    assert result.error is None, result.payload
    return json.loads(result.payload)


def test_a_new_version_and_a_new_setting_replace_warm_environments(host, version):
    with pytest.raises(UsageError, match="there is no function"):
        host.invoke("fn", b"{}")
    host.change([version(1)], [])
    number, first, colour = call(host)
    assert (number, colour) == (1, None)
    host.change([version(1)], [])
    assert call(host)[1] == first  # nothing changed: it is still warm
    host.change([version(1, reserved_concurrency=3)], [])
    assert call(host)[1] == first
    host.change([version(2)], [])
    number, second, _ = call(host)
    assert number == 2
    assert gone(first)
    host.change([version(2, environment={"COLOUR": "red"})], [])
    assert call(host)[2] == "red"
    assert gone(second)


def test_an_invocation_at_hand_is_finished_by_the_version_that_began_it(host, version):
    host.change([version(1)], [])
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call(host, sleep=1.5)))
    thread.start()
    until(lambda: host.processes()["fn"], "it has begun")
    host.change([version(2)], [])
    assert call(host)[0] == 2
    thread.join()
    ((number, pid, _),) = answers
    assert number == 1
    until(lambda: gone(pid), "the old environment is gone")
    assert call(host)[0] == 2


def test_a_function_that_is_taken_away_leaves_nothing_and_can_come_back(host, version):
    host.change([version(1)], [])
    pid = call(host)[1]
    host.change([], [])
    with pytest.raises(UsageError, match="there is no function"):
        host.invoke("fn", b"{}")
    until(lambda: gone(pid), "its environment is gone")
    host.change([version(2)], [])
    assert call(host)[0] == 2


def test_a_package_that_cannot_be_used_changes_nothing(host, version, tmp_path):
    host.change([version(1)], [])
    with pytest.raises(UsageError, match="cannot be read"):
        host.change([FunctionConfig("fn", tmp_path / "missing.zip", "app.handler")], [])
    assert call(host)[0] == 1
    host.stop()
    with pytest.raises(UsageError, match="not running"):
        host.change([], [])

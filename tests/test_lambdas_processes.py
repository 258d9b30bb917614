"""What a function starts ends with its environment, wherever it went: in a group of its own, without a parent."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from shopstream.lambdas.function import Function
from shopstream.lambdas.model import FunctionConfig
from shopstream.lambdas.spawner import Spawner
from tests.lambda_world import ROOT, gone, runtime, zipped
from tests.waiting import until

pytestmark = pytest.mark.infra

APP = """
    import os, subprocess, sys

    SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
    # Its parent ends at once; so nothing leads to it from here.
    DAEMON = f"import subprocess; print(subprocess.Popen({SLEEP!r}, start_new_session=True, stdout=2).pid)"

    def escape(event, context):
        own = subprocess.Popen(SLEEP, start_new_session=True).pid
        bare = subprocess.Popen(SLEEP, start_new_session=True, env={}).pid
        daemon = int(subprocess.run([sys.executable, "-c", DAEMON], stdout=subprocess.PIPE, check=True).stdout)
        return [os.getpid(), own, bare, daemon]

    def crash(event, context):
        own = subprocess.Popen(SLEEP, start_new_session=True).pid
        print("STARTED", own)
        os._exit(1)
"""
HOST = """
    import sys
    from pathlib import Path
    from shopstream.lambdas.spawner import Spawner
    from shopstream.lambdas.function import Function
    from shopstream.lambdas.model import FunctionConfig

    python, code, home = map(Path, sys.argv[1:])
    config = FunctionConfig("fn", code, "app.escape", timeout=20)
    function = Function(config, python=python, spawner=Spawner(), home=home, environment={})
    print(function.invoke(b"{}").payload.decode(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def code(tmp_path):
    return zipped(tmp_path / "app.zip", app=APP)


@pytest.fixture
def made(code, tmp_path):
    spawner, functions = Spawner(), []

    def make(handler):
        config = FunctionConfig("fn", code, handler, timeout=20)
        function = Function(config, python=runtime().python(), spawner=spawner, home=tmp_path, environment={})
        functions.append(function)
        return function

    yield make
    for function in functions:
        function.close()
    spawner.close()


def test_all_that_a_function_started_ends_when_it_is_closed(made):
    function = made("app.escape")
    pids = json.loads(function.invoke(b"{}").payload)
    assert len(pids) == 4
    assert not any(map(gone, pids))
    function.close()
    until(lambda: all(map(gone, pids)), "the function and all that it started are gone")


def test_its_children_end_at_once_when_it_is_killed(made):
    function = made("app.escape")
    pid, own, bare, _ = json.loads(function.invoke(b"{}").payload)
    function.kill(pid)
    until(lambda: gone(own) and gone(bare), "its children are gone")


def test_what_it_started_ends_when_it_crashes(made):
    function = made("app.crash")
    assert function.invoke(b"{}").error == "Runtime.ExitError"
    (line,) = (line for line in function.log.path.read_text().splitlines() if line.startswith("STARTED "))
    until(lambda: gone(int(line.split()[1])), "what it had started is gone")


def test_when_a_host_is_killed_the_next_one_ends_what_its_functions_started(code, made, tmp_path):
    host = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOST), runtime().python(), code, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    with host:
        pid, own, bare, daemon = json.loads(host.stdout.readline())
        host.kill()
        until(lambda: gone(pid), "the function is gone")
    try:
        assert not gone(own)
        made("app.escape")
        until(lambda: gone(own) and gone(daemon), "what it had started is gone")
        assert list((tmp_path / "tmp").iterdir()) == []
    finally:
        os.kill(bare, signal.SIGKILL)  # without the variables nothing leads to it

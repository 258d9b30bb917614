"""The interpreter for functions is found where people keep theirs, and refused with the remedy where there is none."""

import os
import subprocess
import sys

import pytest

from shopstream.errors import UsageError
from shopstream.lambdas import runtime as runtimes
from shopstream.lambdas.runtime import REQUIREMENTS, VARIABLE, LocalRuntime, PreparedRuntime, find_python
from tests.lambda_world import runtime


@pytest.fixture
def tool(tmp_path):
    """Makes a program that prints an answer."""

    def make(name, answer):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho '{answer}'\n")
        path.chmod(0o755)
        return path

    return make


def found(tmp_path, **environ):
    return find_python({"PATH": str(tmp_path), **environ}, machine="x86_64", system="linux")


def test_the_variable_comes_first(tmp_path, tool):
    tool("python3.13", "cpython 3 13 x86_64")
    mine = tool("mine", "cpython 3 13 x86_64")
    assert found(tmp_path, **{VARIABLE: str(mine)}) == mine


def test_one_on_the_path(tmp_path, tool):
    python = tool("python3.13", "cpython 3 13 x86_64")
    assert found(tmp_path, **{VARIABLE: ""}) == python


def test_one_that_uv_knows(tmp_path, tool):
    python = tool("elsewhere", "cpython 3 13 x86_64")
    tool("uv", python)
    assert found(tmp_path) == python


@pytest.mark.parametrize("answer", ["cpython 3 11 x86_64", "pypy 3 13 x86_64", "cpython 3 13 aarch64", ""])
def test_another_python_is_refused(tmp_path, tool, answer):
    tool("python3.13", answer)
    with pytest.raises(UsageError, match=VARIABLE):
        found(tmp_path)
    with pytest.raises(UsageError, match=f"{VARIABLE}.*{answer}"):
        found(tmp_path, **{VARIABLE: "python3.13"})


def test_a_named_python_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="not to be found"):
        found(tmp_path, **{VARIABLE: "nowhere"})


@pytest.mark.parametrize(("machine", "system"), [("aarch64", "linux"), ("x86_64", "darwin")])
def test_another_machine_is_refused(machine, system):
    with pytest.raises(UsageError, match="Linux on x86_64"):
        find_python(os.environ, machine=machine, system=system)


def test_a_prepared_runtime_is_what_it_is(tmp_path):
    assert PreparedRuntime(tmp_path).python() == tmp_path


def test_everything_in_it_is_pinned():
    lines = REQUIREMENTS.read_text().splitlines()
    assert any(line.startswith("awslambdaric==") for line in lines)
    assert any(line.startswith("boto3==") for line in lines)
    assert sum("--hash=sha256:" in line for line in lines) >= 10


def test_what_was_not_completed_is_swept_before_it_is_made_again(tmp_path, monkeypatch):
    (tmp_path / ".runtime-left" / "lib").mkdir(parents=True)
    monkeypatch.setattr(runtimes, "find_python", lambda _: tmp_path / "python3.13")
    commands = []
    monkeypatch.setattr(runtimes, "_run", lambda command, _: commands.append(command))
    python = LocalRuntime(tmp_path, {}).python()
    assert len(commands) == 2
    assert not list(tmp_path.glob(".runtime-*"))
    assert python.is_relative_to(tmp_path)


@pytest.mark.infra
def test_it_is_made_once_and_has_what_lambda_has():
    python = runtime().python()
    assert runtime().python() == python
    program = "import awslambdaric, boto3, sys; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "13"]
    assert str(python) != sys.executable

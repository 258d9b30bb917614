"""The command line of the deployment: wrong use is told in one line before anything is asked, built or made."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from shopstream.aws import assembly, leftovers
from tests.aws_account import OURS, account, aws, stand_in

pytestmark = pytest.mark.infra

__all__ = ["account", "aws", "stand_in"]


def run(*arguments, stand_in=None):
    import os

    environment = stand_in.apart(os.environ) if stand_in else dict(os.environ)
    return subprocess.run(
        [sys.executable, "-m", "shopstream.aws", *arguments],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env=environment, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["deploy", "destroy"])
def test_without_a_terminal_and_without_yes_it_is_wrong_use(command):
    done = run(command)
    assert done.returncode == 2
    assert done.stderr.startswith("error: this ")
    assert "say --yes" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["deploy", "--yes", "--name", "Bad_Name"],
        ["leftovers", "--region", "Frankfurt"],
        ["nonsense"],
        ["deploy", "--nope"],
    ],
)
def test_wrong_use_is_exit_2(arguments):
    assert run(*arguments).returncode == 2


@pytest.mark.parametrize(
    ("command", "state", "told"),
    [
        (["deploy", "--yes"], ".", "this is a directory"),
        (["destroy", "--yes"], ".", "this is a directory"),
        (["destroy", "--yes"], "no.json", "cannot be read as a state"),
        (["confirm"], "no.json", "cannot be read as a state"),
    ],
)
def test_a_state_that_cannot_be_one_is_wrong_use(tmp_path, command, state, told):
    (tmp_path / "no.json").write_text("no json", encoding="utf-8")
    place = ["--admin-cidr", "203.0.113.7/32", "--var", "ssh_public_key=ssh-rsa A"] if command[0] == "deploy" else []
    done = run(*command, *place, "--state", str(tmp_path / state))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --state {tmp_path / state}")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_state_that_is_not_there_is_told_and_knows_nothing(tmp_path):
    """It may be that of a deployment which ended before Terraform had written any: what else it made can still go."""
    told = []
    assembly._check_state(tmp_path / "absent.tfstate", told.append, existing=True)
    (line,) = told
    assert "absent.tfstate: there is no such file, so Terraform knows nothing" in line


def test_without_ansible_or_playbooks_nothing_is_built_or_made(aws, stand_in, tmp_path):
    module = tmp_path / "terraform"
    module.mkdir()
    (module / "main.tf").touch()
    (tmp_path / "key.pub").write_text("ssh-ed25519 AAAA me", encoding="utf-8")
    done = run("deploy", "--yes", "--name", OURS.name, "--directory", str(module), "--admin-cidr", "203.0.113.7/32",
               "--ssh-public-key", str(tmp_path / "key.pub"), stand_in=stand_in)  # fmt: skip
    assert done.returncode == 1
    assert "--infrastructure-only" in done.stderr
    assert "building" not in done.stderr
    assert leftovers.find(aws, OURS).clean


def test_leftovers_are_exit_1_and_json_is_all_there_is_on_standard_output(aws, stand_in):
    good = run("leftovers", "--name", OURS.name, "--json", stand_in=stand_in)
    assert (good.returncode, json.loads(good.stdout)["clean"]) == (0, True)
    aws.client("sns").create_topic(Name="forgotten", Tags=OURS.tag_list)
    bad = run("leftovers", "--name", OURS.name, "--json", stand_in=stand_in)
    assert bad.returncode == 1
    assert [each["kind"] for each in json.loads(bad.stdout)["left"]] == ["SNS topic"]
    assert "error: there, and listed above: 1" in bad.stderr


def test_no_credentials_are_told_in_one_line(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    done = run("leftovers")
    assert done.returncode == 1
    assert done.stderr.startswith("error: no AWS credentials were found")
    assert done.stderr.count("\n") == 1

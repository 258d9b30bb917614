"""The playbooks run in their order on the deployment's inventory, are seen and logged, and their failure is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shopstream.aws.ansible import Ansible
from shopstream.aws.inventory import parse, render
from shopstream.errors import DeploymentError, UsageError

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "src" / "shopstream" / "rehearsal" / "hosts" / "sample-outputs.json"
OUTPUTS = parse(SAMPLE.read_text(encoding="utf-8"), "sample")
FAKE = """#!{python}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as file:
    file.write(json.dumps({{"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}}) + "\\n")
exec((here / "behaviour").read_text())
"""


@pytest.fixture
def project(tmp_path):
    """A project with playbooks, and with an Ansible that does as it is told."""
    playbooks, programs = tmp_path / "ansible", tmp_path / ".venv-ansible" / "bin"
    for folder in (playbooks, programs):
        folder.mkdir(parents=True)
    for name in ("reachable.yml", "site.yml", "verify.yml"):
        (playbooks / name).write_text("[]\n", encoding="utf-8")
    program = programs / "ansible-playbook"
    program.write_text(FAKE.format(python=sys.executable), encoding="utf-8")
    program.chmod(0o755)
    behave(tmp_path, "print('PLAY RECAP', sys.argv[-1], flush=True)")
    return tmp_path


def behave(project, code):
    (project / ".venv-ansible" / "bin" / "behaviour").write_text(code, encoding="utf-8")


def calls(project):
    file = project / ".venv-ansible" / "bin" / "calls"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def ansible(project, told=None, **more):
    return Ansible(
        directory=project / "ansible",
        environments=project,
        log=project / "logs" / "ansible.log",
        environ={"PATH": os.environ["PATH"], "AWS_PROFILE": "mine"},
        tell=(told if told is not None else []).append,
        **more,
    )


def test_the_playbooks_run_in_their_order_on_the_inventory_and_are_seen(project):
    told, key = [], project / "key"
    key.touch()
    ansible(project, told, private_key=key).configure(OUTPUTS)
    inventory = project / "ansible" / "inventory.ini"
    assert inventory.read_text(encoding="utf-8") == render(OUTPUTS, private_key=key)
    (call,) = calls(project)
    assert call["argv"] == ["-i", str(inventory), "reachable.yml", "site.yml", "verify.yml"]
    assert call["cwd"] == str(project / "ansible")
    assert (call["env"]["AWS_PROFILE"], call["env"]["AWS_REGION"]) == ("mine", "us-east-1")
    assert call["env"]["ANSIBLE_CONFIG"] == str(project / "ansible" / "ansible.cfg")
    assert told == ["ansible-playbook reachable.yml site.yml verify.yml", "PLAY RECAP verify.yml"]
    log = project / "logs" / "ansible.log"
    assert log.stat().st_mode & 0o077 == 0
    assert log.read_text(encoding="utf-8").count("PLAY RECAP") == 1


def test_another_topology_is_handed_on(project):
    ansible(project, variables={"topology_file": "/my own/topology.yaml"}).configure(OUTPUTS)
    assert json.loads(calls(project)[0]["argv"][-1]) == {"topology_file": "/my own/topology.yaml"}


def test_a_failure_is_told_in_a_line_and_ends_it(project):
    behave(project, "print('fatal: [kafka1]: UNREACHABLE! => no route'); print('fatal: [kafka2]: bad'); sys.exit(4)")
    with pytest.raises(DeploymentError) as caught:
        ansible(project).configure(OUTPUTS)
    text = str(caught.value)
    assert text.startswith(
        "`ansible-playbook reachable.yml site.yml verify.yml` failed: [kafka1]: UNREACHABLE! => no route; "
        "also: [kafka2]: bad. The whole"
    )
    assert "ansible.log" in text
    assert len(calls(project)) == 1


def test_of_failures_that_were_rescued_the_task_that_tells_why_is_shown(project):
    said = (
        "TASK [Wait] ***\n[ERROR]: Task failed: Unknown error.\nfatal: [kafka1]: FAILED! => \n\n"
        "TASK [Read what it says] ***\nok: [kafka1]\n\n"
        "TASK [Say why] ***\n[ERROR]: Task failed: a wrong certificate\nfatal: [kafka1]: FAILED! => \n"
        "[ERROR]: Task failed: no member\nfatal: [kafka2]: FAILED! => \n"
    )
    behave(project, f"print({said!r}); sys.exit(2)")
    with pytest.raises(
        DeploymentError, match=r"failed: Task failed: a wrong certificate; also: Task failed: no member\."
    ):
        ansible(project).configure(OUTPUTS)


def test_what_takes_too_long_is_ended_with_all_that_it_started(project):
    behave(
        project,
        "import subprocess, time; subprocess.Popen(['sleep', '60']); print('at work', flush=True); time.sleep(60)",
    )
    began, told = time.monotonic(), []
    with pytest.raises(DeploymentError, match=r"verify\.yml` was stopped after 3 s"):
        ansible(project, told, limit_s=1.0).configure(OUTPUTS)
    assert time.monotonic() - began < 30
    assert "at work" in told


def test_an_interrupt_ends_ansible_too(project):
    behave(project, "import time; print('at work', flush=True); time.sleep(60)")
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path; from tests.test_aws_ansible import *\n"
        "one = ansible(Path(sys.argv[1])); object.__setattr__(one, 'tell', lambda line: print(line, flush=True))\n"
        "one.configure(OUTPUTS)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(project), str(ROOT)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert [child.stdout.readline().strip() for _ in range(2)][1] == "at work"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode != 0
    assert "KeyboardInterrupt" in err


def test_what_is_missing_is_told_before_anything_is_done(project, tmp_path):
    with pytest.raises(UsageError, match="there is no such file"):
        ansible(project, private_key=project / "none").check()
    (project / "ansible" / "verify.yml").unlink()
    with pytest.raises(DeploymentError, match=r"has no verify\.yml: say --infrastructure-only"):
        ansible(project).check()
    bare = Ansible(directory=project / "ansible", environments=tmp_path / "none", log=tmp_path / "log",
                   environ={"PATH": str(tmp_path)}, tell=print)  # fmt: skip
    with pytest.raises(DeploymentError, match=r"no ansible-playbook: `make \.venv-ansible/\.ready`"):
        bare.check()


def test_an_ansible_on_the_path_does_as_well(project):
    programs = project / ".venv-ansible" / "bin"
    one = Ansible(directory=project / "ansible", environments=project / "none", log=project / "log",
                  environ={"PATH": f"{programs}:{os.environ['PATH']}"}, tell=[].append)  # fmt: skip
    one.configure(OUTPUTS)
    assert len(calls(project)) == 1


def test_the_judgement_comes_back_by_a_file_and_changes_no_settings(project):
    behave(
        project,
        "given = json.loads(sys.argv[sys.argv.index('-e') + 1])\n"
        "pathlib.Path(given['judge_file']).write_text(json.dumps({'patience': given['judge_patience_seconds']}))",
    )
    (project / "ansible" / "judge.yml").write_text("[]\n", encoding="utf-8")
    found = ansible(project, variables={"kafka_archive_url": "http://mirror"}).judge(OUTPUTS, patience_s=5.0)
    assert found == {"patience": 5.0}
    (call,) = calls(project)
    assert call["argv"][2] == "judge.yml"
    assert json.loads(call["argv"][4])["kafka_archive_url"] == "http://mirror"


def test_a_judgement_that_cannot_be_made_is_an_error(project):
    behave(project, "print('fatal: [monitoring]: UNREACHABLE', flush=True); sys.exit(4)")
    with pytest.raises(DeploymentError, match=r"judge\.yml` failed: \[monitoring\]"):
        ansible(project).judge(OUTPUTS, patience_s=5.0)


def test_connections_of_another_deployment_are_not_shared_and_a_place_that_was_named_is_kept(project):
    one, other = ansible(project), ansible(project)
    one.configure(OUTPUTS)
    one.configure(OUTPUTS)
    one.configure({**OUTPUTS, "deployment": "another"})
    other.environ["ANSIBLE_SSH_CONTROL_PATH_DIR"] = "/run/mine"
    other.configure(OUTPUTS)
    places = [call["env"]["ANSIBLE_SSH_CONTROL_PATH_DIR"] for call in calls(project)]
    assert places[0] == places[1] != places[2]
    assert all(place.startswith("~/.ansible/cp/") for place in places[:3])
    assert places[3:] == ["/run/mine"]

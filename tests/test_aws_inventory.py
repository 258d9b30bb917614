"""The inventory is what the golden files show, and SSH gets the options that they hold."""

from __future__ import annotations

import copy
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shopstream.aws.inventory import parse, render
from shopstream.errors import DeploymentError, UsageError

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "src" / "shopstream" / "rehearsal" / "hosts" / "sample-outputs.json"
GOLDEN = ROOT / "tests" / "golden"
PUBLIC = parse(SAMPLE.read_text(encoding="utf-8"), "sample")
KEY = Path("/keys/of mine/id_ed25519")


def bastion():
    """The same deployment with access = bastion: hosts in private subnets, without public addresses."""
    outputs = copy.deepcopy(PUBLIC)
    for group in outputs["inventory"].values():
        for host in group:
            second, third, fourth = host["private_ip"].split(".")[1:]
            host |= {"public_ip": None, "private_ip": f"10.{second}.{int(third) + 128}.{fourth}"}
    outputs["inventory"]["bastion"] = [
        {"name": "bastion", "private_ip": "10.20.0.51", "public_ip": "198.51.100.51", "instance_type": "t3.micro"}
    ]
    outputs["bastion_address"] = "198.51.100.51"
    return outputs


CASES = {"inventory.ini": (PUBLIC, None), "inventory-bastion.ini": (bastion(), KEY)}


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_golden_file(name):
    outputs, key = CASES[name]
    assert render(outputs, private_key=key) == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs ssh")
@pytest.mark.parametrize("name", ["here", "a folder"])
def test_ssh_understands_its_options(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    key = folder / "key"  # SSH passes over a file that is not there
    key.touch()
    text = render(bastion(), private_key=key).replace("{{ inventory_dir }}", str(folder))
    lines = [line for line in text.splitlines() if line.startswith("ansible_ssh_common_args=")]
    everyone, bastions = (shlex.split(line.partition("=")[2]) for line in lines)
    options = asked(everyone)
    assert options["stricthostkeychecking"] == "accept-new"
    assert options["userknownhostsfile"].strip('"') == f"{folder}/known_hosts"
    jump = shlex.split(options["proxycommand"])
    assert jump[0] == "ssh"
    assert jump[-1] == "admin@198.51.100.51"
    over = asked([word for word in jump[1:-1] if word not in {"-W", "%h:%p"}])
    assert over["identityfile"].strip('"') == str(key)
    assert over["userknownhostsfile"].strip('"') == f"{folder}/known_hosts"
    assert over["stricthostkeychecking"] == "accept-new"
    assert "proxycommand" not in asked(bastions)


def asked(arguments):
    """What SSH makes of them."""
    line = ["ssh", "-F", "none", "-G", *arguments, "somewhere"]
    done = subprocess.run(line, capture_output=True, text=True, check=True, timeout=20)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"inventory": 1}', '{"inventory": {}}'])
def test_something_else_than_outputs_is_refused(text):
    with pytest.raises(UsageError, match="mine is not what `terraform output -json` prints"):
        parse(text, "mine")


def test_a_deployment_that_is_not_there_yet_is_told():
    with pytest.raises(DeploymentError, match=r"lack inventory, deployment, region, vpc_cidr: .*deploy_all\.sh"):
        render({})


def test_the_command_reads_a_file_or_standard_input_and_needs_no_account(tmp_path):
    golden = (GOLDEN / "inventory.ini").read_text(encoding="utf-8")
    assert command("--outputs", str(SAMPLE)) == (0, golden, "")
    assert command("--outputs", "-", text=SAMPLE.read_text(encoding="utf-8")) == (0, golden, "")
    assert command("--outputs", str(SAMPLE), "--output", str(tmp_path / "made.ini")) == (0, "", "")
    assert (tmp_path / "made.ini").read_text(encoding="utf-8") == golden
    for arguments in (["--outputs", str(tmp_path / "none.json")], ["--outputs", str(SAMPLE), "--output", "/none/x"]):
        code, out, err = command(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")


def command(*arguments, text=""):
    line = [sys.executable, "-m", "shopstream.aws", "inventory", *arguments]
    done = subprocess.run(line, input=text, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_the_sample_has_terraform_s_form():
    data = json.loads(SAMPLE.read_text(encoding="utf-8"))
    assert all(set(output) == {"sensitive", "type", "value"} for output in data.values())
    assert not any(output["sensitive"] for output in data.values())


if __name__ == "__main__":
    for name, (outputs, key) in CASES.items():
        (GOLDEN / name).write_text(render(outputs, private_key=key), encoding="utf-8")

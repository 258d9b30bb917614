"""The whole deployment through a whole life, as `make rehearse` does it."""

import json
import os
import subprocess
import sys

import pytest

from shopstream.rehearsal.life.phases import NAMES
from tests.infra.hosts_world import CACHE, ROOT

pytestmark = [pytest.mark.rehearsal, pytest.mark.timeout(2400)]


def test_it_lives_is_hurt_is_changed_and_leaves_nothing(tmp_path):
    environment = {**os.environ, "SHOPSTREAM_HOME": str(tmp_path), "SHOPSTREAM_REHEARSAL_CACHE": str(CACHE)}
    command = [sys.executable, "-m", "shopstream.cli.main", "rehearse"]
    done = subprocess.run(
        [*command, "--json"], env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=2300
    )
    assert done.returncode == 0, done.stderr[-6000:]
    results = {each["name"]: each for each in json.loads(done.stdout)["results"]}
    assert list(results) == list(NAMES)
    resources = results["infrastructure"]["data"]["resources"]
    assert all(resources["reasons"].values())
    tasks = results["configure"]["data"]["tasks"]
    assert all(tasks["reasons"].values()), [name for name, reason in tasks["reasons"].items() if not reason]
    assert (tmp_path / "life" / "report.html").is_file()
    down = subprocess.run([*command, "hosts", "status", "--json"], env=environment, capture_output=True, check=False)
    assert json.loads(down.stdout)["leftovers"] == {}

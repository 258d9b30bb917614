"""Installed from its wheel, outside of any checkout, shopstream does all that needs no checkout, and says what does.

The wheel is built as scripts/build_wheel.sh does it, and installed with pip into a virtual environment of its own, as
pipx and `uv tool` do. Where no package index answers, the environment takes its dependencies from the one that runs the
tests; everything of shopstream's own still comes from the wheel.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from shopstream import __version__, topology
from shopstream.cli import on_lambda
from shopstream.cluster import home, ports
from shopstream.errors import UsageError
from tests import adding
from tests.adding import ANSWERS, NAME, READS, ROOT
from tests.integration.conftest import APART, FIRST_PORT

pytestmark = pytest.mark.timeout(900)

WITHIN = 400  # seconds, for one command: the first `up` trains the JVM's cache


class Tool:
    """The installed program, called in a directory of one's own."""

    def __init__(self, folder):
        self.environment = folder / "venv"
        self.python = self.environment / "bin" / "python"
        self.project = folder / "project"
        self.project.mkdir()
        self.variables = {}

    def call(self, *words, expect=0):
        """Call a program of the environment: nothing of the checkout or of this process's own leaks in."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SHOPSTREAM", "VIRT"))
        }
        done = subprocess.run(
            [self.environment / "bin" / words[0], *map(str, words[1:])],
            cwd=self.project,
            env={**kept, "PATH": f"{self.environment / 'bin'}{os.pathsep}{os.environ['PATH']}", **self.variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        assert done.returncode == expect, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def run(self, *arguments, expect=0):
        return self.call("shopstream", *arguments, expect=expect)

    def data(self, *arguments, expect=0):
        return json.loads(self.run(*arguments, "--json", expect=expect).stdout)

    def pip(self, *arguments):
        line = [self.python, "-m", "pip", *arguments, "--quiet", "--no-input", "--disable-pip-version-check"]
        return subprocess.run(list(map(str, line)), capture_output=True, text=True, check=False, timeout=WITHIN)

    def install(self, wheel, folder):
        """Install the wheel with what it needs, in the versions that the project pins."""
        venv.create(self.environment, with_pip=True)
        pins = re.findall(r"^(\S+==\S+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
        (folder / "pins.txt").write_text("\n".join(pins), encoding="utf-8")
        done = self.pip("install", "--retries", 1, "--constraint", folder / "pins.txt", wheel)
        if done.returncode == 0:
            return
        # Does the index not answer, or is there something wrong with the wheel?
        answers = self.pip("download", "--retries", 1, "--no-deps", "--dest", folder / "download", pins[0])
        assert answers.returncode, done.stderr
        offline = self.pip("install", "--no-index", "--no-deps", wheel)
        assert offline.returncode == 0, offline.stderr
        (place,) = self.environment.glob("lib/python*/site-packages")
        (place / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    (epoch,) = re.findall(r"SOURCE_DATE_EPOCH=(\d+)", (ROOT / "scripts" / "build_wheel.sh").read_text(encoding="utf-8"))
    folder = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": epoch}
    done = subprocess.run(line, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (made,) = folder.iterdir()
    return made


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for base, package in ((ROOT / "src", "shopstream"), (ROOT, "services")):
        files = {
            path.relative_to(base).as_posix()
            for path in (base / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert files - names == set()
    assert {
        "shopstream/topology.yaml",
        "shopstream/cluster/kafka.lock",
        "services/order_generator/catalogue.json",
    } <= names


def test_without_a_checkout_the_zips_cannot_be_built_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(topology, "default_path", lambda: tmp_path / "site-packages" / "shopstream" / "topology.yaml")
    with pytest.raises(
        UsageError, match=r"installed without one: build them in a checkout with `make zips`.*--zips DIR"
    ):
        on_lambda.build_zips(print)


# What follows is one story, in the order of its tests: up, run, a service of one's own, down.


@pytest.fixture(scope="module")
def tool(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tool")
    tool = Tool(folder)
    tool.install(wheel, folder)
    for found in home.find(os.environ, ROOT).cache.glob("kafka-*"):  # not to download them again
        shutil.copytree(found, tool.project / ".shopstream" / "cache" / found.name)
    try:
        yield tool
    finally:
        tool.run("down", "--wipe")


@pytest.mark.kafka
def test_it_is_the_wheel_that_answers(tool):
    code = "import services, shopstream; print(shopstream.__file__); print(services.__file__)"
    files = tool.call("python", "-P", "-c", code).stdout.split()
    assert all(Path(file).is_relative_to(tool.environment) for file in files)
    assert tool.run("--version").stdout == f"shopstream, version {__version__}\n"
    assert "Examples:" in tool.run("--help").stdout
    assert tool.call("python", "-m", "pip", "check").stdout.strip() == "No broken requirements found."


@pytest.mark.kafka
def test_it_starts_a_kafka_in_the_directory_where_it_is_called(tool):
    port = ports.pick(1, FIRST_PORT + 5 * APART, ())[0]
    up = tool.data("up", "--port", port)
    assert up["started"] == [1]
    assert str(port) in up["bootstrap_servers"]
    assert tool.data("status")["home"] == str(tool.project / ".shopstream")


@pytest.mark.kafka
def test_it_runs_the_shop_and_audits_it(tool):
    verdict = tool.data("run", "--orders", 300)
    assert (verdict["ok"], verdict["orders"], verdict["pending"], verdict["anomalies"]) == (True, 300, 0, {})
    assert tool.data("audit")["orders"] == 300
    assert sum(tool.data("audit")["outcomes"].values()) == 300


@pytest.mark.kafka
def test_it_tells_how_to_connect(tool):
    users = tool.data("env")["users"]
    assert {"auditor", "payment_processor"} <= users.keys()
    assert all(Path(file).is_relative_to(tool.project) for file in users.values())
    assert "sasl.username=auditor" in tool.run("env", "--librdkafka", "auditor").stdout


@pytest.mark.kafka
def test_what_is_derived_needs_no_checkout(tool):
    assert "sound" in tool.run("topology", "check").stdout
    assert tool.data("topology", "acls")
    assert tool.data("cost")
    assert "_SHOPSTREAM_COMPLETE" in tool.run("completion", "zsh").stdout


@pytest.mark.kafka
def test_a_service_of_one_s_own_runs_beside_the_shop_s(tool):
    (tool.project / "topology.yaml").write_text(tool.run("topology", "show", "--yaml").stdout, encoding="utf-8")
    for title in (READS, ANSWERS):
        adding.carry_out(title, tool.project)
    # Somebody's own package of that name, as a project may have one, is no reason to stumble.
    (tool.project / "services" / "__init__.py").write_text("raise RuntimeError('not meant')", encoding="utf-8")
    tool.variables["SHOPSTREAM_TOPOLOGY"] = str(tool.project / "topology.yaml")
    verdict = tool.data("run", "--orders", 200, "--run-id", "own")
    assert (verdict["ok"], verdict["orders"]) == (True, 200)
    assert NAME in tool.data("env")["users"]
    read = tool.call("python", "-c", READ, tool.data("env")["users"]["auditor"]).stdout.split()
    assert len(read) == 500  # it began with the orders that were there before it
    assert set(Counter(read).values()) == {1}
    assert tool.data("audit")["ok"]


@pytest.mark.kafka
def test_what_needs_a_checkout_says_so_with_the_next_step(tool):
    tool.variables.clear()
    for words in (["rehearse"], ["rehearse", "hosts", "up"]):
        said = tool.run(*words, expect=2).stderr
        assert f"`shopstream {' '.join(words)}` needs a checkout of the project" in said
        assert "clone the project, and call `make rehearse` there" in said
    for words in (["run", "--on", "lambda", "--orders", 1], ["lambda", "run"]):
        said = tool.run(*words, expect=2).stderr
        assert "pip install 'shopstream[aws]'" in said or "--zips DIR" in said or "CPython 3.13" in said


@pytest.mark.kafka
def test_it_stops_what_it_started(tool):
    assert tool.data("down")["stopped"] == [1]
    assert tool.run("status", expect=1)


# The keys on the topic of the service that was added, read by the auditor's user with the package's own means.
READ = """
import sys
from pathlib import Path
from shopstream.runtime.kafka_log import KafkaLog
from shopstream.settings import ClientSettings
log = KafkaLog(ClientSettings.from_properties(Path(sys.argv[1])), "test")
print(*(change.key.decode() for change in log.read("fraud_result", range(6))))
log.close()
"""

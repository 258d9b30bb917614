"""The zips hold what a function needs and nothing that they must not hold, and are the same wherever they are built."""

import json
import os
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from shopstream import topology
from shopstream.cluster import home
from shopstream.lambdas.runtime import LocalRuntime
from shopstream.lambdas.samples import sample_events
from shopstream.rehearsal.life import site

pytestmark = pytest.mark.infra

ROOT = Path(__file__).parents[2]
SERVICES = tuple(topology.load().services)
FUNCTIONS = (*SERVICES, "hello_world")
MOST_BYTES = 8_000_000
SECRET = re.compile(rb"(?i)(password|secret|token)\w*[\"']?\s*[=:]\s*[\"'][^\"'{}\s]{6,}|AKIA[0-9A-Z]{16}")
ELF_MACHINES = {"x86_64": 0x3E, "arm64": 0xB7}  # EM_X86_64 and EM_AARCH64 of the ELF specification

# What a Lambda does with a function, up to the point where it asks for its configuration; and the import of whatever
# else of the project is in the zip.
CALL = """
import importlib, json, sys, types
from pathlib import Path

code, function, name, payload = sys.argv[1:]
sys.path.insert(0, code)
module, _, attribute = name.rpartition(".")
handler = getattr(importlib.import_module(module), attribute)
context = types.SimpleNamespace(aws_request_id="5f0c6b1e-0f9e-4c55-a6a8-6d1cb4e14d0f", function_name=function)
try:
    answer = {"returned": handler(json.loads(payload), context)}
except Exception as error:
    answer = {"raised": str(error), "kinds": [kind.__name__ for kind in type(error).__mro__]}
for path in sorted(Path(code).glob("shopstream/**/*.py")):
    importlib.import_module(".".join(path.relative_to(code).with_suffix("").parts).removesuffix(".__init__"))
outside = [n for n, m in sys.modules.items() if n.partition(".")[0] in {"services", "shopstream", "confluent_kafka",
           "msgspec", "yaml"} and not (getattr(m, "__file__", None) or code).startswith(code)]
print(json.dumps(answer | {"outside": outside}))
"""


def build(folder, out, arch="x86_64", **environment):
    """Build all zips from a copy of the sources in a folder of its own; they share what was downloaded."""
    site.make(ROOT, folder)
    command = [sys.executable, str(folder / "scripts" / "build_zips.py"), "--arch", arch, "--out", str(out), "--json"]
    done = subprocess.run(
        command, env=os.environ | environment, cwd=folder, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return {row["service"]: row for row in json.loads(done.stdout)["zips"]}


@pytest.fixture(scope="module")
def zips(tmp_path_factory):
    """Where the zips for x86_64 lie, by function."""
    built = build(tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("zips"))
    return {name: Path(row["path"]) for name, row in built.items()}


@pytest.fixture(scope="module")
def arm_zips(tmp_path_factory):
    built = build(tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("zips"), "arm64")
    return {name: Path(row["path"]) for name, row in built.items()}


@pytest.fixture(scope="module")
def lambda_python():
    """CPython 3.13 with what AWS's runtime holds."""
    return LocalRuntime(home.find(os.environ, ROOT).cache / "lambda", os.environ).python()


def test_there_is_one_for_each_function(zips):
    assert set(zips) == set(FUNCTIONS)


def test_another_build_elsewhere_gives_the_same_bytes(zips, tmp_path):
    previous = os.umask(0o077)
    try:
        again = build(tmp_path / "elsewhere", tmp_path / "out", TZ="Pacific/Auckland", SOURCE_DATE_EPOCH="1", HOME="/")
    finally:
        os.umask(previous)
    for name, path in zips.items():
        assert Path(again[name]["path"]).read_bytes() == path.read_bytes(), name


@pytest.mark.parametrize("function", FUNCTIONS)
def test_none_is_too_large(zips, arm_zips, function):
    for built in (zips, arm_zips):
        assert 0 < built[function].stat().st_size <= MOST_BYTES


@pytest.mark.parametrize("arch", ELF_MACHINES)
def test_what_is_compiled_is_for_the_right_machine(zips, arm_zips, arch):
    for path in (zips if arch == "x86_64" else arm_zips).values():
        with zipfile.ZipFile(path) as archive:
            libraries = {name: archive.read(name) for name in archive.namelist() if ".so" in Path(name).name}
        assert (len(libraries) > 2) == (path.stem != "hello_world")
        for name, content in libraries.items():
            assert content[:4] == b"\x7fELF", name
            assert struct.unpack_from("<H", content, 18) == (ELF_MACHINES[arch],), name


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_is_in_it_that_does_not_belong_there(zips, function):
    with zipfile.ZipFile(zips[function]) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    strange = re.compile(
        r"(^|/)(tests?|__pycache__|boto(3|core))/|(^|/)(test_|conftest)|\.py[cid]$|/(RECORD|INSTALLER)$"
    )
    assert [name for name in entries if strange.search(name)] == []
    own_services = {name.split("/")[1] for name in entries if name.startswith("services/") and name.count("/") > 1}
    assert own_services == {function}
    places = [str(place).encode() for place in (ROOT, Path.home(), zips[function].parent) if len(str(place)) > 1]
    for name, content in entries.items():
        assert not [place for place in places if place in content], name
        if name.startswith(("services/", "shopstream/")):
            assert not SECRET.search(content), name
            assert b"PRIVATE KEY" not in content, name


@pytest.mark.parametrize(
    "planted", [b'{"password": "hunter2hunter2"}', b"sasl_password = 'abcdefgh'", b"AKIAIOSFODNN7EXAMPLE"]
)
def test_the_search_for_secrets_finds_one(planted):
    assert SECRET.search(planted)


@pytest.mark.parametrize("name", sorted(sample_events(topology.load())))
def test_the_handler_runs_from_the_zip_alone(zips, lambda_python, tmp_path, name):
    function = name.partition(".")[0]
    with zipfile.ZipFile(zips[function]) as archive:
        archive.extractall(tmp_path)
    handlers = {service.name: service.lambda_handler for service in topology.load().services.values()}
    handler = handlers.get(function, f"services.{function}.{function}.handler")
    event = json.dumps(sample_events(topology.load())[name])
    done = subprocess.run(
        [lambda_python, "-I", "-B", "-c", CALL, str(tmp_path), function, handler, event],
        env={"AWS_EC2_METADATA_DISABLED": "true"},  # where boto3 would look for credentials
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer.pop("outside") == []
    if function == "hello_world":
        assert answer == {"returned": "Hello World"}
    else:
        assert "ShopstreamError" in answer["kinds"]
        assert "KAFKA_" in answer["raised"]


def test_the_script_passes_its_arguments_on(tmp_path):
    script = ROOT / "scripts" / "build_all_zips.sh"
    done = subprocess.run(
        [script, "--out", str(tmp_path), "hello_world"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["hello_world.zip"]

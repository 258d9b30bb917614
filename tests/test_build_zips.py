"""The builder of the zips refuses what it cannot build with a remedy, and leaves no half zip behind."""

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NO_INDEX = {
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_FIND_LINKS": "",
    "PIP_RETRIES": "0",
}


@pytest.fixture
def project(tmp_path):
    """A copy of everything that zips are made from, and the script in it."""
    for name in ("services", "src", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("topology.yaml", "requirements-lambda.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def module(project):
    spec = importlib.util.spec_from_file_location("build_zips", project / "scripts" / "build_zips.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture
def run(project, monkeypatch):
    """Run the script in the copy, without any package index."""
    for name, value in NO_INDEX.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")

    def call(*arguments):
        command = [sys.executable, "-W", "error", str(project / "scripts" / "build_zips.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd="/")

    return call


def test_what_needs_no_wheel_is_built_without_a_network(run, project):
    done = run("--json", "hello_world")
    assert done.returncode == 0, done.stderr
    (built,) = json.loads(done.stdout)["zips"]
    assert built["path"] == str(project / "build" / "lambdas" / "hello_world.zip")
    with zipfile.ZipFile(built["path"]) as archive:
        assert archive.namelist() == [
            "services/__init__.py",
            "services/hello_world/__init__.py",
            "services/hello_world/hello_world.py",
        ]


def test_without_a_network_it_says_so_and_leaves_nothing(run, project):
    done = run("payment_processor")
    assert done.returncode == 1
    assert "network" in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(path.is_file() for path in (project / "build").rglob("*"))


@pytest.mark.parametrize("arguments", [["--arch", "sparc"], ["no_such_service"], ["--oops"]])
def test_wrong_use_exits_2(run, arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def add_service(project, source=None):
    path = project / "topology.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("\nservices:\n", "\nservices:\n  returns_desk: {consumes: [notifications]}\n"), encoding="utf-8"
    )
    if source is not None:
        folder = project / "services" / "returns_desk"
        folder.mkdir()
        (folder / "returns_desk.py").write_text(source, encoding="utf-8")


@pytest.fixture
def wheels(module, monkeypatch):
    """What the entry point of every service needs, without a download."""
    monkeypatch.setattr(module, "download", lambda _: [])
    names = ("msgspec", "confluent_kafka", "yaml")
    monkeypatch.setattr(module, "wheel_files", lambda _: {f"{name}/__init__.py": b"" for name in names})


def test_a_service_of_the_topology_gets_its_zip_with_no_other_change(module, project, wheels, capsys):
    add_service(project, "def handler(event, context): ...")
    assert module.main(["returns_desk"]) == 0, capsys.readouterr().err
    with zipfile.ZipFile(project / "build" / "lambdas" / "returns_desk.zip") as archive:
        assert {"services/returns_desk/returns_desk.py", "shopstream/runtime/entry.py"} <= set(archive.namelist())


def test_a_service_without_code_is_named(run, project):
    add_service(project)
    done = run()
    assert done.returncode == 1
    assert "services/returns_desk/returns_desk.py" in done.stderr


def test_an_import_that_nothing_ships_is_named(module, project, wheels):
    add_service(project, "import boto3, rich\nfrom shopstream.events import encode\n")
    with pytest.raises(module.PackagingError, match="imports rich, which"):
        list(module.build(["returns_desk"], "x86_64", project / "out"))


def test_an_interrupted_write_leaves_the_file_that_was_there(module, project, monkeypatch):
    path = project / "out" / "a.zip"
    module.write(path, b"whole")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        module.write(path, b"other")
    assert [(each.name, each.read_bytes()) for each in path.parent.iterdir()] == [("a.zip", b"whole")]


def test_an_interrupted_download_is_not_taken_for_a_cache(module, project, monkeypatch):
    def half(arch, folder):
        (folder / "one.whl").touch()
        raise KeyboardInterrupt

    cache = project / "cache"
    monkeypatch.setattr(module, "_pip_download", half)
    with pytest.raises(KeyboardInterrupt):
        module.download("arm64", cache)
    assert list(cache.iterdir()) == []
    monkeypatch.setattr(module, "_pip_download", lambda arch, folder: (folder / f"{arch}.whl").touch())
    assert [path.name for path in module.download("arm64", cache)] == ["arm64.whl"]
    monkeypatch.setattr(module, "_pip_download", half)
    assert [path.name for path in module.download("arm64", cache)] == ["arm64.whl"]


def test_the_versions_in_the_zips_are_those_that_the_project_uses():
    def pinned(name):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        return {line.split()[0] for line in lines if not line.startswith(" ")}

    assert pinned("requirements-lambda.txt") <= pinned("requirements.txt")
    assert pinned("src/shopstream/lambdas/runtime-requirements.txt") & pinned("requirements-dev.txt") >= {
        line for line in pinned("requirements-dev.txt") if line.startswith(("boto3==", "botocore=="))
    }

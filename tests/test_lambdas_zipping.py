"""A zip holds just what its handler can reach, and the same content always gives the same bytes."""

import io
import os
import random
import zipfile
from pathlib import Path

import pytest

from shopstream.errors import PackagingError
from shopstream.lambdas.zipping import own_files, pack, reachable, wheel_files


def tree(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def contents(zipped):
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        assert archive.testzip() is None
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


IMPORTS = {
    "app/__init__.py": "",
    "app/handler.py": (
        "import json\n"
        "from typing import TYPE_CHECKING\n"
        "from lib.deep import one\n"
        "if TYPE_CHECKING:\n"
        "    from lib import types_only\n"
        "else:\n"
        "    import lib.otherwise\n"
        "def handler():\n"
        "    try:\n"
        "        from lib import late\n"
        "    except ImportError:\n"
        "        import boto3.session\n"
    ),
    "lib/__init__.py": "import msgspec",
    "lib/deep/__init__.py": "",
    "lib/deep/one.py": "from . import two\nfrom .. import up\nfrom ..up import name",
    "lib/deep/two.py": "import app.handler",
    "lib/late.py": "",
    "lib/otherwise.py": "import os.path",
    "lib/types_only.py": "",
    "lib/unused.py": "import requests",
    "lib/up.py": "name = 1",
}


class TestReach:
    def test_follows_imports_wherever_they_stand_and_no_type_checkers(self, tmp_path):
        reach = reachable(["app.handler"], [tree(tmp_path, IMPORTS)])
        assert set(reach.modules) == {
            "app",
            "app.handler",
            "lib",
            "lib.deep",
            "lib.deep.one",
            "lib.deep.two",
            "lib.late",
            "lib.otherwise",
            "lib.up",
        }
        assert reach.foreign == {"boto3", "msgspec"}

    def test_knows_each_modules_file(self, tmp_path):
        modules = reachable(["app.handler"], [tmp_path / "nothing", tree(tmp_path, IMPORTS)]).modules
        assert all(
            path.read_text(encoding="utf-8") == IMPORTS[str(path.relative_to(tmp_path))] for path in modules.values()
        )

    def test_says_when_there_is_nothing_to_begin_with(self, tmp_path):
        with pytest.raises(PackagingError, match=r"app\.gone"):
            reachable(["app.handler", "app.gone"], [tree(tmp_path, IMPORTS)])


PROJECT = {
    "topology.yaml": "topics: {}",
    "services/__init__.py": "",
    "services/a/__init__.py": "",
    "services/a/a.py": "from services.a import more",
    "services/a/more.py": "",
    "services/a/forgotten.py": "",
    "services/a/data/prices.json": "[]",
    "services/a/.hidden": "",
    "services/a/__pycache__/a.cpython-311.pyc": "",
    "services/b/b.py": "import shopstream.topology",
    "services/b/prices.json": "{}",
    "shopstream/__init__.py": "",
    "shopstream/topology.py": "",
}


class TestOwnFiles:
    def names(self, root, service):
        tree(root, PROJECT)
        return set(own_files(service, reachable([f"services.{service}.{service}"], [root]), root))

    def test_are_what_is_reached_and_the_services_data(self, tmp_path):
        assert self.names(tmp_path, "a") == {
            "services/__init__.py",
            "services/a/__init__.py",
            "services/a/a.py",
            "services/a/data/prices.json",
            "services/a/more.py",
        }

    def test_have_the_topology_where_it_is_looked_for(self, tmp_path):
        assert "shopstream/topology.yaml" in self.names(tmp_path, "b")


class TestWheels:
    def wheel(self, folder, names):
        path = folder / "thing-1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, name)
        return path

    def test_keep_code_and_licences_and_nothing_that_differs_between_installers(self, tmp_path):
        kept = [
            "thing/__init__.py",
            "thing/_fast.cpython-313-x86_64-linux-gnu.so",
            "thing.libs/libthing.so.1",
            "thing-1.dist-info/METADATA",
            "thing-1.dist-info/licenses/LICENSE",
            "thing-1.dist-info/licenses/LICENSES.txt",
        ]
        left_out = [
            "thing/",
            "thing/_fast.pyi",
            "thing/py.typed",
            "thing/tests/test_thing.py",
            "thing/__pycache__/x.cpython-313.pyc",
            "thing-1.dist-info/RECORD",
            "thing-1.dist-info/INSTALLER",
            "thing-1.dist-info/REQUESTED",
            "thing-1.dist-info/direct_url.json",
            "confluent_kafka/schema_registry/avro.py",
        ]
        assert sorted(wheel_files([self.wheel(tmp_path, kept + left_out)])) == sorted(kept)

    def test_of_a_data_folder_the_library_part_is_installed(self, tmp_path):
        wheel = self.wheel(tmp_path, ["thing-1.data/purelib/thing/a.py", "thing-1.data/platlib/thing/b.so"])
        assert set(wheel_files([wheel])) == {"thing/a.py", "thing/b.so"}

    def test_that_put_files_elsewhere_are_refused(self, tmp_path):
        with pytest.raises(PackagingError, match="scripts/run"):
            wheel_files([self.wheel(tmp_path, ["thing-1.data/scripts/run"])])


class TestPacking:
    FILES = {f"folder{n % 3}/file{n}.py": bytes([n]) * 1000 for n in range(30)} | {
        "ä.txt": b"",
        "z.so.1": os.urandom(999),
    }

    def test_gives_back_what_it_was_given(self):
        assert contents(pack(self.FILES)) == self.FILES

    def test_is_the_same_in_whatever_sequence_the_files_come(self):
        names = list(self.FILES)
        random.Random(7).shuffle(names)
        assert names != list(self.FILES)
        assert pack({name: self.FILES[name] for name in names}) == pack(self.FILES)

    @pytest.mark.parametrize("timezone", ["UTC", "Asia/Tokyo"])
    def test_tells_nothing_of_time_place_or_person(self, monkeypatch, timezone):
        expected = pack(self.FILES)
        monkeypatch.setenv("TZ", timezone)
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        previous = os.umask(0o077)
        try:
            assert pack(self.FILES) == expected
        finally:
            os.umask(previous)
        with zipfile.ZipFile(io.BytesIO(expected)) as archive:
            assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
            assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}

    def test_of_a_tree_depends_on_its_bytes_alone(self, tmp_path):
        packed = set()
        for number, mode in enumerate((0o600, 0o755)):
            root = tree(tmp_path / str(number), PROJECT)
            for path in sorted(root.rglob("*"), reverse=bool(number)):
                if path.is_file():
                    path.chmod(mode)
                    os.utime(path, (number, number))
            packed.add(pack(own_files("a", reachable(["services.a.a"], [root]), root)))
        assert len(packed) == 1

    def test_continues_another_zip_and_leaves_that_as_it_was(self):
        base = pack({"base.py": b"1"})
        both = pack({"a.py": b"2"}, base)
        assert contents(both) == {"base.py": b"1", "a.py": b"2"}
        assert contents(base) == {"base.py": b"1"}
        assert pack({"a.py": b"2"}, base) == both


def test_this_projects_handlers_reach_no_part_that_only_workers_or_operators_need():
    root = Path(__file__).parents[1]
    reach = reachable(["services.payment_processor.payment_processor"], [root / "src", root])
    packages = {name.split(".")[1] for name in reach.modules if name.startswith("shopstream.")}
    assert packages.isdisjoint({"audit", "aws", "cli", "cluster", "lambdas", "rehearsal", "run"})
    assert packages >= {"events", "runtime"}
